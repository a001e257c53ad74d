// The planes of η over V and of η over the mean flux: every source of the store, the cuts, and one selection in both.
//
// All sources are held in typed arrays. A plot draws the bulk as cells that are shaded by their number of sources, and
// one by one those that are selected or lie in cells of few.

import "./page.js";
import { Bokeh, colour, embed, paintFrame } from "./bokeh.js";
import { request } from "./request.js";

const COLUMNS = 90;
const ROWS = 60;
const MAX_POINTS = 4000; // drawn one by one in a plot
const SPARSE = 4; // sources of a cell that are drawn one by one
const SETTLE_MS = 250;
const LEVELS = 6;
const LEAST = 1.01e-6; // values that are not positive are sent as 1e-6, and drawn at the lower edge of the whole plane
const AXES = { v: { label: "modulation index V", field: "v" }, flux: { label: "mean flux, mJy", field: "flux" } };

const planes = document.getElementById("planes");
const form = document.getElementById("cuts");
const matches = document.getElementById("matches");
const count = document.getElementById("selected-count");
const sources = await readSources();
const plots = [...planes.querySelectorAll(".plot")].map((element) => createPlot(element, AXES[element.dataset.axis]));
let timer = 0;
let requests = 0;

// Columns of the binary answer: id (int32), eta, V, mean flux in mJy (float32), number of measurements (uint16).
async function readSources() {
  const response = await request(planes.dataset.from);
  const buffer = response.ok ? await response.arrayBuffer() : new ArrayBuffer(0);
  const size = Math.floor(buffer.byteLength / 18);
  const floats = (n) => new Float32Array(buffer, 4 * size * n, size);
  return { size, id: new Int32Array(buffer, 0, size), eta: floats(1), v: floats(2), flux: floats(3), n: new Uint16Array(buffer, 16 * size, size) };
}

function limitsOf(values) {
  let [low, high] = [Infinity, 0];
  for (const value of values) {
    if (value > LEAST && value < low) low = value;
    if (value > high) high = value;
  }
  return high > 0 ? [low / 1.3, high * 1.3] : [0.1, 10];
}

function createPlot(element, { label, field }) {
  const [left, right] = limitsOf(sources.eta);
  const [bottom, top] = limitsOf(sources[field]);
  const range = (start, end) => new Bokeh.Range1d({ start, end });
  const plot = Bokeh.Plotting.figure({
    height: 380, sizing_mode: "stretch_width", x_axis_type: "log", y_axis_type: "log", toolbar_location: null, tools: [],
    x_range: range(left, right), y_range: range(bottom, top), min_border_right: 12, output_backend: "canvas",
  });
  const cells = new Bokeh.ColumnDataSource({ data: { left: [], right: [], bottom: [], top: [], alpha: [], count: [] } });
  const points = new Bokeh.ColumnDataSource({ data: { x: [], y: [], id: [], n: [], flux: [], v: [] } });
  const chosen = new Bokeh.ColumnDataSource({ data: { x: [], y: [], id: [], n: [], flux: [], v: [] } });
  const quads = plot.quad({ left: { field: "left" }, right: { field: "right" }, bottom: { field: "bottom" }, top: { field: "top" }, fill_alpha: { field: "alpha" }, line_alpha: 0, source: cells });
  const place = (source) => ({ x: { field: "x" }, y: { field: "y" }, source });
  const others = plot.scatter({ ...place(points), size: 3.5, fill_alpha: 0.55, line_alpha: 0 });
  const selected = plot.scatter({ ...place(chosen), size: 6, fill_alpha: 0.85, line_alpha: 0 });
  const cuts = ["height", "width"].map((dimension) => new Bokeh.Span({ dimension, line_dash: "dashed", line_width: 1.5, location: 1, visible: false }));
  for (const cut of cuts) plot.add_layout(cut);
  const tooltips = [["source", "@id"], ["η", "@x{0.00}"], ["V", "@v{0.000}"], ["mean flux", "@flux{0.000} mJy"], ["measurements", "@n"]];
  const [box, wheel, pan] = [new Bokeh.BoxSelectTool({ persistent: false }), new Bokeh.WheelZoomTool(), new Bokeh.PanTool()];
  plot.add_tools(new Bokeh.HoverTool({ tooltips, renderers: [others, selected] }), wheel, pan);
  // On a touch screen one finger scrolls the page.
  if (!matchMedia("(pointer: coarse)").matches) {
    plot.add_tools(box);
    plot.toolbar.active_drag = box;
  } else plot.toolbar.active_drag = null;
  plot.toolbar.active_scroll = wheel;
  plot.title = null;
  for (const [axis, text] of [[plot.below[0], "η"], [plot.left[0], label]]) {
    Object.assign(axis, { axis_label: text, axis_label_text_font_style: "normal", axis_label_text_font_size: "12px", axis_label_standoff: 2 });
  }
  return { element, plot, field, cells, points, chosen, quads, others, selected, cuts, whole: [left, right, bottom, top] };
}

