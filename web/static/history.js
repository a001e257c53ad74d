// Charts of the stream's history by BokehJS: they share the time axis, whose range the API is read for.

import "./page.js";
import { request } from "./request.js";

const MIN_SPAN_S = 300;
const MAX_SPAN_S = 400 * 86400;
const DAY_S = 86400;
const POINTS = 300;
const SETTLE_MS = 150;
const LIVE_MS = 30000;
const COLOURS = ["--busy", "--accent", "--good"];

// The page's policy allows style elements with the nonce of the response; those that Bokeh creates get it here.
const { nonce } = document.querySelector("meta[property=csp-nonce]");
const createElement = document.createElement.bind(document);
document.createElement = (name, options) => {
  const element = createElement(name, options);
  if (name === "style") element.nonce = nonce;
  return element;
};

function loadScript(source) {
  return new Promise((resolve, reject) => {
    document.head.append(Object.assign(document.createElement("script"), { src: source, onload: resolve, onerror: reject }));
  });
}

for (const source of document.querySelector(".charts").dataset.scripts.split(" ")) await loadScript(source);
const now = () => Date.now() / 1000;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const charts = [...document.querySelectorAll(".chart")].map((figure) => ({ figure, lines: [] }));
const { Bokeh } = window;
const range = new Bokeh.Range1d({ start: (now() - DAY_S) * 1000, end: now() * 1000 });
const crosshair = new Bokeh.Span({ dimension: "height", line_dash: "dotted" });
let timer = 0;
let requests = 0;
let isLive = true;

const span = () => (range.end - range.start) / 1000;

function createChart(chart) {
  const { title, unit } = chart.figure.dataset;
  const plot = Bokeh.Plotting.figure({
    height: 210, sizing_mode: "stretch_width", x_axis_type: "datetime", x_range: range, toolbar_location: null, tools: [],
    y_range: new Bokeh.DataRange1d({ start: 0, range_padding: 0.08 }), min_border_right: 12, output_backend: "canvas",
  });
  chart.plot = plot;
  chart.lines = [...chart.figure.querySelectorAll("output")].map((output, index) => {
    const source = new Bokeh.ColumnDataSource({ data: { time: [], mean: [], minimum: [], maximum: [] } });
    const { label } = output.dataset;
    const fields = { x: { field: "time" }, y: { field: "mean" }, source };
    const area = plot.varea({ x: { field: "time" }, y1: { field: "minimum" }, y2: { field: "maximum" }, source, fill_alpha: 0.16 });
    const line = plot.line({ ...fields, line_width: 1.7, name: label });
    const dots = plot.scatter({ ...fields, size: 2.4 });
    return { output, source, area, line, dots, colour: COLOURS[index], label };
  });
  const wheel = new Bokeh.WheelZoomTool({ dimensions: "width" });
  const tooltips = [["time (UTC)", "@time{%F %H:%M}"], ["line", "$name"], ["mean", `@mean{0,0.[00]} ${unit}`], ["range", `@minimum{0,0.[00]} to @maximum{0,0.[00]} ${unit}`]];
  plot.add_tools(
    wheel,
    new Bokeh.CrosshairTool({ overlay: crosshair }),
    new Bokeh.HoverTool({ tooltips, formatters: { "@time": "datetime" }, mode: "vline", renderers: chart.lines.map(({ line }) => line) }),
  );
  plot.toolbar.active_scroll = wheel;
  // On a touch screen one finger scrolls the page, and two zoom.
  if (!matchMedia("(pointer: coarse)").matches) plot.add_tools(new Bokeh.PanTool({ dimensions: "width" }));
  plot.title = null;
  plot.below[0].formatter = new Bokeh.DatetimeTickFormatter({ hours: "%H:%M", hourmin: "%H:%M", minutes: "%H:%M", days: "%m-%d", months: "%Y-%m" });
  chart.figure.querySelector(".plot").ariaLabel = `${title} over time`;
  return plot;
}

