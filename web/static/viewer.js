// The image viewer: draws the pixels of the layers of an image or a mosaic with a stretch, shows the values under the
// pointer, keeps the view in the address, and compares with the tiles observed before and after and with another day.

import "./page.js";
import { formatAddress, readAddress } from "./viewer/address.js";
import { ColourBar } from "./viewer/colour_bar.js";
import { watchGestures } from "./viewer/gestures.js";
import { SkyImage } from "./viewer/image.js";
import { drawOverlay } from "./viewer/overlay.js";
import { Readout } from "./viewer/readout.js";
import { reproject, viewOf } from "./viewer/reprojection.js";
import { makeColourTable, percentileLimits } from "./viewer/scale.js";

const MAX_COLUMNS = 2000;
const MIN_SIDE = 12; // pixels of the image
const SETTLE_MS = 80; // between the last change of the view and the request of its pixels
const BLINK_MS = 800;
const DEFAULTS = { layer: "image", stretch: "asinh", limits: "noise", colours: "inferno" };
const NEIGHBOURS = ["earlier", "later", "another"]; // ids of buttons, and keys of the description

const byId = (id) => document.getElementById(id);
const stage = byId("stage");
const canvas = byId("pixels");
const svg = byId("viewer");
const context = canvas.getContext("2d");
const bar = new ColourBar(byId("colour-bar"));
const readout = new Readout(byId("pointer"));
const state = { ...DEFAULTS, view: { x: 0, y: 0, side: 1 }, low: 0, high: 1, hidden: new Set() };
const neighbours = new Map(); // of each button, the promise of its image
let home;
let shown;
let compared; // the button of the neighbour that was shown last
let frames = [];
let blinking;
let settling;
let request = 0;

function columnsOfScreen() {
  return Math.min(MAX_COLUMNS, Math.max(1, Math.round(stage.clientWidth * Math.min(devicePixelRatio, 2))));
}

function currentScale() {
  const { stretch, low, high, colours } = state;
  const fixed = fixedScale();
  if (fixed) return { stretch: "linear", low: fixed.low, high: fixed.high, rms: 0, colours };
  return { stretch, low, high, colours, rms: home.rms_jy };
}

// Limits and unit of a layer that is no brightness; undefined for the others.
function fixedScale() {
  return home.scales[state.layer];
}

// The colours of a frame as a canvas of its own, drawn again when the scale has changed.
function painted(frame, scale, key) {
  if (frame.key !== key) {
    frame.canvas ??= new OffscreenCanvas(frame.columns, frame.rows);
    const image = new ImageData(frame.columns, frame.rows);
    const output = new Uint32Array(image.data.buffer);
    const table = scale.table ?? (scale.table = makeColourTable(scale));
    for (let i = 0; i < output.length; i++) output[i] = table[frame.codes[i]];
    frame.canvas.getContext("2d").putImageData(image, 0, 0);
    frame.key = key;
  }
  return frame.canvas;
}

function draw() {
  const { view } = state;
  const columns = columnsOfScreen();
  const rows = Math.max(1, Math.round(columns * home.ratio));
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  const scale = currentScale();
  const key = Object.values(scale).join(" ");
  const unit = columns / view.side;
  context.clearRect(0, 0, columns, rows);
  context.imageSmoothingEnabled = view.side > columns;
  for (const frame of frames) {
    const corner = [(frame.x - view.x) * unit, (frame.y - view.y) * unit];
    context.drawImage(painted(frame, scale, key), ...corner, frame.width * unit, frame.height * unit);
  }
  drawOverlay(svg, home, view, stage.clientWidth, state.hidden);
  const fixed = fixedScale();
  bar.draw(scale, fixed && { text: fixed.unit, factor: fixed.factor });
}

// Draw, and get the pixels of the view when it has stopped changing; `message` stays until the next change.
function refresh(message = "") {
  byId("viewer-message").textContent = message;
  clampView();
  draw();
  saveAddress();
  clearTimeout(settling);
  stage.setAttribute("aria-busy", "true");
  settling = setTimeout(load, SETTLE_MS);
}