// The limits of the form by column; an empty field is none.
function readLimits() {
  const number = (name, fallback) => (form.elements[name]?.value ? Number(form.elements[name].value) : fallback);
  return Object.fromEntries(["eta", "v", "flux"].map((name) => [name, [number(`${name}_min`, -Infinity), number(`${name}_max`, Infinity)]]));
}

function findSelected() {
  const limits = Object.entries(readLimits()).map(([name, [low, high]]) => [sources[name], low, high]);
  const isSelected = new Uint8Array(sources.size);
  let selected = 0;
  for (let n = 0; n < sources.size; n += 1) {
    isSelected[n] = Number(limits.every(([values, low, high]) => values[n] >= low && values[n] <= high));
    selected += isSelected[n];
  }
  return [isSelected, selected];
}

const columnsOf = (field, edge, indices) => ({
  x: indices.map((n) => sources.eta[n]), y: indices.map((n) => Math.max(sources[field][n], edge)), id: indices.map((n) => sources.id[n]),
  n: indices.map((n) => sources.n[n]), flux: indices.map((n) => sources.flux[n]), v: indices.map((n) => sources.v[n]),
});

function draw(view, isSelected) {
  const { plot: { x_range: x, y_range: y }, field, whole } = view;
  const values = sources[field];
  const edge = whole[2] * 1.01;
  const [x0, y0] = [Math.log(x.start), Math.log(y.start)];
  const [stepX, stepY] = [(Math.log(x.end) - x0) / COLUMNS, (Math.log(y.end) - y0) / ROWS];
  const cellOf = new Int32Array(sources.size).fill(-1);
  const counts = new Uint32Array(COLUMNS * ROWS);
  const chosen = [];
  for (let n = 0; n < sources.size; n += 1) {
    const column = Math.floor((Math.log(sources.eta[n]) - x0) / stepX);
    const row = Math.floor((Math.log(Math.max(values[n], edge)) - y0) / stepY);
    if (!(column >= 0 && column < COLUMNS && row >= 0 && row < ROWS)) continue;
    if (isSelected[n] && chosen.length < MAX_POINTS) chosen.push(n);
    else {
      cellOf[n] = row * COLUMNS + column;
      counts[cellOf[n]] += 1;
    }
  }
  const points = [];
  const drawn = counts.reduce((sum, number) => sum + number, 0);
  const sparse = drawn <= MAX_POINTS ? Infinity : SPARSE;
  for (let n = 0; n < sources.size && points.length < MAX_POINTS; n += 1) {
    if (cellOf[n] >= 0 && counts[cellOf[n]] <= sparse) points.push(n);
  }
  const dense = [...counts.keys()].filter((cell) => counts[cell] > sparse);
  const most = Math.log(Math.max(2, ...dense.map((cell) => counts[cell])));
  const level = (cell) => 0.12 + 0.68 * (Math.ceil((LEVELS * Math.log(counts[cell])) / most) / LEVELS);
  view.cells.data = {
    left: dense.map((cell) => Math.exp(x0 + (cell % COLUMNS) * stepX)), right: dense.map((cell) => Math.exp(x0 + ((cell % COLUMNS) + 1) * stepX)),
    bottom: dense.map((cell) => Math.exp(y0 + Math.floor(cell / COLUMNS) * stepY)), top: dense.map((cell) => Math.exp(y0 + (Math.floor(cell / COLUMNS) + 1) * stepY)),
    alpha: dense.map(level), count: dense.map((cell) => counts[cell]),
  };
  view.points.data = columnsOf(field, edge, points);
  view.chosen.data = columnsOf(field, edge, chosen);
  Object.assign(view.element.dataset, { points: points.length, cells: dense.length, chosen: chosen.length });
}

function drawAll() {
  const [isSelected, selected] = findSelected();
  const { eta: [eta], v: [v] } = readLimits();
  for (const view of plots) {
    const limits = [eta, view.field === "v" ? v : -Infinity];
    view.cuts.forEach((cut, n) => cut.setv({ visible: limits[n] > 0, location: Math.max(limits[n], 1e-9) }));
    draw(view, isSelected);
  }
  count.textContent = `${selected} of ${sources.size} sources with two or more measurements are selected`;
  planes.dataset.selected = selected;
}

