// Fetches the index anew when a run has changed; what was chosen and sorted stays.

document.querySelectorAll('table').forEach(sortable);

async function refresh() {
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) {
    setTimeout(refreshed, 2000);
    return;
  }
  const newer = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById('runs');
  const older = document.getElementById('runs');
  const chosen = new Set([...older.querySelectorAll('input:checked')].map((box) => box.value));
  const restore = remembered(document.querySelector('main'));
  older.replaceWith(newer);
  newer.querySelectorAll('table').forEach(sortable);
  newer.querySelectorAll('input').forEach((box) => { box.checked = chosen.has(box.value); });
  restore();
}

// One at a time, so that an older answer never replaces a newer one.
let latest = Promise.resolve();
const refreshed = () => (latest = latest.then(refresh));
follow('changed', refreshed, () => new Date().toISOString().replace(/\.\d+/, ''));
