// Connects a page to the server-sent events whose address its script element names, and says in #live how current the page is. A hidden
// page has no connection, since browsers allow only few to one server.

/** Calls `show` with every event of this name; `time` tells as of when the page is. */
function follow(name, show, time) {
  const status = document.getElementById('live');
  const address = document.currentScript.dataset.events;
  const isCurrent = () => { status.textContent = `live, as of ${time()}`; };
  let source;
  const connect = () => {
    source?.close();
    if (document.hidden) return;
    source = new EventSource(address);
    source.addEventListener('open', isCurrent);
    source.addEventListener(name, async (event) => { await show(event); isCurrent(); });
    source.addEventListener('error', () => {
      status.textContent = source.readyState === EventSource.CLOSED
        ? 'no longer live: the run is gone, or launcher watch was started anew with another address' : 'no connection; trying again';
    });
  };
  document.addEventListener('visibilitychange', connect);
  connect();
}
