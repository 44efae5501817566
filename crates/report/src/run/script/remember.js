// What redrawing would lose.

/** Notes the focus and the scroll positions within an element's named parts. Returns a function that restores them. */
function remembered(element) {
  const parts = () => [element, ...element.querySelectorAll('[data-name]')];
  const controls = (part) => [...part.querySelectorAll('a, button, input, select, summary, [tabindex]')];
  const scrolled = new Map(parts().map((part) => [part.dataset.name, [part.scrollLeft, part.scrollTop]]));
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const owner = focused?.closest('[data-name]');
  const place = owner && controls(owner).indexOf(focused);
  return () => {
    for (const part of parts()) {
      const scroll = scrolled.get(part.dataset.name);
      if (scroll) [part.scrollLeft, part.scrollTop] = scroll;
      if (!owner || part.dataset.name !== owner.dataset.name) continue;
      const same = controls(part).find((it) => it.tagName === focused.tagName && it.value === focused.value && it.textContent === focused.textContent);
      (same ?? controls(part)[place] ?? part).focus({ preventScroll: true });
    }
  };
}
