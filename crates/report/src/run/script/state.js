// What is shown and what was chosen. A part of the page is drawn again only if what it shows has changed.

const state = {
  axis: 'step', smoothing: 0.6, logarithmic: false, hidden: new Set(), onlyDifferent: true, base: 0, printing: false,
  /** The names of the parts that were unfolded. */
  opened: new Set(),
  /** The cell that was pointed at last in each matrix. */
  places: new Map(),
};
let doc;

/** What each part of the page showed when it was drawn. */
const drawn = {};

const shownRuns = () => doc.runs.map((run, index) => ({ run, index })).filter(({ index }) => !state.hidden.has(index));

/** Draws a section by appending what `parts` returns, unless it shows `what` already. A section without parts is hidden. */
function section(id, what, parts) {
  const key = JSON.stringify(what);
  if (drawn[id] === key) return;
  drawn[id] = key;
  const into = document.querySelector(`#${id} .content`);
  const restore = remembered(into);
  into.replaceChildren(...parts().filter((part) => part != null));
  restore();
  document.getElementById(id).hidden = into.childElementCount === 0;
}

/** Returns how to restore what redrawing an element loses: the focus, and how far its tables were scrolled. */
function remembered(element) {
  const find = () => [...element.querySelectorAll('[data-name]')];
  const places = new Map(find().map((it) => [it.dataset.name, [it.scrollLeft, it.scrollTop]]));
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const owner = focused?.closest('[data-name]')?.dataset.name;
  const among = focused?.matches('button') ? [...focused.closest('[data-name]').querySelectorAll('button')].indexOf(focused) : -1;
  return () => {
    for (const it of find()) {
      const place = places.get(it.dataset.name);
      if (place) [it.scrollLeft, it.scrollTop] = place;
      if (owner !== undefined && it.dataset.name === owner) (it.querySelectorAll('button')[among] ?? it).focus({ preventScroll: true });
    }
  };
}
