// The image viewer: wheel, pinch, buttons or keys zoom; dragging or arrows move; shows the pointer's direction.

import "./page.js";

const viewer = document.getElementById("viewer");
const fullSide = Number(viewer.dataset.pixels);
const output = document.getElementById("pointer");
const MIN_SIDE = 24;
const LABEL_PIXELS = 12;
const view = { x: 0, y: 0, side: fullSide };
const fingers = new Map();

function draw() {
  view.side = Math.min(fullSide, Math.max(MIN_SIDE, view.side));
  view.x = Math.min(fullSide - view.side, Math.max(0, view.x));
  view.y = Math.min(fullSide - view.side, Math.max(0, view.y));
  viewer.setAttribute("viewBox", `${view.x} ${view.y} ${view.side} ${view.side}`);
  viewer.style.fontSize = `${(LABEL_PIXELS * view.side) / viewer.clientWidth}px`;
}

function pixelAt(event) {
  const box = viewer.getBoundingClientRect();
  const side = Math.min(box.width, box.height);
  const left = box.left + (box.width - side) / 2;
  const top = box.top + (box.height - side) / 2;
  return [view.x + ((event.clientX - left) / side) * view.side, view.y + ((event.clientY - top) / side) * view.side];
}

function zoom(factor, x = view.x + view.side / 2, y = view.y + view.side / 2) {
  const side = Math.min(fullSide, Math.max(MIN_SIDE, view.side * factor));
  view.x = x - ((x - view.x) * side) / view.side;
  view.y = y - ((y - view.y) * side) / view.side;
  view.side = side;
  draw();
}

function move(right, down) {
  view.x += right * view.side;
  view.y += down * view.side;
  draw();
}

// The inverse of the SIN projection, the same convention as web/tiles/overlay.py.
export function directionAt(x, y, sky) {
  const scale = (sky.cell * Math.PI) / 180;
  const half = Math.floor(sky.pixels / 2);
  const east = (half + 0.5 - x) * scale;
  const north = (sky.pixels - half - 0.5 - y) * scale;
  const squared = 1 - east * east - north * north;
  if (squared < 0) return null;
  const toward = Math.sqrt(squared);
  const dec0 = (sky.dec * Math.PI) / 180;
  const dec = Math.asin(north * Math.cos(dec0) + toward * Math.sin(dec0));
  const ra = Math.atan2(east, toward * Math.cos(dec0) - north * Math.sin(dec0));
  return [(sky.ra + (ra * 180) / Math.PI + 360) % 360, (dec * 180) / Math.PI];
}

function showDirection(event) {
  const sky = Object.fromEntries(["pixels", "ra", "dec", "cell"].map((key) => [key, Number(viewer.dataset[key])]));
  const direction = directionAt(...pixelAt(event), sky);
  output.textContent = direction ? `${direction[0].toFixed(4)}° ${direction[1] < 0 ? "−" : "+"}${Math.abs(direction[1]).toFixed(4)}°` : "";
}

viewer.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(event.deltaY / 400), ...pixelAt(event));
}, { passive: false });

viewer.addEventListener("pointerdown", (event) => {
  viewer.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, event);
});

viewer.addEventListener("pointermove", (event) => {
  showDirection(event);
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const second = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
  if (second) {
    const apart = (finger) => Math.hypot(finger.clientX - second.clientX, finger.clientY - second.clientY) || 1;
    zoom(apart(before) / apart(event), ...pixelAt(event));
  } else {
    const side = Math.min(viewer.clientWidth, viewer.clientHeight);
    move((before.clientX - event.clientX) / side, (before.clientY - event.clientY) / side);
  }
  fingers.set(event.pointerId, event);
});

for (const end of ["pointerup", "pointercancel"]) {
  viewer.addEventListener(end, (event) => fingers.delete(event.pointerId));
}

viewer.addEventListener("dblclick", (event) => zoom(0.5, ...pixelAt(event)));

const KEYS = {
  "+": () => zoom(0.8),
  "=": () => zoom(0.8),
  "-": () => zoom(1.25),
  0: () => zoom(fullSide),
  ArrowLeft: () => move(-0.1, 0),
  ArrowRight: () => move(0.1, 0),
  ArrowUp: () => move(0, -0.1),
  ArrowDown: () => move(0, 0.1),
};

viewer.addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  KEYS[event.key]();
});

document.getElementById("zoom-in").addEventListener("click", () => zoom(0.6));
document.getElementById("zoom-out").addEventListener("click", () => zoom(1 / 0.6));
document.getElementById("zoom-all").addEventListener("click", () => zoom(fullSide));
for (const layer of ["grid", "sources"]) {
  document.getElementById(`show-${layer}`).addEventListener("change", (event) => {
    document.getElementById(layer).toggleAttribute("hidden", !event.target.checked);
  });
}
addEventListener("resize", draw);
draw();
