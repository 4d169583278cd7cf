// Much is drawn a few milliseconds at a time, and the page answers in between: what is near the screen first, then the rest.

const SLICE = 8; // milliseconds of drawing, and then others have their turn
export const NEAR = "600px"; // beyond the screen

// `draw` is handed each item that is added, and each again that has changed since (`again`). `here` are those near the screen.
// With `clear`, which makes less of an item that is far from the screen again, only those near it are drawn.
export function slices(draw, root = null, clear = null) {
  const here = new Set();
  const first = new Set();
  const rest = new Set();
  let timer = 0;
  function work() {
    const until = performance.now() + SLICE;
    while (first.size + rest.size && performance.now() < until) {
      const from = first.size ? first : rest;
      const [item] = from;
      from.delete(item);
      draw(item);
    }
    timer = first.size + rest.size ? setTimeout(work) : 0;
  }
  function again(item) {
    if (clear && !here.has(item)) return; // it is drawn when it comes near
    (here.has(item) ? first : rest).add(item);
    timer ||= setTimeout(work);
  }
  const watch = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      here[isIntersecting ? "add" : "delete"](target);
      if (clear && isIntersecting) again(target);
      else if (clear) { first.delete(target); clear(target); }
      else if (isIntersecting && rest.delete(target)) first.add(target);
    }
  }, { root, rootMargin: NEAR });
  return {
    here, again,
    add: (item) => { watch.observe(item); again(item); },
    drop: (item) => { watch.unobserve(item); for (const one of [here, first, rest]) one.delete(item); },
    stop: () => { watch.disconnect(); clearTimeout(timer); for (const one of [here, first, rest]) one.clear(); },
  };
}
