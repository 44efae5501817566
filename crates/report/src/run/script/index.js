// Loads the index again when a run has changed, unless runs are chosen. A hidden page has no connection, since browsers allow only few
// to one server.
'use strict';
(() => {
  let source;
  const reload = () => { if (!document.querySelector('input:checked')) location.reload(); };
  function connect() {
    source?.close();
    if (document.hidden) return;
    source = new EventSource('events');
    source.addEventListener('changed', reload);
  }
  document.addEventListener('visibilitychange', () => { connect(); if (!document.hidden) reload(); });
  connect();
})();