function paint() {
  for (const { plot, quads, others, selected, cuts } of plots) {
    paintFrame(plot);
    quads.glyph.fill_color = colour("--busy");
    others.glyph.fill_color = colour("--busy");
    selected.glyph.fill_color = colour("--accent");
    for (const cut of cuts) cut.line_color = colour("--text");
  }
}

// The table of the selected sources, as the server renders it for the same cuts.
async function readMatches() {
  const number = (requests += 1);
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  const address = `${form.action.split("?")[0]}?${query}`;
  const response = await request(address, { headers: { "X-Refresh": "1" } });
  if (!response.ok || number !== requests) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  matches.replaceChildren(...page.getElementById("matches").childNodes);
  history.replaceState(null, "", address);
}

function change() {
  drawAll();
  clearTimeout(timer);
  timer = setTimeout(() => readMatches().catch(() => {}), SETTLE_MS);
}

const format = (value) => Number(value.toPrecision(3));

function setLimits(limits) {
  for (const [name, value] of Object.entries(limits)) form.elements[name].value = value === null ? "" : format(value);
  for (const slider of document.querySelectorAll("input[data-cut]")) adjust(slider);
  change();
}

function onBox(view, { geometry, final }) {
  if (!final || geometry.type !== "rect") return;
  const { x0, x1, y0, y1 } = geometry;
  const axis = view.field;
  setLimits({ eta_min: Math.min(x0, x1), eta_max: Math.max(x0, x1), [`${axis}_min`]: Math.min(y0, y1), [`${axis}_max`]: Math.max(y0, y1) });
}

// A slider moves in the logarithm of its cut, from 0 to 1000 over the range of the sources.
const limitsOfCut = (slider) => limitsOf(sources[slider.dataset.cut.split("_")[0]]).map(Math.log);

function adjust(slider) {
  const [low, high] = limitsOfCut(slider);
  const cut = Number(form.elements[slider.dataset.cut].value) || Math.exp(low);
  slider.value = Math.round((1000 * (Math.log(cut) - low)) / (high - low));
  slider.ariaValueText = `${format(cut)}`;
}

const zoom = (plot, factor) => {
  for (const range of [plot.x_range, plot.y_range]) {
    const [low, high] = [Math.log(range.start), Math.log(range.end)];
    const [middle, half] = [(low + high) / 2, ((high - low) / 2) * factor];
    range.setv({ start: Math.exp(middle - half), end: Math.exp(middle + half) });
  }
};
const move = (range, part) => {
  const shift = ((range.end / range.start) ** part);
  range.setv({ start: range.start * shift, end: range.end * shift });
};
const showAll = ({ plot, whole: [left, right, bottom, top] }) => {
  plot.x_range.setv({ start: left, end: right });
  plot.y_range.setv({ start: bottom, end: top });
};
const KEYS = {
  "+": ({ plot }) => zoom(plot, 0.7), "-": ({ plot }) => zoom(plot, 1.4), 0: showAll,
  ArrowLeft: ({ plot }) => move(plot.x_range, -0.1), ArrowRight: ({ plot }) => move(plot.x_range, 0.1),
  ArrowDown: ({ plot }) => move(plot.y_range, -0.1), ArrowUp: ({ plot }) => move(plot.y_range, 0.1),
};

for (const part of document.querySelectorAll(".live-only")) part.hidden = false;
for (const slider of document.querySelectorAll("input[data-cut]")) {
  adjust(slider);
  slider.addEventListener("input", () => {
    const [low, high] = limitsOfCut(slider);
    const cut = format(Math.exp(low + (slider.valueAsNumber / 1000) * (high - low)));
    form.elements[slider.dataset.cut].value = cut;
    slider.ariaValueText = `${cut}`;
    change();
  });
}
form.addEventListener("input", () => setTimeout(() => {
  for (const slider of document.querySelectorAll("input[data-cut]")) adjust(slider);
  change();
}));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  change();
});
await embed(plots.map(({ plot }) => plot), plots.map(({ element }) => element), paint);
for (const view of plots) {
  let settled = 0;
  const redraw = () => {
    clearTimeout(settled);
    settled = setTimeout(() => draw(view, findSelected()[0]), SETTLE_MS / 2);
  };
  for (const range of [view.plot.x_range, view.plot.y_range]) range.change.connect(redraw);
  view.plot.on_event("selectiongeometry", (event) => onBox(view, event));
  view.plot.on_event("doubletap", () => showAll(view));
  view.element.addEventListener("keydown", (event) => {
    if (!KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key](view);
  });
}
drawAll();
