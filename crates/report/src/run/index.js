// Loads the index again when a run has changed, unless runs are chosen.
'use strict';
new EventSource('events').addEventListener('changed', () => {
  if (!document.querySelector('input:checked')) location.reload();
});