function paint() {
  const [soft, line] = [colour("--soft"), colour("--line")];
  crosshair.line_color = soft;
  for (const { plot, lines } of charts) {
    Object.assign(plot, { background_fill_color: null, border_fill_color: null, outline_line_color: null });
    for (const axis of [...plot.below, ...plot.left]) {
      Object.assign(axis, { major_label_text_color: soft, axis_line_color: line, major_tick_line_color: line, minor_tick_line_color: null });
    }
    for (const grid of plot.center.filter((renderer) => "grid_line_color" in renderer)) grid.grid_line_color = line;
    for (const { area, line: stroke, dots, colour: name } of lines) {
      area.glyph.fill_color = colour(name);
      stroke.glyph.line_color = colour(name);
      Object.assign(dots.glyph, { fill_color: colour(name), line_color: null });
    }
  }
}

// Column data of a line; where the record has a gap, a point without a value interrupts the line.
function columns(points, gap) {
  const rows = points.flatMap((point, n) => (n && point[0] - points[n - 1][0] > gap ? [[points[n - 1][0] + gap / 2, NaN, NaN, NaN], point] : [point]));
  const column = (n, factor = 1) => rows.map((row) => row[n] * factor);
  return { time: column(0, 1000), mean: column(1), minimum: column(2), maximum: column(3) };
}

const format = (value) => (Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3))));

async function read(chart, number) {
  const query = `since=${Math.max(0, range.start / 1000)}&until=${range.end / 1000}&points=${POINTS}`;
  const response = await request(`${chart.figure.dataset.from}?${query}`);
  if (!response.ok || number !== requests) return;
  const { lines } = await response.json();
  lines.forEach(({ points }, n) => {
    chart.lines[n].source.data = columns(points, (span() / POINTS) * 3.5);
    chart.lines[n].output.textContent = points.length ? format(points.at(-1)[1]) : "–";
  });
  const count = lines.reduce((sum, { points }) => sum + points.length, 0);
  chart.figure.dataset.points = count;
  chart.figure.querySelector(".empty-chart").hidden = count > 0;
}

function load() {
  requests += 1;
  for (const chart of charts) read(chart, requests).catch(() => {});
}

function showSpan() {
  const text = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ");
  document.getElementById("span").textContent = `${text(range.start)} to ${text(range.end)} UTC`;
  for (const button of document.querySelectorAll("[data-span]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.span) === Math.round(span())));
  }
}

function setRange(until, seconds) {
  const limited = Math.min(MAX_SPAN_S, Math.max(MIN_SPAN_S, seconds));
  const end = Math.min(until, now());
  range.setv({ start: (end - limited) * 1000, end: end * 1000 });
}

function onRange() {
  const until = range.end / 1000;
  if (until > now() + 1 || span() > MAX_SPAN_S + 1 || span() < MIN_SPAN_S - 1) {
    setRange(until, span());
    return;
  }
  isLive = until >= now() - 5;
  showSpan();
  clearTimeout(timer);
  timer = setTimeout(load, SETTLE_MS);
}

const middle = () => (range.start + range.end) / 2000;
const zoom = (factor) => setRange(middle() + (span() * factor) / 2, span() * factor);
const move = (part) => setRange(range.end / 1000 + part * span(), span());
const KEYS = { "+": () => zoom(0.5), "-": () => zoom(2), ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25) };
const ACTIONS = { span: (seconds) => setRange(range.end / 1000, seconds), move, zoom };

for (const [name, action] of Object.entries(ACTIONS)) {
  for (const button of document.querySelectorAll(`button[data-${name}]`)) {
    button.addEventListener("click", () => action(Number(button.dataset[name])));
  }
}
for (const { figure } of charts) {
  figure.querySelector(".plot").addEventListener("keydown", (event) => {
    if (!KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  figure.querySelector(".plot").addEventListener("dblclick", () => setRange(now(), DAY_S));
}

const plots = new Bokeh.Document();
for (const chart of charts) plots.add_root(createChart(chart));
paint();
range.change.connect(onRange);
await Bokeh.embed.add_document_standalone(plots, document.body, charts.map(({ figure }) => figure.querySelector(".plot")));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
setInterval(() => isLive && !document.hidden && setRange(now(), span()), LIVE_MS);
showSpan();
load();