async function load() {
  const number = ++request;
  const [image, view, layer, columns] = [shown, { ...state.view }, state.layer, columnsOfScreen()];
  try {
    const loaded = [];
    if (image === home) {
      const overview = await image.overview(layer);
      if (number !== request) return;
      if (!frames.includes(overview)) frames = [overview];
      draw();
      loaded.push(overview, await image.frame(layer, view, columns));
    } else {
      const part = viewOf(home, view, image);
      if (!part) throw new Error(`${image.group} does not cover the centre of this view`);
      const frame = await image.frame(image.layers[layer] ? layer : "image", part, columns);
      const codes = reproject(home, view, columns, image, frame);
      loaded.push({ ...view, width: view.side, height: view.side, columns, rows: columns, codes });
    }
    if (number !== request) return;
    frames = loaded;
    byId("shown").textContent = image === home ? "" : `${image.group}, ${image.observed}`;
    applyPercentile();
    draw();
  } catch (error) {
    if (number !== request) return;
    if (blinking) toggleBlink();
    if (image !== home) return show(home, error.message);
    byId("viewer-message").textContent = error.message;
  }
  stage.setAttribute("aria-busy", "false");
}

function clampView() {
  const { view } = state;
  view.side = Math.min(home.side, Math.max(MIN_SIDE, view.side));
  view.x = clamp(view.x, home.columns - view.side);
  view.y = clamp(view.y, home.rows - view.side * home.ratio);
}

// A beginning from 0 to the last one; what is smaller than the view is in its middle.
function clamp(start, last) {
  return last < 0 ? last / 2 : Math.min(last, Math.max(0, start));
}

function zoom(factor, right, down) {
  const { view } = state;
  const side = Math.min(home.side, Math.max(MIN_SIDE, view.side * factor));
  view.x += right * (view.side - side);
  view.y += down * (view.side - side);
  view.side = side;
  refresh();
}

function move(right, down) {
  state.view.x += right * state.view.side;
  state.view.y += down * state.view.side;
  refresh();
}

function point(right, down) {
  const { view } = state;
  readout.show(home, shown, view.x + right * view.side, view.y + down * view.side);
}

// Limits: of the noise and the peak, or of the brightness in view; `numbers` stay as they are.
function applyPercentile() {
  if (state.pending) {
    const limits = percentileLimits(frames.at(-1).codes, Number(state.pending));
    if (limits && limits[1] > limits[0]) [state.low, state.high] = limits;
    state.pending = undefined;
    showControls();
    saveAddress();
  }
}

function setLimits(name) {
  state.limits = name;
  state.pending = undefined;
  if (name === "noise") {
    const rms = home.rms_jy || 1e-3;
    [state.low, state.high] = [-3 * rms, Math.max(home.peak_jy, 10 * rms)];
  } else if (name !== "numbers") state.pending = name;
}

function showControls() {
  for (const name of ["layer", "stretch", "limits", "colours"]) byId(name).value = state[name];
  for (const name of ["low", "high"]) byId(name).value = Number((state[name] * 1e3).toPrecision(5));
  for (const name of ["stretch", "limits", "low", "high"]) byId(name).disabled = Boolean(fixedScale());
  for (const box of document.querySelectorAll("[data-part]")) box.checked = !state.hidden.has(box.dataset.part);
}

function saveAddress() {
  const { view } = state;
  const values = { hide: [...state.hidden].join(",") };
  for (const name of Object.keys(DEFAULTS)) if (state[name] !== DEFAULTS[name]) values[name] = state[name];
  if (state.limits !== "noise") Object.assign(values, { low: state.low * 1e3, high: state.high * 1e3 });
  const centre = home.coordinates.skyAt(view.x + view.side / 2, view.y + (view.side * home.ratio) / 2);
  if (centre && view.side < home.side) {
    Object.assign(values, { ra: centre[0], dec: centre[1], width: view.side * home.coordinates.cellDeg });
  }
  const fragment = formatAddress(values);
  history.replaceState(null, "", location.pathname + location.search + fragment);
  for (const link of document.querySelectorAll("[data-keeps-view]")) link.hash = fragment;
}

