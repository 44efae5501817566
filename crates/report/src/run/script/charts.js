// Charts of lines. Those of a section are kept when newer points arrive, so that a zoom, the cursor and the page's height stay.

const charts = {};

const AXES = {
  step: { title: 'step', shown: short },
  epoch: { title: 'epoch', shown: (value) => trimmed(value.toFixed(2)) },
  seconds: { title: 'time', shown: duration },
};

/** The points of a series on the chosen axis; those without a place on it are left out. */
function points(columns, name) {
  const series = columns.series[name];
  const xs = [], ys = [];
  if (!series) return [xs, ys];
  series.rows.forEach((row, place) => {
    const x = columns[state.axis][row];
    if (x == null) return;
    xs.push(x);
    ys.push(series.values[place]);
  });
  return [xs, ys];
}

/** The exponential mean of the values so far, with bias correction as in Adam. */
function smoothed(values, weight) {
  let mean = 0, sum = 0;
  return values.map((value) => {
    mean = weight * mean + (1 - weight) * value;
    sum = weight * sum + (1 - weight);
    return mean / sum;
  });
}

/** Lines of the shown runs: `parts` are [columns, series, label, look]. */
function lines(parts) {
  const all = [];
  shownRuns().forEach(({ run, index }) => {
    for (const [columns, name, label, look = {}] of parts) {
      const [xs, ys] = points(run.curves[columns], name);
      if (!xs.length) continue;
      const stroke = colour(index);
      const title = doc.runs.length > 1 ? `${run.label}: ${label}` : label;
      if (look.smooth && state.smoothing > 0) {
        all.push({ xs, ys, series: { label: `${title} (raw)`, stroke: faint(stroke), width: 1 }, raw: true });
        all.push({ xs, ys: smoothed(ys, state.smoothing), raws: ys, series: { label: title, stroke, width: 2 } });
      } else {
        all.push({ xs, ys, series: { label: title, stroke, width: look.width ?? 1.5, dash: look.dash } });
      }
    }
  });
  return all;
}

/** Draws the charts { name, title, all, shown, ticks, fromZero, logarithmic, unmarked } of a section; those without lines are left out. */
function drawCharts(id, all) {
  const present = all.filter((it) => it.all.length);
  const looks = present.map(({ all: of, title, name, logarithmic }) => [name, title, logarithmic, of.map(({ series, xs }) => [series, dotted(series, xs)])]);
  const look = JSON.stringify([state.axis, isDark(), looks]);
  const into = document.querySelector(`#${id} .content`);
  if (drawn[id] === look) {
    present.forEach((it) => update(charts[it.name], it.all));
  } else {
    drawn[id] = look;
    const restore = remembered(into);
    const zooms = Object.fromEntries(Object.entries(charts).map(([name, chart]) => [name, zoomOf(chart)]));
    into.querySelectorAll('.chart').forEach((it) => { charts[it.dataset.chart].destroy(); delete charts[it.dataset.chart]; });
    const none = id === 'curves' ? [el('p', {}, 'There are no records on this axis yet.')] : [];
    into.replaceChildren(...(present.length ? present.map(figure) : none));
    document.getElementById(id).hidden = into.childElementCount === 0;
    // All are on the page before the first is drawn, since a chart is as wide as its place.
    present.forEach((it) => chart(into.querySelector(`[data-chart="${it.name}"] > div`), it, zooms[it.name]));
    restore();
  }
}

function figure({ name, title }) {
  const holder = el('div', { tabindex: 0, role: 'img', 'aria-label': `${title}: arrow keys move through the values` });
  return el('figure', { class: 'chart', 'data-chart': name, 'data-name': `chart ${name}` }, el('h3', {}, title), holder);
}

/** The part of the horizontal axis that a chart shows, if it is not all of it. */
function zoomOf(chart) {
  const { min, max } = chart.scales.x;
  const [first, last] = [chart.data[0][0], chart.data[0].at(-1)];
  return chart.axis === state.axis && (min > first || max < last) ? { min, max } : null;
}

function update(chart, all) {
  const zoom = zoomOf(chart);
  chart.lines = all;
  chart.batch(() => {
    chart.setData(joined(all));
    if (zoom) chart.setScale('x', zoom);
  });
}

