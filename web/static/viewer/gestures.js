// Mouse, wheel, touch and keys on the viewer, as calls of { zoom(factor, x, y), move(right, down), point(x, y),
// leave(), press(key) }; x, y and movements are parts of the viewer's width.

const TAP_PIXELS = 6;
const WHEEL_RATE = 0.0015;
const MOVES = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
const ZOOMS = { "+": 0.8, "=": 0.8, "-": 1.25, 0: Infinity };

export function watchGestures(element, actions) {
  const fingers = new Map();
  let travelled = 0;
  const position = (event) => {
    const box = element.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.width];
  };

  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    if (!fingers.size) travelled = 0;
    fingers.set(event.pointerId, event);
  });

  element.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) {
      actions.point(...position(event));
      return;
    }
    travelled += Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
    const second = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
    fingers.set(event.pointerId, event);
    if (second) {
      const apart = (finger) => Math.hypot(finger.clientX - second.clientX, finger.clientY - second.clientY) || 1;
      actions.zoom(apart(before) / apart(event), ...position(second));
    } else {
      const width = element.getBoundingClientRect().width;
      actions.move((before.clientX - event.clientX) / width, (before.clientY - event.clientY) / width);
    }
  });

  for (const kind of ["pointerup", "pointercancel"]) {
    element.addEventListener(kind, (event) => {
      if (kind === "pointerup" && fingers.size === 1 && travelled < TAP_PIXELS) actions.point(...position(event));
      fingers.delete(event.pointerId);
    });
  }

  element.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") actions.leave(); // after a tap the values stay
  });

  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      actions.zoom(Math.exp(Math.max(-300, Math.min(300, event.deltaY)) * WHEEL_RATE), ...position(event));
    },
    { passive: false },
  );

  element.addEventListener("dblclick", (event) => actions.zoom(0.5, ...position(event)));

  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const box = element.getBoundingClientRect();
    const middle = [0.5, box.height / box.width / 2];
    const step = MOVES[event.key];
    if (step) actions.move(...step);
    else if (ZOOMS[event.key]) actions.zoom(ZOOMS[event.key], ...middle);
    else if (!actions.press(event.key)) return;
    event.preventDefault();
    if (step || ZOOMS[event.key]) actions.point(...middle);
  });
}
