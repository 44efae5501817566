// Draws the page of runs from its document. `regattaReport.show(document)` draws a newer one in its place.
'use strict';
(() => {
  const state = { axis: 'step', smoothing: 0.6, logarithmic: false, hidden: new Set(), onlyDifferent: true, base: 0, printing: false };
  const charts = {};
  let doc;

  // ---- elements and numbers

  function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, '');
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child != null));
    return element;
  }

  const trimmed = (text) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);
  function short(value) {
    if (value == null || !Number.isFinite(value)) return '–';
    const size = Math.abs(value);
    if (size >= 1e9) return trimmed((value / 1e9).toPrecision(3)) + 'G';
    if (size >= 1e6) return trimmed((value / 1e6).toPrecision(3)) + 'M';
    if (size >= 1e4) return trimmed((value / 1e3).toPrecision(3)) + 'k';
    if (size >= 1000) return value.toFixed(0);
    return size !== 0 && size < 1e-3 ? value.toExponential(1) : trimmed(value.toPrecision(4));
  }
  const share = (value) => (value == null ? '–' : value.toFixed(4));
  const percent = (value) => (value == null ? '–' : `${(100 * value).toFixed(1)}\u00a0%`);
  const milliseconds = (value) => (value == null ? '–' : `${short(1000 * value)} ms`);
  function duration(seconds) {
    if (seconds == null || !Number.isFinite(seconds)) return '–';
    const whole = Math.round(seconds);
    const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
    if (days) return `${days} d ${hours} h`;
    if (hours) return `${hours} h ${minutes} min`;
    return minutes ? `${minutes} min ${whole % 60} s` : `${seconds < 10 ? trimmed(seconds.toFixed(1)) : whole} s`;
  }

  // ---- colours

  const isDark = () => !state.printing && matchMedia('(prefers-color-scheme: dark)').matches;
  function colour(index) {
    const parts = doc.palette[index % doc.palette.length].match(/\w\w/g).map((part) => parseInt(part, 16));
    const lit = isDark() ? parts.map((part) => Math.round(part + (255 - part) * 0.4)) : parts;
    return `rgb(${lit.join(', ')})`;
  }
  const faint = (of) => of.replace('rgb', 'rgba').replace(')', ', 0.28)');
  const ink = () => (isDark() ? '#a5a5a5' : '#555');
  const grid = () => (isDark() ? '#33373c' : '#e4e4e4');

  // ---- curves

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

  /** The exponential mean of the values so far, without the pull of a first value (as Adam's). */
  function smoothed(values, weight) {
    let mean = 0, sum = 0;
    return values.map((value) => {
      mean = weight * mean + (1 - weight) * value;
      sum = weight * sum + (1 - weight);
      return mean / sum;
    });
  }

  const nearest = (u, series, hovered) => {
    const values = u.data[series];
    for (let away = 0; away < values.length; away++) {
      if (values[hovered - away] != null) return hovered - away;
      if (values[hovered + away] != null) return hovered + away;
    }
    return hovered;
  };

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

  /** Draws lines into a figure; without points nothing is drawn. */
  function chart(into, name, title, all, shown = short, options = {}) {
    const old = charts[name];
    const zoom = old && old.axis === state.axis && (old.scales.x.min > old.data[0][0] || old.scales.x.max < old.data[0].at(-1))
      ? { min: old.scales.x.min, max: old.scales.x.max } : null;
    old?.destroy();
    delete charts[name];
    if (!all.length) return;
    const figure = el('figure', { class: 'chart' }, el('h3', {}, title));
    const holder = el('div', { tabindex: 0, role: 'img', 'aria-label': `${title}: arrow keys move through the values` });
    figure.append(holder);
    into.append(figure);
    const data = uPlot.join(all.map(({ xs, ys }) => [xs, ys]));
    const values = new Map(all.map((line, place) => [place + 1, line]));
    const original = (place, index) => {
      const { xs, raws } = values.get(place);
      return raws ? raws[xs.indexOf(data[0][index])] : undefined;
    };
    const value = (u, drawn, place, index) => {
      if (drawn == null) return '–';
      const line = values.get(place);
      if (line.own) return shown(line.own[line.xs.indexOf(data[0][index])]);
      const raw = original(place, index);
      return raw == null ? shown(drawn) : `${shown(drawn)} (raw ${shown(raw)})`;
    };
    const axis = AXES[state.axis];
    const axisLook = { stroke: ink(), grid: { stroke: grid(), width: 1 }, ticks: { stroke: grid(), width: 1 }, font: '12px system-ui, sans-serif' };
    const chart = new uPlot({
      width: Math.max(holder.clientWidth, 200),
      height: 240,
      scales: { x: { time: false }, y: options.logarithmic ? { distr: 3 } : options.fromZero ? { range: (u, low, high) => [0, high > 0 ? high * 1.05 : 1] } : {} },
      axes: [
        { ...axisLook, values: (u, ticks) => ticks.map(axis.shown), space: state.axis === 'seconds' ? 80 : 50 },
        { ...axisLook, values: (u, ticks) => ticks.map((tick) => (tick == null ? '' : (options.ticks ?? short)(tick))), size: 62 },
      ],
      series: [
        { label: axis.title, value: (u, x) => (x == null ? '–' : axis.shown(x)) },
        ...all.map(({ series, xs }) => ({ points: { show: xs.length <= 40 && !series.fill, size: 5 }, ...series, value })),
      ],
      legend: { markers: { dash: (u, place) => (u.series[place].dash ? 'dotted' : 'solid') } },
      cursor: { dataIdx: nearest, y: false, drag: { x: true, y: false } },
      hooks: { draw: options.marks === false ? [] : [drawRestarts] },
    }, data, holder);
    const rows = holder.querySelectorAll('.u-series');
    all.forEach(({ raw }, place) => { rows[place + 1].hidden = Boolean(raw); });
    holder.addEventListener('keydown', (event) => moveCursor(event, chart));
    chart.axis = state.axis;
    if (zoom) chart.setScale('x', zoom);
    charts[name] = chart;
  }

  /** Moves a chart's cursor from point to point. */
  function moveCursor(event, chart) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const last = chart.data[0].length - 1;
    const index = Math.min(Math.max((chart.cursor.idx ?? (move > 0 ? -1 : last + 1)) + move, 0), last);
    chart.setCursor({ left: chart.valToPos(chart.data[0][index], 'x'), top: 10 });
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

  const SMOOTH = { smooth: true };
  function drawCurves() {
    const into = emptied('curves');
    const has = (name) => shownRuns().some(({ run }) => run.curves.steps.series[name]);
    const training = has('loss') ? ['steps', 'loss', 'training', SMOOTH] : ['epochs', 'train_loss', 'training'];
    chart(into, 'loss', 'Loss', lines([training, ['epochs', 'val_loss', 'validation', { dash: [6, 3] }]]), short,
      { logarithmic: state.logarithmic });
    chart(into, 'accuracy', 'Accuracy', lines([
      has('top1') ? ['steps', 'top1', 'top-1, training', SMOOTH] : ['epochs', 'train_top1', 'top-1, training'],
      ['epochs', 'val_top1', 'top-1, validation', { dash: [6, 3], width: 2 }],
      ['epochs', 'val_top5', 'top-5, validation', { dash: [2, 3] }],
      ['epochs', 'val_raw_top1', 'top-1, validation, not averaged', { dash: [8, 3, 2, 3] }],
    ]), share);
    chart(into, 'lr', 'Learning rate', lines([['steps', 'lr', 'learning rate']]));
    chart(into, 'grad_norm', 'Gradient norm', lines([['steps', 'grad_norm', 'gradient norm', SMOOTH]]));
    chart(into, 'loss_scale', 'Loss scale', lines([['steps', 'loss_scale', 'loss scale']]));
    if (!into.childElementCount) into.append(el('p', {}, 'There are no records on this axis yet.'));
    show('curves');
    drawSpeed();
    drawPhases();
  }

  function drawSpeed() {
    const into = emptied('speed');
    chart(into, 'images_per_second', 'Images per second', lines([['steps', 'images_per_second', 'images/s', SMOOTH]]), short, { fromZero: true });
    chart(into, 'exposed', 'Exposed communication', lines([['steps', 'exposed_share', 'part of a step', SMOOTH]]), percent, { fromZero: true, ticks: (value) => `${short(100 * value)} %` });
    chart(into, 'memory', 'Memory in MiB', lines([
      ['steps', 'peak_rss_mib', 'largest process'],
      ['steps', 'peak_device_mib', 'GPU of rank 0, allocated', { dash: [6, 3] }],
      ['steps', 'gpu_memory_mib', 'GPU of rank 0, in use', { dash: [2, 3] }],
    ]), short, { fromZero: true });
    chart(into, 'gpu_utilization', "Utilisation of rank 0's GPU", lines([['steps', 'gpu_utilization', 'part of the time', SMOOTH]]), percent, { fromZero: true, ticks: (value) => `${short(100 * value)} %` });
    chart(into, 'gpu_power_w', "Power of rank 0's GPU in W", lines([['steps', 'gpu_power_w', 'power', SMOOTH]]), short, { fromZero: true });
    chart(into, 'gpu_temperature_c', "Temperature of rank 0's GPU in °C", lines([['steps', 'gpu_temperature_c', 'temperature', SMOOTH]]));
    chart(into, 'gpu_clock_mhz', "Clock of rank 0's GPU in MHz", lines([['steps', 'gpu_clock_mhz', 'clock', SMOOTH]]));
    show('speed', into.childElementCount > 0);
  }

  const PHASES = [['data', 'images'], ['copy', 'copy to the device'], ['forward', 'forward'], ['backward', 'backward'],
    ['exposed_comm', 'exposed communication'], ['optimizer', 'update']];

  /** One stacked chart for each run, the sums drawn from the largest to the smallest. */
  function drawPhases() {
    const into = emptied('phases');
    Object.keys(charts).filter((name) => name.startsWith('phases')).forEach((name) => { charts[name].destroy(); delete charts[name]; });
    for (const { run, index } of shownRuns()) {
      const all = PHASES.map(([name, label], place) => ({ label, place, line: points(run.curves.steps, name) }));
      const present = all.filter(({ line }) => line[0].length);
      if (!present.length) continue;
      let below = present[0].line[0].map(() => 0);
      const stacked = present.map(({ label, place, line: [xs, own] }) => {
        below = own.map((value, row) => below[row] + value);
        const fill = colour(place);
        return { xs, ys: below, own, series: { label, stroke: fill, fill, width: 0.5 } };
      });
      const title = doc.runs.length > 1 ? `${run.label}: milliseconds of a step` : 'Milliseconds of a step';
      chart(into, `phases-${index}`, title, stacked.reverse(), milliseconds, { fromZero: true, marks: false, ticks: (value) => short(1000 * value) });
    }
    show('phases', into.childElementCount > 0);
  }

  // ---- tables

  /** A table whose columns sort by clicking their names. A cell is a text, or { text, value, node, title, class }. */
  function table(columns, rows, options = {}) {
    const body = el('tbody');
    const fill = (ordered) => body.replaceChildren(...ordered.map((row) => el('tr', {}, ...row.map(cell))));
    const headers = columns.map((name, column) => {
      const isText = rows[0]?.[column]?.class?.startsWith('text');
      const header = el('th', { scope: 'col', class: isText ? 'text' : null });
      header.append(options.sortable === false ? name : el('button', { type: 'button', onclick: () => sort(column) }, name));
      return header;
    });
    function sort(column) {
      const down = headers[column].getAttribute('aria-sort') === 'ascending';
      headers.forEach((header) => header.removeAttribute('aria-sort'));
      headers[column].setAttribute('aria-sort', down ? 'descending' : 'ascending');
      fill([...rows].sort((one, other) => compare(key(one[column]), key(other[column]), down)));
    }
    fill(rows);
    const caption = options.caption && el('caption', {}, options.caption);
    return el('div', { class: options.tall ? 'table tall' : 'table', tabindex: 0 }, el('table', {}, caption, el('thead', {}, el('tr', {}, ...headers)), body));
  }
  const key = (cell) => (cell !== null && typeof cell === 'object' ? ('value' in cell ? cell.value : cell.text) : cell);
  function compare(one, other, down) {
    if (one == null || other == null) return (one == null) - (other == null);
    const order = typeof one === 'number' && typeof other === 'number' ? one - other : String(one).localeCompare(String(other), undefined, { numeric: true });
    return down ? -order : order;
  }
  function cell(content) {
    if (content === null || typeof content !== 'object') return el('td', {}, content ?? '–');
    return el('td', { class: content.class, title: content.title }, content.node ? content.node() : content.text ?? '–');
  }
  const number = (value, shown = short) => ({ text: shown(value), value });
  const swatch = (index) => { const mark = el('span', { class: 'swatch' }); mark.style.background = colour(index); return mark; };
  const named = (index) => ({ value: doc.runs[index].label, class: 'text', node: () => el('span', {}, swatch(index), doc.runs[index].label) });

  function drawRuns() {
    const into = emptied('runs');
    const rows = shownRuns().map(({ run: { summary: it }, index }) => [
      named(index), { text: it.state, class: `state ${it.state}` },
      { text: it.planned_epochs == null ? it.epochs : `${it.epochs}/${it.planned_epochs}`, value: it.epochs }, number(it.steps, String),
      { text: it.best_top1 == null ? '–' : `${share(it.best_top1)} (epoch ${it.best_epoch})`, value: it.best_top1 },
      number(it.last_top1, share), number(it.train_loss, share), number(it.val_loss, share), number(it.images_per_second),
      number(it.seconds, duration), number(it.ranks, String), number(it.attempts, String),
    ]);
    into.append(table(['run', 'state', 'epochs', 'steps', 'best top-1', 'last top-1', 'loss', 'val. loss', 'images/s', 'time', 'ranks', 'attempts'], rows));
    const notes = shownRuns().flatMap(({ run }) => run.notes);
    if (notes.length) into.append(el('ul', { class: 'notes' }, ...notes.map((note) => el('li', {}, note))));
    show('runs');
  }

  /** Coloured cells by rank or class, explored by pointer or arrow keys; `describe(row, column)` tells a cell in words. */
  function matrix({ caption, rows, columns, values, shown, describe, most, mark }) {
    const told = el('output', {}, ' ');
    const cells = values.map((row, y) => row.map((value, x) => {
      const strength = most > 0 ? Math.min(value / most, 1) : 0;
      const td = el('td', { title: describe(y, x), class: mark?.(y, x) }, shown ? shown(value) : '');
      td.style.setProperty('--strength', `${Math.round(90 * Math.sqrt(strength))}%`);
      if (strength > 0.45) td.classList.add('strong');
      td.addEventListener('pointerenter', () => at(y, x));
      return td;
    }));
    let place;
    function at(y, x) {
      if (place) cells[place[0]][place[1]].classList.remove('at');
      place = [y, x];
      cells[y][x].classList.add('at');
      told.textContent = describe(y, x);
    }
    function move(event) {
      const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
      const by = moves[event.key];
      if (!by) return;
      event.preventDefault();
      const next = place ? [place[0] + by[0], place[1] + by[1]] : [0, 0];
      if (cells[next[0]]?.[next[1]]) at(...next);
    }
    const head = el('tr', {}, el('td'), ...columns.map((name) => el('th', { scope: 'col' }, el('span', {}, name))));
    const body = cells.map((row, y) => el('tr', {}, el('th', { scope: 'row' }, rows[y]), ...row));
    return el('div', { class: 'matrix' },
      el('div', { class: 'table', tabindex: 0, onkeydown: move },
        el('table', { class: shown ? 'numbers' : 'heat' }, el('caption', {}, caption), el('thead', {}, head), el('tbody', {}, ...body))),
      told);
  }

  function drawRanks() {
    const into = emptied('ranks');
    for (const { run } of shownRuns()) {
      const maps = [
        [run.ranks.waits, 'time waited in collectives for the others, by step (last steps of the newest attempt)', milliseconds],
        [run.ranks.slowest, 'part of the log intervals in which the rank was the slowest', percent],
      ];
      for (const [map, what, shown] of maps) {
        if (!map) continue;
        const range = ([first, last]) => (first === last ? `step ${first}` : `steps ${first} to ${last}`);
        const ends = map.columns.map(([first], x) => (x % 10 === 0 ? String(first) : ''));
        const host = (rank) => (run.ranks.hosts[rank] ? ` on ${run.ranks.hosts[rank]}` : '');
        into.append(matrix({
          caption: `${run.label}: ${what}; strongest: ${shown(Math.max(...map.values.flat()))}`,
          rows: map.ranks.map((rank) => `rank ${rank}`), columns: ends, values: map.values, most: Math.max(...map.values.flat()),
          describe: (y, x) => `rank ${map.ranks[y]}${host(map.ranks[y])}, ${range(map.columns[x])}: ${shown(map.values[y][x])}`,
        }));
      }
    }
    show('ranks', into.childElementCount > 0);
  }

  function drawEvaluations() {
    const into = emptied('evaluation');
    for (const { run } of shownRuns()) run.evaluations.forEach((it) => into.append(evaluation(run, it)));
    show('evaluation', into.childElementCount > 0);
  }

  function evaluation(run, it) {
    const parts = [
      el('h3', {}, `${run.label}: ${it.split}`),
      el('p', {}, `${it.images} images at ${it.resolution_px}×${it.resolution_px} pixels${it.flip ? ' and their mirror images' : ''}, `
        + `${it.weights === 'ema' ? 'moving average of the weights' : 'weights'} of step ${it.step ?? '–'}: top-1 ${share(it.top1)}, `
        + `top-5 ${share(it.top5)}, loss ${share(it.loss)} (${it.evaluated_at}).`),
    ];
    const classes = table(['class', 'images', 'top-1', 'top-5'], it.classes.map((of) => [
      { text: of.name, class: 'text' }, number(of.images, String), number(of.top1, share), number(of.top5, share),
    ]), { caption: 'Accuracy by class', tall: true });
    const errors = it.confusion ? confusion(it) : it.pairs.length ? pairs(it.pairs) : null;
    parts.push(el('div', { class: 'beside' }, errors, classes));
    if (it.worst.length) {
      const pictures = it.worst.map((image, place) => el('figure', {},
        it.pictures[place] ? el('img', { src: it.pictures[place], alt: `${image.label}, image ${image.index}` }) : null,
        el('figcaption', { title: image.name }, el('b', {}, image.label), ` taken for ${image.predicted}, ${percent(image.probability)}`)));
      parts.push(el('h4', {}, 'Classified worst: the wrong class that the network was surest of'), el('div', { class: 'pictures' }, ...pictures));
    }
    return el('div', {}, ...parts);
  }

  const pairs = (of) => table(['class', 'taken for', 'images', 'of the class'], of.map((pair) => [
    { text: pair.label, class: 'text' }, { text: pair.predicted, class: 'text' }, number(pair.images, String), number(pair.images / pair.of, percent),
  ]), { tall: true, caption: `The ${of.length} pairs of classes that are confused most` });

  function confusion({ confusion: counts, classes }) {
    const names = classes.map((of) => of.name);
    const off = counts.flatMap((row, y) => row.filter((_, x) => x !== y));
    return matrix({
      caption: 'Images by class (rows) and most probable class (columns)',
      rows: names, columns: names, values: counts, most: Math.max(...off, 1), shown: (count) => (count ? String(count) : ''),
      mark: (y, x) => (x === y ? 'right' : null),
      describe: (y, x) => `${counts[y][x]} of ${classes[y].images} images of ${names[y]} ${x === y ? 'are right' : `are taken for ${names[x]}`}`,
    });
  }

  // ---- attempts, recipes, machine

  function drawAttempts() {
    const into = emptied('attempts');
    for (const { run } of shownRuns()) {
      if (doc.runs.length > 1) into.append(el('h3', {}, run.label));
      into.append(timeline(run));
      const ends = (it) => [it.end ?? 'not recorded', it.failure].filter(Boolean).join('; ');
      into.append(table(['attempt', 'started (UTC)', 'took', 'from step', 'saved step', 'ranks', 'host', 'exit code', 'end'], run.attempts.map((it, place) => [
        number(it.number, String), it.started_at.replace('T', ' ').replace('Z', ''), number((endOf(run, place) - Date.parse(it.started_at)) / 1000, duration),
        number(it.from_step, String), number(it.saved_step, (step) => (step == null ? '–' : String(step))), number(it.ranks, String), it.host,
        number(it.exit_code, (code) => (code == null ? '–' : String(code))), { text: ends(it), class: 'text' },
      ])));
    }
    show('attempts');
  }

  /** When an attempt ended; one without a recorded end lasted until the next began, or until the last sign of life. */
  const endOf = (run, place) => Date.parse(run.attempts[place].ended_at ?? run.attempts[place + 1]?.started_at ?? run.last_seen_at ?? doc.made_at);

  function timeline(run) {
    const start = Date.parse(run.attempts[0]?.started_at);
    const end = Math.max(...run.attempts.map((_, place) => endOf(run, place)), start + 1000);
    const part = (time) => `${(100 * (time - start)) / (end - start)}%`;
    const kind = (code) => (code === 0 ? 'done' : code === 75 ? 'stopped' : code == null ? 'open' : 'failed');
    const bars = run.attempts.map((it, place) => {
      const [from, to] = [Date.parse(it.started_at), endOf(run, place)];
      const why = `attempt ${it.number}, ${duration((to - from) / 1000)}: ${it.failure ?? it.end ?? 'its end was not recorded'}`;
      const bar = el('div', { class: `bar ${kind(it.exit_code)}`, title: why, tabindex: 0, role: 'img', 'aria-label': why }, String(it.number));
      bar.style.left = part(from);
      bar.style.width = `max(3px, ${(100 * (to - from)) / (end - start)}%)`;
      for (const event of ['pointerenter', 'focus']) bar.addEventListener(event, () => { told.textContent = why; });
      return bar;
    });
    const told = el('output', {}, run.attempts.length > 1 ? 'Each bar is an attempt; point at one for its end.' : ' ');
    const clock = (time) => new Date(time).toISOString().replace('T', ' ').slice(0, 19);
    return el('div', { class: 'timeline' }, el('div', { class: 'bars' }, ...bars),
      el('div', { class: 'ends' }, el('span', {}, clock(start)), el('span', {}, clock(end))), told);
  }

  function drawRecipes() {
    const into = emptied('recipe');
    const runs = shownRuns();
    const keys = [...new Set(runs.flatMap(({ run }) => Object.keys(run.recipe)))].sort();
    const differs = (key) => runs.some(({ run }) => run.recipe[key] !== runs[0].run.recipe[key]);
    const different = keys.filter(differs);
    if (runs.length < 2) {
      const all = table(['key', 'value'], keys.map((key) => [key, { text: runs[0].run.recipe[key], class: 'text' }]));
      into.append(el('details', {}, el('summary', {}, `All ${keys.length} keys`), all));
      return show('recipe', keys.length > 0);
    }
    const base = runs.find(({ index }) => index === state.base) ?? runs[0];
    const choice = el('select', { onchange: (event) => { state.base = Number(event.target.value); drawRecipes(); } },
      ...runs.map(({ run, index }) => el('option', { value: index, selected: index === base.index }, run.label)));
    const only = el('input', { type: 'checkbox', checked: state.onlyDifferent, onchange: (event) => { state.onlyDifferent = event.target.checked; drawRecipes(); } });
    into.append(el('p', { class: 'choices' }, el('label', {}, 'Compared with ', choice), el('label', {}, only, ` only keys that differ (${different.length})`)));
    const value = (run, key) => ({ text: run.recipe[key] ?? 'unset', class: run.recipe[key] === base.run.recipe[key] ? 'text same' : 'text other' });
    const shown = state.onlyDifferent ? different : keys;
    if (shown.length) into.append(table(['key', ...runs.map(({ run }) => run.label)], shown.map((key) => [key, ...runs.map(({ run }) => value(run, key))])));
    show('recipe');
  }

  function drawMachine() {
    const into = emptied('machine');
    const rows = shownRuns().map(({ run, index }) => {
      const newest = run.attempts.at(-1);
      const hosts = [...new Set([newest?.host, ...Object.values(run.ranks.hosts)])].filter(Boolean);
      return [named(index), number(newest?.ranks, String), { text: hosts.join(', '), class: 'text' }, { text: newest?.user, class: 'text' },
        { text: run.resolved, class: 'text' }, { text: run.summary.path, class: 'text' }];
    });
    into.append(table(['run', 'ranks', 'hosts', 'user', 'versions', 'folder'], rows));
    for (const { run } of shownRuns()) into.append(el('pre', { tabindex: 0 }, el('code', {}, run.attempts.at(-1)?.command ?? '')));
    show('machine');
  }

  // ---- the page

  const emptied = (id) => { const into = document.querySelector(`#${id} .content`); into.replaceChildren(); return into; };
  const show = (id, isShown = true) => { document.getElementById(id).hidden = !isShown; };
  const shownRuns = () => doc.runs.map((run, index) => ({ run, index })).filter(({ index }) => !state.hidden.has(index));

  function drawControls() {
    const runs = doc.runs.map((run, index) => el('label', {}, el('input', {
      type: 'checkbox', checked: !state.hidden.has(index), 'data-run': index,
      onchange: (event) => {
        state.hidden[event.target.checked ? 'delete' : 'add'](index);
        if (state.hidden.size === doc.runs.length) { state.hidden.delete(index); event.target.checked = true; }
        drawContent();
      },
    }), swatch(index), run.label));
    const axes = Object.entries(AXES).map(([name, { title }]) => el('label', {}, el('input', {
      type: 'radio', name: 'axis', value: name, checked: state.axis === name, onchange: () => { state.axis = name; drawCurves(); },
    }), title));
    const told = el('output', {}, state.smoothing.toFixed(2));
    const slider = el('input', {
      type: 'range', id: 'smoothing', min: 0, max: 0.99, step: 0.01, value: state.smoothing,
      oninput: (event) => { state.smoothing = Number(event.target.value); told.textContent = state.smoothing.toFixed(2); drawCurves(); },
    });
    document.getElementById('controls').replaceChildren(
      doc.runs.length > 1 ? el('fieldset', {}, el('legend', {}, 'Runs'), ...runs) : '',
      el('fieldset', {}, el('legend', {}, 'Horizontal axis'), ...axes),
      el('fieldset', {}, el('legend', {}, 'Smoothing'), slider, told),
      el('label', {}, el('input', {
        type: 'checkbox', id: 'logarithmic', checked: state.logarithmic,
        onchange: (event) => { state.logarithmic = event.target.checked; drawCurves(); },
      }), 'logarithmic loss'));
  }

  function drawContent() {
    drawRuns();
    drawCurves();
    drawRanks();
    drawEvaluations();
    drawAttempts();
    drawRecipes();
    drawMachine();
  }

  function drawAll() {
    drawControls();
    drawContent();
    const reduced = doc.runs.some((run) => run.curves.logged > doc.most_points);
    const most = Math.max(...doc.runs.map((run) => run.curves.logged));
    document.querySelector('footer').textContent = `Read ${doc.made_at} by regatta ${doc.version}. `
      + (reduced ? `Of up to ${most.toLocaleString('en')} records of a run, each curve shows at most ${doc.most_points.toLocaleString('en')} points: `
        + 'its first and last, and the lowest and highest of each equally long piece. Smoothing is computed from these. ' : '')
      + 'Dashed vertical lines are restarts. Drag across a chart to enlarge a part, double-click to see all.';
  }

  /** Draws a document in place of the one before it; what was chosen on the page stays. */
  function showDocument(newer) {
    doc = newer;
    state.hidden = new Set([...state.hidden].filter((index) => index < doc.runs.length));
    if (state.hidden.size === doc.runs.length) state.hidden.clear();
    document.title = doc.title;
    document.querySelector('h1').textContent = doc.title;
    drawAll();
  }

  const fit = () => Object.values(charts).forEach((chart) => {
    const width = Math.max(chart.root.parentElement.clientWidth, 200);
    if (width !== chart.width) chart.setSize({ width, height: chart.height });
  });
  addEventListener('resize', fit);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  addEventListener('beforeprint', () => { state.printing = true; drawAll(); });
  addEventListener('afterprint', () => { state.printing = false; drawAll(); });
  window.regattaReport = { charts, state, show: showDocument, get document() { return doc; } };
  showDocument(JSON.parse(document.getElementById('document').textContent));
})();