function restore(values) {
  state.view = home.whole();
  const centre = Number.isFinite(values.ra + values.dec) && home.coordinates.pixelAt(values.ra, values.dec);
  if (centre) {
    const width = Math.max(MIN_SIDE, (values.width ?? 0.25) / home.coordinates.cellDeg);
    state.view = { x: centre[0] - width / 2, y: centre[1] - (width * home.ratio) / 2, side: width };
  }
  for (const name of Object.keys(DEFAULTS)) {
    const options = [...byId(name).options].map((option) => option.value);
    state[name] = options.includes(values[name]) ? values[name] : DEFAULTS[name];
  }
  setLimits(state.limits);
  if (values.high > values.low) {
    Object.assign(state, { low: values.low / 1e3, high: values.high / 1e3, pending: undefined });
  }
  state.hidden = new Set((values.hide ?? "").split(",").filter(Boolean));
  frames = [];
  showControls();
  refresh();
}

function show(image, message) {
  shown = image;
  for (const button of neighbours.keys()) button.setAttribute("aria-pressed", String(image !== home && button === compared));
  refresh(message);
}

async function toggleNeighbour(button) {
  if (!button || button.disabled) return;
  compared = button;
  if (shown !== home) return show(home);
  neighbours.set(button, neighbours.get(button) ?? SkyImage.load(button.dataset.description));
  try {
    show(await neighbours.get(button));
  } catch (error) {
    neighbours.delete(button);
    byId("viewer-message").textContent = error.message;
  }
}

function toggleBlink() {
  const isStarting = !blinking;
  clearInterval(blinking);
  blinking = undefined;
  byId("blink").setAttribute("aria-pressed", String(isStarting));
  if (!isStarting) return shown === home || show(home);
  const step = () => toggleNeighbour(compared ?? NEIGHBOURS.map(byId).find((button) => !button.disabled));
  step();
  blinking = setInterval(step, BLINK_MS);
}

function addControls() {
  byId("layer").replaceChildren(...Object.entries(home.layers).map(([name, label]) => new Option(label, name)));
  byId("layer").addEventListener("change", (event) => {
    state.layer = event.target.value;
    frames = [];
    showControls();
    refresh();
  });
  for (const name of ["stretch", "colours"]) {
    byId(name).addEventListener("change", (event) => {
      state[name] = event.target.value;
      refresh();
    });
  }
  byId("limits").addEventListener("change", (event) => {
    setLimits(event.target.value);
    showControls();
    refresh();
  });
  for (const name of ["low", "high"]) {
    byId(name).addEventListener("change", (event) => {
      const values = { low: state.low, high: state.high, [name]: event.target.valueAsNumber / 1e3 };
      if (values.high > values.low) Object.assign(state, values, { limits: "numbers" });
      showControls();
      refresh();
    });
  }
  for (const box of document.querySelectorAll("[data-part]")) {
    box.addEventListener("change", () => {
      state.hidden[box.checked ? "delete" : "add"](box.dataset.part);
      refresh();
    });
  }
  for (const [id, factor] of [["zoom-in", 0.6], ["zoom-out", 1 / 0.6], ["zoom-all", Infinity]]) {
    byId(id).addEventListener("click", () => zoom(factor, 0.5, home.ratio / 2));
  }
  for (const name of NEIGHBOURS.filter(byId)) {
    const button = byId(name);
    button.disabled = !home[name];
    button.dataset.description = home[name] ?? "";
    neighbours.set(button, undefined);
    button.addEventListener("click", () => toggleNeighbour(button));
  }
  if (!neighbours.size) return;
  byId("blink").disabled = !NEIGHBOURS.some((name) => home[name]);
  byId("blink").addEventListener("click", toggleBlink);
}

const KEYS = {
  "[": () => toggleNeighbour(byId("earlier")),
  "]": () => toggleNeighbour(byId("later")),
  "\\": () => toggleNeighbour(byId("another")),
  b: toggleBlink,
};

// Run the action of a key; return false for a key without one.
function press(key) {
  if (!neighbours.size || !(key in KEYS)) return false;
  KEYS[key]();
  return true;
}

try {
  home = shown = await SkyImage.load(stage.dataset.description);
  addControls();
  stage.dataset.live = "";
  stage.parentElement.style.setProperty("--ratio", 1 / home.ratio); // width over height, also for the colour bar
  for (const part of document.querySelectorAll(".live-only")) part.hidden = false;
  watchGestures(svg, { zoom, move, point, leave: () => readout.clear(), press });
  addEventListener("hashchange", () => restore(readAddress()));
  new ResizeObserver(() => refresh(byId("viewer-message").textContent)).observe(stage);
  restore(readAddress());
} catch (error) {
  byId("viewer-message").textContent = error.message;
}
