// The curves of runs.

const SMOOTH = { smooth: true };
const SHARE = { shown: percent, ticks: (value) => `${short(100 * value)} %`, fromZero: true };

function drawCurves() {
  const has = (name) => shownRuns().some(({ run }) => run.curves.steps.series[name]);
  drawCharts('curves', [
    { name: 'loss', title: 'Loss', logarithmic: state.logarithmic, all: lines([
      has('loss') ? ['steps', 'loss', 'training', SMOOTH] : ['epochs', 'train_loss', 'training'],
      ['epochs', 'val_loss', 'validation', { dash: [6, 3] }],
    ]) },
    { name: 'accuracy', title: 'Accuracy', shown: share, all: lines([
      has('top1') ? ['steps', 'top1', 'top-1, training', SMOOTH] : ['epochs', 'train_top1', 'top-1, training'],
      ['epochs', 'val_top1', 'top-1, validation', { dash: [6, 3], width: 2 }],
      ['epochs', 'val_top5', 'top-5, validation', { dash: [2, 3] }],
      ['epochs', 'val_raw_top1', 'top-1, validation, not averaged', { dash: [8, 3, 2, 3] }],
    ]) },
    { name: 'lr', title: 'Learning rate', all: lines([['steps', 'lr', 'learning rate']]) },
    { name: 'grad_norm', title: 'Gradient norm', all: lines([['steps', 'grad_norm', 'gradient norm', SMOOTH]]) },
    { name: 'loss_scale', title: 'Loss scale', all: lines([['steps', 'loss_scale', 'loss scale']]) },
  ]);
  drawCharts('speed', [
    { name: 'images_per_second', title: 'Images per second', fromZero: true, all: lines([
      ['steps', 'images_per_second', 'images/s', SMOOTH],
      ['steps', 'planned_images_per_second', 'planned', { dash: [6, 3] }],
    ]) },
    { name: 'exposed', title: 'Exposed communication', ...SHARE, all: lines([['steps', 'exposed_share', 'part of a step', SMOOTH]]) },
    { name: 'memory', title: 'Memory in MiB', fromZero: true, all: lines([
      ['steps', 'peak_rss_mib', 'largest process'],
      ['steps', 'peak_device_mib', 'GPU of rank 0, allocated', { dash: [6, 3] }],
      ['steps', 'gpu_memory_mib', 'GPU of rank 0, in use', { dash: [2, 3] }],
    ]) },
    { name: 'gpu_utilization', title: "Utilisation of rank 0's GPU", ...SHARE, all: lines([['steps', 'gpu_utilization', 'part of the time', SMOOTH]]) },
    { name: 'gpu_power_w', title: "Power of rank 0's GPU in W", fromZero: true, all: lines([['steps', 'gpu_power_w', 'power', SMOOTH]]) },
    { name: 'gpu_temperature_c', title: "Temperature of rank 0's GPU in °C", all: lines([['steps', 'gpu_temperature_c', 'temperature', SMOOTH]]) },
    { name: 'gpu_clock_mhz', title: "Clock of rank 0's GPU in MHz", all: lines([['steps', 'gpu_clock_mhz', 'clock', SMOOTH]]) },
  ]);
  drawCharts('phases', shownRuns().map(phases));
}

const PHASES = [['data', 'images'], ['copy', 'copy to the device'], ['forward', 'forward'], ['backward', 'backward'],
  ['exposed_comm', 'exposed communication'], ['optimizer', 'update']];

/** The phases of a run's steps, one above the other: the sums, from the largest to the smallest. */
function phases({ run, index }) {
  const all = PHASES.map(([name, label], place) => ({ label, place, line: points(run.curves.steps, name) }));
  const present = all.filter(({ line }) => line[0].length);
  let below = present[0]?.line[0].map(() => 0);
  const stacked = present.map(({ label, place, line: [xs, own] }) => {
    below = own.map((value, row) => below[row] + value);
    const fill = colour(place);
    return { xs, ys: below, own, series: { label, stroke: fill, fill, width: 0.5 } };
  });
  const title = doc.runs.length > 1 ? `${run.label}: milliseconds of a step` : 'Milliseconds of a step';
  return { name: `phases-${index}`, title, all: stacked.reverse(), shown: milliseconds, ticks: (value) => short(1000 * value), fromZero: true, unmarked: true };
}
