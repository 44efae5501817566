// Makes the columns of tables sort by a click on their names. Loaded by every page with tables.

/** By which column tables with a name were sorted last; a table of that name that is drawn anew is sorted alike. */
const orders = new Map();

function sortable(table) {
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const name = table.dataset.name;
  function sort(column, down) {
    headers.forEach((header) => header.removeAttribute('aria-sort'));
    headers[column].setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const rows = [...body.rows].map((row) => [sortKey(row.cells[column]), row]);
    body.append(...rows.sort(([one], [other]) => compareKeys(one, other, down)).map(([, row]) => row));
  }
  headers.forEach((header, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener('click', () => {
      const down = header.getAttribute('aria-sort') === 'ascending';
      if (name) orders.set(name, [header.textContent, down]);
      sort(column, down);
    });
  });
  const [title, down] = orders.get(name) ?? [];
  const column = headers.findIndex((header) => header.textContent === title);
  if (column >= 0) sort(column, down);
}

/** What a cell is sorted by: its `data-value`, else its text; as a number if it is one, possibly with a unit. None if it is empty. */
function sortKey(cell) {
  const text = (cell.dataset.value ?? cell.textContent).trim();
  if (text === '' || text === '–') return null;
  const parts = /^([-+]?\d*\.?\d+(?:e[-+]?\d+)?)([kMG]?)(?:\s*(?:%|ms|s))?$/.exec(text.replace('−', '-'));
  return parts ? Number(parts[1]) * { '': 1, k: 1e3, M: 1e6, G: 1e9 }[parts[2]] : text;
}

/** Orders keys, numbers before texts; cells without a key come last in both directions. */
function compareKeys(one, other, down) {
  if (one == null || other == null) return (one == null) - (other == null);
  const [isNumber, isOther] = [typeof one === 'number', typeof other === 'number'];
  const order = isNumber && isOther ? one - other
    : isNumber !== isOther ? Number(isOther) - Number(isNumber)
      : one.localeCompare(other, undefined, { numeric: true });
  return down ? -order : order;
}
