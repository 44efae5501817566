// The sections below and above the curves, each from what the document says of the shown runs.

function drawSections() {
  const runs = shownRuns();
  const of = (part) => runs.map(({ run, index }) => [index, run.label, part(run)]);
  section('runs', of((run) => [run.summary, run.notes]), runsTable);
  section('ranks', of((run) => run.ranks), () => runs.flatMap(heatMaps));
  section('evaluation', of((run) => run.evaluations), () => runs.flatMap(({ run, index }) => run.evaluations.map((it) => evaluation(run, index, it))));
  section('attempts', of((run) => [run.attempts, run.last_seen_at ?? doc.made_at]), () => runs.flatMap(attempts));
  drawRecipes();
  section('machine', of((run) => [run.attempts, run.ranks.hosts, run.resolved]), machine);
}

function runsTable() {
  const among = (value, planned, shown = String) => (planned == null ? shown(value) : `${shown(value)}/${shown(planned)}`);
  const rows = shownRuns().map(({ run: { summary: it }, index }) => [
    named(index), { text: it.state, class: `state ${it.state}` },
    { text: among(it.epochs, it.planned_epochs), value: it.epochs }, number(it.steps, String),
    { text: it.best_top1 == null ? '–' : `${share(it.best_top1)} (epoch ${it.best_epoch})`, value: it.best_top1 },
    number(it.last_top1, share), number(it.train_loss, share), number(it.val_loss, share),
    { text: among(it.images_per_second, it.planned_images_per_second, short), value: it.images_per_second },
    number(it.seconds, duration), number(it.ranks, String), number(it.attempts, String),
  ]);
  const columns = ['run', 'state', 'epochs', 'steps', 'best top-1', 'last top-1', 'loss', 'val. loss', 'images/s', 'time', 'ranks', 'attempts'];
  const notes = shownRuns().flatMap(({ run }) => run.notes);
  return [table('runs', columns, rows), notes.length ? el('ul', { class: 'notes' }, ...notes.map((note) => el('li', {}, note))) : null];
}

function heatMaps({ run, index }) {
  const maps = [
    ['waits', run.ranks.waits, 'time waited in collectives for the others, by step (last steps of the newest attempt)', milliseconds],
    ['slowest', run.ranks.slowest, 'part of the log intervals in which the rank was the slowest', percent],
  ];
  return maps.filter(([, map]) => map).map(([name, map, what, shown]) => {
    const range = ([first, last]) => (first === last ? `step ${first}` : `steps ${first} to ${last}`);
    const host = (rank) => (run.ranks.hosts[rank] ? ` on ${run.ranks.hosts[rank]}` : '');
    const most = Math.max(...map.values.flat());
    return matrix({
      name: `${name} ${index}`,
      caption: `${run.label}: ${what}; strongest: ${shown(most)}`,
      rows: map.ranks.map((rank) => `rank ${rank}`), columns: map.columns.map(([first], x) => (x % 10 === 0 ? String(first) : '')),
      values: map.values, most,
      describe: (y, x) => `rank ${map.ranks[y]}${host(map.ranks[y])}, ${range(map.columns[x])}: ${shown(map.values[y][x])}`,
    });
  });
}

// ---- evaluations

function evaluation(run, index, it) {
  const name = `${it.split} ${index}`;
  const parts = [
    el('h3', {}, `${run.label}: ${it.split}`),
    el('p', {}, `${it.images} images at ${it.resolution_px}×${it.resolution_px} pixels${it.flip ? ' and their mirror images' : ''}, `
      + `${it.weights === 'ema' ? 'moving average of the weights' : 'weights'} of step ${it.step ?? '–'}: top-1 ${share(it.top1)}, `
      + `top-5 ${share(it.top5)}, loss ${share(it.loss)} (${it.evaluated_at}).`),
  ];
  const classes = table(`classes ${name}`, ['class', 'images', 'top-1', 'top-5'], it.classes.map((of) => [
    text(of.name), number(of.images, String), number(of.top1, share), number(of.top5, share),
  ]), { caption: 'Accuracy by class', tall: true });
  const errors = it.confusion ? confusion(name, it) : it.pairs.length ? pairs(name, it.pairs) : null;
  parts.push(el('div', { class: 'beside' }, errors, classes));
  if (it.worst.length) {
    const pictures = it.worst.map((image, place) => el('figure', {},
      it.pictures[place] ? el('img', { src: it.pictures[place], alt: `${image.label}, image ${image.index}` }) : null,
      el('figcaption', { title: image.name }, el('b', {}, image.label), ` taken for ${image.predicted}, ${percent(image.probability)}`)));
    parts.push(el('h4', {}, 'Classified worst: the wrong class that the network was surest of'), el('div', { class: 'pictures' }, ...pictures));
  }
  return el('div', {}, ...parts);
}

const pairs = (name, of) => table(`pairs ${name}`, ['class', 'taken for', 'images', 'of the class'], of.map((pair) => [
  text(pair.label), text(pair.predicted), number(pair.images, String), number(pair.images / pair.of, percent),
]), { tall: true, caption: `The ${of.length} pairs of classes that are confused most` });

