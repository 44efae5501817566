// Draws newer documents of the page as the server sends them, but not while somebody points at a chart or moves a control.
'use strict';
(() => {
  const told = document.getElementById('live');
  const source = new EventSource(document.currentScript.dataset.events);
  let newest;
  function draw() {
    if (!newest || document.querySelector('.u-over:hover, #controls :active, .chart :focus')) return;
    window.regattaReport.show(newest);
    newest = undefined;
    told.textContent = `live, as of ${window.regattaReport.document.made_at}`;
  }
  source.addEventListener('document', (event) => { newest = JSON.parse(event.data); draw(); });
  source.addEventListener('error', () => { told.textContent = 'no connection; trying again'; });
  setInterval(draw, 500);
})();