const joined = (all) => uPlot.join(all.map(({ xs, ys }) => [xs, ys]));
const dotted = (series, xs) => xs.length <= 40 && !series.fill;

function nearest(u, series, hovered) {
  const values = u.data[series];
  for (let away = 0; away < values.length; away++) {
    if (values[hovered - away] != null) return hovered - away;
    if (values[hovered + away] != null) return hovered + away;
  }
  return hovered;
}

function chart(holder, { name, all, shown = short, ticks = short, fromZero, logarithmic, unmarked }, zoom) {
  const value = (u, drawn, place, index) => {
    if (drawn == null) return '–';
    const { own, raws, xs } = (u.lines ?? all)[place - 1];
    const at = xs.indexOf(u.data[0][index]);
    if (own) return shown(own[at]);
    return raws ? `${shown(drawn)} (raw ${shown(raws[at])})` : shown(drawn);
  };
  const axis = AXES[state.axis];
  const axisLook = { stroke: ink(), grid: { stroke: grid(), width: 1 }, ticks: { stroke: grid(), width: 1 }, font: '12px system-ui, sans-serif' };
  const chart = new uPlot({
    width: Math.max(holder.clientWidth, 200),
    height: 240,
    scales: { x: { time: false }, y: logarithmic ? { distr: 3 } : fromZero ? { range: (u, low, high) => [0, high > 0 ? high * 1.05 : 1] } : {} },
    axes: [
      { ...axisLook, values: (u, at) => at.map(axis.shown), space: state.axis === 'seconds' ? 80 : 50 },
      { ...axisLook, values: (u, at) => at.map((tick) => (tick == null ? '' : ticks(tick))), size: 62 },
    ],
    series: [
      { label: axis.title, value: (u, x) => (x == null ? '–' : axis.shown(x)) },
      ...all.map(({ series, xs }) => ({ points: { show: dotted(series, xs), size: 5 }, ...series, value })),
    ],
    legend: { markers: { dash: (u, place) => (u.series[place].dash ? 'dotted' : 'solid') } },
    cursor: { dataIdx: nearest, y: false, drag: { x: true, y: false } },
    hooks: { draw: unmarked ? [] : [drawRestarts] },
  }, joined(all), holder);
  chart.axis = state.axis;
  chart.lines = all;
  const rows = holder.querySelectorAll('.u-series');
  all.forEach(({ raw }, place) => { rows[place + 1].hidden = Boolean(raw); });
  holder.addEventListener('keydown', (event) => moveCursor(event, chart));
  if (zoom && zoom.min < chart.data[0].at(-1) && zoom.max > chart.data[0][0]) chart.setScale('x', zoom);
  charts[name] = chart;
}

/** Moves a chart's cursor from point to point of the part that it shows. */
function moveCursor(event, chart) {
  const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
  const move = moves[event.key];
  if (move === undefined) return;
  event.preventDefault();
  const [xs, { min, max }] = [chart.data[0], chart.scales.x];
  const [first, last] = [xs.findIndex((x) => x >= min), xs.findLastIndex((x) => x <= max)];
  if (first > last) return;
  const place = chart.cursor.left >= 0 ? chart.cursor.idx : move > 0 ? first - 1 : last + 1;
  const next = Math.min(Math.max(place + move, first), last);
  chart.setCursor({ left: chart.valToPos(xs[next], 'x'), top: 10 });
}

/** Draws a dashed line where an attempt went on from a checkpoint. */
function drawRestarts(u) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.setLineDash([4, 4]);
  ctx.lineWidth = devicePixelRatio;
  for (const { run, index } of shownRuns()) {
    for (const attempt of run.attempts.slice(1)) {
      const x = placeOfStep(run.curves.steps, attempt.from_step);
      if (x == null || x < u.scales.x.min || x > u.scales.x.max) continue;
      const left = Math.round(u.valToPos(x, 'x', true));
      ctx.strokeStyle = colour(index);
      ctx.beginPath();
      ctx.moveTo(left, bbox.top);
      ctx.lineTo(left, bbox.top + bbox.height);
      ctx.stroke();
    }
  }
  ctx.restore();
}

function placeOfStep(columns, step) {
  const row = columns.step.findLastIndex((of) => of <= step);
  return row < 0 ? null : columns[state.axis][row];
}
