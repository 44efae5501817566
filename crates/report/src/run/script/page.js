// The controls, and the page as a whole. `regattaReport.show(document)` shows a newer document in place of the one before it.

function drawControls() {
  const runs = doc.runs.map((run, index) => el('label', {}, el('input', {
    type: 'checkbox', checked: !state.hidden.has(index), 'data-run': index,
    onchange: (event) => {
      state.hidden[event.target.checked ? 'delete' : 'add'](index);
      if (state.hidden.size === doc.runs.length) { state.hidden.delete(index); event.target.checked = true; }
      drawContent();
    },
  }), swatch(index), run.label));
  const axes = Object.entries(AXES).map(([name, { title }]) => el('label', {}, el('input', {
    type: 'radio', name: 'axis', value: name, checked: state.axis === name, onchange: () => { state.axis = name; drawCurves(); },
  }), title));
  const told = el('output', {}, state.smoothing.toFixed(2));
  const slider = el('input', {
    type: 'range', id: 'smoothing', min: 0, max: 0.99, step: 0.01, value: state.smoothing,
    oninput: (event) => { state.smoothing = Number(event.target.value); told.textContent = state.smoothing.toFixed(2); drawCurves(); },
  });
  const controls = document.getElementById('controls');
  const restore = remembered(controls);
  controls.replaceChildren(
    doc.runs.length > 1 ? el('fieldset', {}, el('legend', {}, 'Runs'), ...runs) : '',
    el('fieldset', {}, el('legend', {}, 'Horizontal axis'), ...axes),
    el('fieldset', {}, el('legend', {}, 'Smoothing'), slider, told),
    el('label', {}, el('input', {
      type: 'checkbox', id: 'logarithmic', checked: state.logarithmic,
      onchange: (event) => { state.logarithmic = event.target.checked; drawCurves(); },
    }), 'logarithmic loss'));
  restore();
}

function drawContent() {
  drawSections();
  drawCurves();
}

/** Draws everything anew, in other colours. */
function drawAll() {
  Object.keys(drawn).forEach((part) => { delete drawn[part]; });
  drawControls();
  drawContent();
}

function drawFooter() {
  const reduced = doc.runs.some((run) => run.curves.logged > doc.most_points);
  const most = Math.max(...doc.runs.map((run) => run.curves.logged));
  document.querySelector('footer').textContent = `Read ${doc.made_at} by regatta ${doc.version}. `
    + (reduced ? `Of up to ${most.toLocaleString('en')} records of a run, each curve shows at most ${doc.most_points.toLocaleString('en')} points: `
      + 'its first and last, and the lowest and highest of each equally long piece. Smoothing is computed from these. ' : '')
    + 'Dashed vertical lines are restarts. Drag across a chart to enlarge a part, double-click to see all.';
}

/** Shows a document in place of the one before it; what was chosen on the page stays. */
function showDocument(newer) {
  const labels = (of) => JSON.stringify(of?.runs.map((run) => run.label));
  const hasOtherRuns = labels(doc) !== labels(newer);
  doc = newer;
  if (hasOtherRuns) {
    state.hidden.clear();
    drawControls();
  }
  document.title = doc.title;
  document.querySelector('h1').textContent = doc.title;
  drawContent();
  drawFooter();
}

function fit() {
  for (const chart of Object.values(charts)) {
    const width = Math.max(chart.root.parentElement.clientWidth, 200);
    if (width !== chart.width) chart.setSize({ width, height: chart.height });
  }
}
addEventListener('resize', fit);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
addEventListener('beforeprint', () => { state.printing = true; drawAll(); });
addEventListener('afterprint', () => { state.printing = false; drawAll(); });
window.regattaReport = { charts, state, show: showDocument, get document() { return doc; } };
showDocument(JSON.parse(document.getElementById('document').textContent));
