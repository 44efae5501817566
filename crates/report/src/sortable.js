// Makes the columns of tables sort by a click on their names. Loaded by every page with tables.

/** How the tables with a name were sorted last; a table of that name that is drawn anew is sorted alike. */
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
      if (name) orders.set(name, [column, down]);
      sort(column, down);
    });
  });
  const order = orders.get(name);
  if (order && order[0] < headers.length) sort(...order);
}

/** What a cell is sorted by: its `data-value`, else the number that its text begins with, else its text; none if it is empty. */
function sortKey(cell) {
  const text = cell.dataset.value ?? cell.textContent.trim().replace('−', '-');
  if (text === '' || text === '–') return null;
  const number = cell.classList.contains('text') ? undefined : parseFloat(text);
  return Number.isFinite(number) ? number : text;
}

/** Orders keys; cells without one come last in both directions. */
function compareKeys(one, other, down) {
  if (one == null || other == null) return (one == null) - (other == null);
  const order = typeof one === 'number' && typeof other === 'number' ? one - other : String(one).localeCompare(String(other), undefined, { numeric: true });
  return down ? -order : order;
}
