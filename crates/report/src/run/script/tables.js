// Tables, and matrices of coloured cells.

/** A table that can be sorted, named so that sorting lasts. A cell is a text, or { text, value, node, class }. */
function table(name, columns, rows, options = {}) {
  const isText = (column) => rows[0]?.[column]?.class?.startsWith('text');
  const headers = columns.map((title, column) => el('th', { scope: 'col', class: isText(column) ? 'text' : null }, title));
  const caption = options.caption && el('caption', {}, options.caption);
  const body = el('tbody', {}, ...rows.map((row) => el('tr', {}, ...row.map(cell))));
  const made = el('table', { 'data-name': name }, caption, el('thead', {}, el('tr', {}, ...headers)), body);
  sortable(made);
  return el('div', { class: options.tall ? 'table tall' : 'table', tabindex: 0, 'data-name': `${name} scroll` }, made);
}

function cell(content) {
  if (content === null || typeof content !== 'object') return el('td', {}, content ?? '–');
  return el('td', { class: content.class, 'data-value': 'value' in content ? content.value ?? '' : null }, content.node ? content.node() : content.text ?? '–');
}

const number = (value, shown = short) => ({ text: shown(value), value });
const text = (value) => ({ text: value, class: 'text' });
const swatch = (index) => { const mark = el('span', { class: 'swatch' }); mark.style.background = colour(index); return mark; };
const named = (index) => ({ value: doc.runs[index].label, class: 'text', node: () => el('span', { class: 'named' }, swatch(index), el('span', {}, doc.runs[index].label)) });

/** Coloured cells by rank or class, explored by pointer or arrow keys; `describe(row, column)` tells a cell in words. */
function matrix({ name, caption, rows, columns, values, shown, describe, most, mark }) {
  const told = el('output', {}, ' ');
  const cells = values.map((row, y) => row.map((value, x) => {
    const strength = most > 0 ? Math.min(value / most, 1) : 0;
    const td = el('td', { title: describe(y, x), class: mark?.(y, x) }, shown ? shown(value) : '');
    td.style.setProperty('--strength', `${Math.round(90 * Math.sqrt(strength))}%`);
    if (strength > 0.45) td.classList.add('strong');
    td.addEventListener('pointerenter', () => at(y, x));
    return td;
  }));
  function at(y, x) {
    const before = state.places.get(name);
    if (before) cells[before[0]]?.[before[1]]?.classList.remove('at');
    state.places.set(name, [y, x]);
    cells[y][x].classList.add('at');
    told.textContent = describe(y, x);
  }
  function move(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const by = moves[event.key];
    if (!by) return;
    event.preventDefault();
    const place = state.places.get(name);
    const next = place ? [place[0] + by[0], place[1] + by[1]] : [0, 0];
    if (cells[next[0]]?.[next[1]]) at(...next);
  }
  const place = state.places.get(name);
  if (place && cells[place[0]]?.[place[1]]) at(...place);
  const head = el('tr', {}, el('td'), ...columns.map((title) => el('th', { scope: 'col' }, el('span', {}, title))));
  const body = cells.map((row, y) => el('tr', {}, el('th', { scope: 'row' }, rows[y]), ...row));
  return el('div', { class: 'matrix' },
    el('div', { class: 'table', tabindex: 0, 'data-name': name, onkeydown: move },
      el('table', { class: shown ? 'numbers' : 'heat' }, el('caption', {}, caption), el('thead', {}, head), el('tbody', {}, ...body))),
    told);
}
