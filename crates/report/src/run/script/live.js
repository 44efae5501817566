// Shows newer documents of the page as the server sends them. A hidden page has no connection, since browsers allow only few to one
// server.
const told = document.getElementById('live');
const address = document.currentScript.dataset.events;
let source;

const isLive = () => { told.textContent = `live, as of ${regattaReport.document.made_at}`; };

function connect() {
  source?.close();
  if (document.hidden) return;
  source = new EventSource(address);
  source.addEventListener('open', isLive);
  source.addEventListener('document', (event) => { regattaReport.show(JSON.parse(event.data)); isLive(); });
  source.addEventListener('error', () => {
    told.textContent = source.readyState === EventSource.CLOSED
      ? 'not live any more: open the address that launcher watch prints' : 'no connection; trying again';
  });
}
document.addEventListener('visibilitychange', connect);
connect();
