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
  const shown = JSON.stringify([doc.runs.length > 1, what]);
  if (drawn[id] === shown) return;
  const into = document.querySelector(`#${id} .content`);
  const restore = remembered(into);
  into.replaceChildren(...parts().filter((part) => part != null));
  restore();
  document.getElementById(id).hidden = into.childElementCount === 0;
  drawn[id] = shown;
}
