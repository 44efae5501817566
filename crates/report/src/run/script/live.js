// Draws newer documents of the page as the server sends them, but not while somebody points at a chart or uses a control. A hidden
// page has no connection, since browsers allow only few to one server.
'use strict';
(() => {
  const told = document.getElementById('live');
  const address = document.currentScript.dataset.events;
  const inUse = '.u-over:hover, #controls :active, #controls :focus-visible, .chart :focus, .table:focus-within';
  let source, newest;
  function draw() {
    if (!newest || document.querySelector(inUse)) return;
    window.regattaReport.show(newest);
    newest = undefined;
    told.textContent = `live, as of ${window.regattaReport.document.made_at}`;
  }
  function connect() {
    source?.close();
    if (document.hidden) return;
    source = new EventSource(address);
    source.addEventListener('document', (event) => { newest = JSON.parse(event.data); draw(); });
    source.addEventListener('error', () => {
      told.textContent = source.readyState === EventSource.CLOSED
        ? 'not live any more: open the address that launcher watch prints' : 'no connection; trying again';
    });
  }
  document.addEventListener('visibilitychange', connect);
  connect();
  setInterval(draw, 500);
})();