function confusion(name, { confusion: counts, classes }) {
  const names = classes.map((of) => of.name);
  const off = counts.flatMap((row, y) => row.filter((_, x) => x !== y));
  return matrix({
    name: `confusion ${name}`,
    caption: 'Images by class (rows) and most probable class (columns)',
    rows: names, columns: names, values: counts, most: Math.max(...off, 1), shown: (count) => (count ? String(count) : ''),
    mark: (y, x) => (x === y ? 'right' : null),
    describe: (y, x) => `${counts[y][x]} of ${classes[y].images} images of ${names[y]} ${x === y ? 'are right' : `are taken for ${names[x]}`}`,
  });
}

// ---- attempts

function attempts({ run, index }) {
  const ends = (it) => [it.end ?? 'not recorded', it.failure].filter(Boolean).join('; ');
  const rows = run.attempts.map((it, place) => [
    number(it.number, String), it.started_at.replace('T', ' ').replace('Z', ''), number((endOf(run, place) - Date.parse(it.started_at)) / 1000, duration),
    number(it.from_step, String), number(it.saved_step, (step) => (step == null ? '–' : String(step))), number(it.ranks, String), it.host,
    number(it.exit_code, (code) => (code == null ? '–' : String(code))), text(ends(it)),
  ]);
  const columns = ['attempt', 'started (UTC)', 'took', 'from step', 'saved step', 'ranks', 'host', 'exit code', 'end'];
  return [doc.runs.length > 1 ? el('h3', {}, run.label) : null, timeline(run, index), table(`attempts ${index}`, columns, rows)];
}

/** When an attempt ended; one without a recorded end lasted until the next began, or until the last sign of life. */
const endOf = (run, place) => Date.parse(run.attempts[place].ended_at ?? run.attempts[place + 1]?.started_at ?? run.last_seen_at ?? doc.made_at);

function timeline(run, index) {
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
  const clock = (time) => (Number.isFinite(time) ? new Date(time).toISOString().replace('T', ' ').slice(0, 19) : '–');
  return el('div', { class: 'timeline', 'data-name': `timeline ${index}` }, el('div', { class: 'bars' }, ...bars),
    el('div', { class: 'ends' }, el('span', {}, clock(start)), el('span', {}, clock(end))), told);
}

// ---- recipes and machine

function drawRecipes() {
  const runs = shownRuns();
  const what = [state.base, state.onlyDifferent, runs.map(({ run, index }) => [index, run.label, run.recipe])];
  section('recipe', what, () => (runs.length > 1 ? comparison(runs) : [recipe(runs[0].run)]));
}

function recipe(run) {
  const keys = Object.keys(run.recipe).sort();
  if (!keys.length) return null;
  const all = table('recipe', ['key', 'value'], keys.map((key) => [text(key), text(run.recipe[key])]));
  const folded = el('details', { 'data-name': 'all keys', open: state.opened.has('recipe') }, el('summary', {}, `All ${keys.length} keys`), all);
  folded.addEventListener('toggle', () => state.opened[folded.open ? 'add' : 'delete']('recipe'));
  return folded;
}

function comparison(runs) {
  const keys = [...new Set(runs.flatMap(({ run }) => Object.keys(run.recipe)))].sort();
  const different = keys.filter((key) => runs.some(({ run }) => run.recipe[key] !== runs[0].run.recipe[key]));
  const base = runs.find(({ index }) => index === state.base) ?? runs[0];
  const choice = el('select', { onchange: (event) => { state.base = Number(event.target.value); drawRecipes(); } },
    ...runs.map(({ run, index }) => el('option', { value: index, selected: index === base.index }, run.label)));
  const only = el('input', { type: 'checkbox', checked: state.onlyDifferent, onchange: (event) => { state.onlyDifferent = event.target.checked; drawRecipes(); } });
  const choices = el('p', { class: 'choices', 'data-name': 'choices' },
    el('label', {}, 'Compared with ', choice), el('label', {}, only, ` only keys that differ (${different.length})`));
  const value = (run, key) => ({ text: run.recipe[key] ?? 'unset', class: run.recipe[key] === base.run.recipe[key] ? 'text same' : 'text other' });
  const shown = state.onlyDifferent ? different : keys;
  const rows = shown.map((key) => [text(key), ...runs.map(({ run }) => value(run, key))]);
  return [choices, rows.length ? table('recipes', ['key', ...runs.map(({ run }) => run.label)], rows) : null];
}

function machine() {
  const rows = shownRuns().map(({ run, index }) => {
    const newest = run.attempts.at(-1);
    const hosts = [...new Set([newest?.host, ...Object.values(run.ranks.hosts)])].filter(Boolean);
    return [named(index), number(newest?.ranks, String), text(hosts.join(', ')), text(newest?.user), text(run.resolved), text(run.summary.path)];
  });
  const commands = shownRuns().map(({ run }) => el('pre', { tabindex: 0 }, el('code', {}, run.attempts.at(-1)?.command ?? '')));
  return [table('machine', ['run', 'ranks', 'hosts', 'user', 'versions', 'folder'], rows), ...commands];
}
