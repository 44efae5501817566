// Fetches the index anew when a run has changed; what was chosen and sorted stays. A hidden page has no connection, since browsers
// allow only few to one server.
const address = document.currentScript.dataset.events;
let source;

document.querySelectorAll('table').forEach(sortable);

async function refresh() {
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) return;
  const newer = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById('runs');
  const older = document.getElementById('runs');
  const chosen = new Set([...older.querySelectorAll('input:checked')].map((it) => it.value));
  const focused = older.contains(document.activeElement) ? document.activeElement.value : null;
  older.replaceWith(newer);
  newer.querySelectorAll('table').forEach(sortable);
  for (const box of newer.querySelectorAll('input')) {
    box.checked = chosen.has(box.value);
    if (focused && box.value === focused) box.focus({ preventScroll: true });
  }
}

function connect() {
  source?.close();
  if (document.hidden) return;
  source = new EventSource(address);
  source.addEventListener('changed', refresh);
}
document.addEventListener('visibilitychange', connect);
connect();
