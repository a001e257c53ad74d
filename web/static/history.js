// Charts of the stream's history by BokehJS: they share the time axis, whose range the API is read for.

import "./page.js";
import { Bokeh, colour, embed, paintFrame } from "./bokeh.js";
import { request } from "./request.js";

const MIN_SPAN_S = 300;
const DAY_S = 86400;
const MAX_SPAN_S = 400 * DAY_S;
const POINTS = 300;
const SETTLE_MS = 150;
const LIVE_MS = 30000;
const COLOURS = ["--busy", "--accent", "--good"];

const now = () => Date.now() / 1000;
const charts = [...document.querySelectorAll(".chart")].map((figure) => ({ figure, lines: [] }));
const range = new Bokeh.Range1d({ start: (now() - DAY_S) * 1000, end: now() * 1000 });
const crosshair = new Bokeh.Span({ dimension: "height", line_dash: "dotted" });
const alertMarks = new Bokeh.ColumnDataSource({ data: { began: [], ended: [], rule: [], text: [], until: [] } });
const formatter = new Bokeh.DatetimeTickFormatter({});
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
  chart.alerts = plot.vstrip({ x0: { field: "began" }, x1: { field: "ended" }, source: alertMarks, fill_alpha: 0.1, line_alpha: 0.35, level: "underlay" });
  chart.lines = [...chart.figure.querySelectorAll("output")].map((output, index) => {
    const source = new Bokeh.ColumnDataSource({ data: { time: [], mean: [], minimum: [], maximum: [] } });
    const bands = new Bokeh.ColumnDataSource({ data: { xs: [], ys: [] } });
    const { label } = output.dataset;
    const fields = { x: { field: "time" }, y: { field: "mean" }, source };
    const area = plot.patches({ xs: { field: "xs" }, ys: { field: "ys" }, source: bands, fill_alpha: 0.16, line_alpha: 0 });
    const line = plot.line({ ...fields, line_width: 1.7, name: label });
    const dots = plot.scatter({ ...fields, size: 2.4 });
    return { output, source, bands, area, line, dots, colour: COLOURS[index], label, points: [] };
  });
  chart.marks = plot.scatter({ x: { field: "began" }, y: 0, source: alertMarks, marker: "triangle", size: 9 });
  const wheel = new Bokeh.WheelZoomTool({ dimensions: "width" });
  const tooltips = [["time (UTC)", "@time{%F %H:%M}"], ["line", "$name"], ["mean", `@mean{0,0.[00]} ${unit}`], ["range", `@minimum{0,0.[00]} to @maximum{0,0.[00]} ${unit}`]];
  plot.add_tools(
    wheel,
    new Bokeh.CrosshairTool({ overlay: crosshair }),
    new Bokeh.HoverTool({ tooltips, formatters: { "@time": "datetime" }, mode: "vline", renderers: chart.lines.map(({ line }) => line) }),
  );
  plot.add_tools(new Bokeh.HoverTool({ tooltips: [["alert", "@rule"], ["", "@text"], ["began (UTC)", "@began{%F %H:%M:%S}"], ["ended (UTC)", "@until"]], formatters: { "@began": "datetime" }, renderers: [chart.marks] }));
  plot.toolbar.active_scroll = wheel;
  // On a touch screen one finger scrolls the page, and two zoom.
  if (!matchMedia("(pointer: coarse)").matches) plot.add_tools(new Bokeh.PanTool({ dimensions: "width" }));
  plot.title = null;
  plot.below[0].formatter = formatter;
  plot.below[0].ticker.desired_num_ticks = Math.max(3, Math.round(chart.figure.clientWidth / 110));
  plot.below[0].major_label_policy = new Bokeh.NoOverlap({ min_distance: 6 });
  plot.below[0].axis_label = "UTC";
  plot.below[0].axis_label_text_font_style = "normal";
  plot.below[0].axis_label_text_font_size = "11px";
  plot.below[0].axis_label_standoff = 0;
  chart.figure.querySelector(".plot").ariaLabel = `${title} over time`;
  return plot;
}

function paint() {
  crosshair.line_color = colour("--soft");
  for (const { plot, lines, alerts, marks } of charts) {
    Object.assign(alerts.glyph, { fill_color: colour("--warn"), line_color: colour("--warn") });
    Object.assign(marks.glyph, { fill_color: colour("--warn"), line_color: null });
    paintFrame(plot);
    for (const { area, line: stroke, dots, colour: name } of lines) {
      area.glyph.fill_color = colour(name);
      stroke.glyph.line_color = colour(name);
      Object.assign(dots.glyph, { fill_color: colour(name), line_color: null });
    }
  }
}

// Runs of points without a gap: neither a line nor a band is drawn across one.
function splitAtGaps(points, gap) {
  const runs = [];
  for (const [n, point] of points.entries()) {
    if (n === 0 || point[0] - points[n - 1][0] > gap) runs.push([]);
    runs.at(-1).push(point);
  }
  return runs;
}

// Column data of a line; a point without a value separates two runs.
function lineColumns(runs) {
  const rows = runs.flatMap((run, n) => (n ? [[(runs[n - 1].at(-1)[0] + run[0][0]) / 2, NaN, NaN, NaN], ...run] : run));
  const column = (n, factor = 1) => rows.map((row) => row[n] * factor);
  return { time: column(0, 1000), mean: column(1), minimum: column(2), maximum: column(3) };
}

// Column data of the bands: a polygon for each run.
function bandColumns(runs) {
  const column = (run, n) => run.map((point) => point[n]);
  const outline = (run, low, high, factor) => [...column(run, low), ...column(run, high).reverse()].map((value) => value * factor);
  return { xs: runs.map((run) => outline(run, 0, 0, 1000)), ys: runs.map((run) => outline(run, 2, 3, 1)) };
}

const format = (value) => (Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3))));

async function read(chart, number) {
  const query = `since=${Math.max(0, range.start / 1000)}&until=${range.end / 1000}&points=${POINTS}`;
  const response = await request(`${chart.figure.dataset.from}?${query}`);
  if (!response.ok || number !== requests) return;
  const { lines } = await response.json();
  chart.gap = Math.max(span() / POINTS, Number(chart.figure.dataset.interval)) * 3.5;
  lines.forEach(({ points }, n) => {
    const runs = splitAtGaps(points, chart.gap);
    Object.assign(chart.lines[n], { points });
    chart.lines[n].source.data = lineColumns(runs);
    chart.lines[n].bands.data = bandColumns(runs);
  });
  chart.figure.dataset.runs = splitAtGaps(lines[0].points, chart.gap).length;
  showValues(chart, null);
  const count = lines.reduce((sum, { points }) => sum + points.length, 0);
  chart.figure.dataset.points = count;
  chart.figure.querySelector(".empty-chart").hidden = count > 0;
}

// The value of each line at a time, or its last one; the time stands on every chart.
function showValues(chart, timeS) {
  for (const { points, output } of chart.lines) {
    const nearest = timeS === null ? points.at(-1) : points.reduce((best, point) => (best && Math.abs(best[0] - timeS) <= Math.abs(point[0] - timeS) ? best : point), null);
    const isNear = nearest && (timeS === null || Math.abs(nearest[0] - timeS) <= chart.gap / 2);
    output.textContent = isNear ? format(nearest[1]) : "–";
  }
  chart.figure.querySelector(".at").textContent = timeS === null ? "" : `at ${new Date(timeS * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

const showTime = (timeS) => charts.forEach((chart) => showValues(chart, timeS));

async function readAlerts(number) {
  const response = await request(`${document.querySelector(".charts").dataset.alerts}?since=${Math.max(0, range.start / 1000)}&until=${range.end / 1000}`);
  if (!response.ok || number !== requests) return;
  const { alerts } = await response.json();
  const column = (read) => alerts.map(read);
  alertMarks.data = {
    began: column(({ began_at: began }) => Date.parse(began)),
    ended: column(({ ended_at: ended }) => (ended ? Date.parse(ended) : range.end)),
    rule: column(({ rule, level }) => `${rule} (${level})`),
    text: column(({ text }) => text),
    until: column(({ ended_at: ended }) => ended ?? "active"),
  };
  document.querySelector(".charts").dataset.marks = alerts.length;
}

function load() {
  requests += 1;
  readAlerts(requests).catch(() => {});
  for (const chart of charts) read(chart, requests).catch(() => {});
}

// No two ticks have the same label: a time of day has its date wherever the axis shows more than one day.
function adaptTicks() {
  const isOneDay = span() <= 20 * 3600;
  const clock = isOneDay ? "%H:%M" : "%m-%d %H:%M";
  const seconds = isOneDay ? "%H:%M:%S" : "%m-%d %H:%M:%S";
  const day = span() > 300 * DAY_S ? "%Y-%m-%d" : "%m-%d";
  formatter.setv({ seconds, minsec: seconds, minutes: clock, hourmin: clock, hours: clock, days: day, months: "%Y-%m", years: "%Y" });
}

function showSpan() {
  adaptTicks();
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
document.querySelector("button[data-newest]")?.addEventListener("click", ({ target }) => setRange(Number(target.dataset.newest) + 900, span()));
for (const { figure } of charts) {
  figure.querySelector(".plot").addEventListener("pointerleave", () => showTime(null));
  figure.querySelector(".plot").addEventListener("keydown", (event) => {
    if (!KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  figure.querySelector(".plot").addEventListener("dblclick", () => setRange(now(), DAY_S));
}

const plots = charts.map(createChart);
range.change.connect(onRange);
await embed(plots, charts.map(({ figure }) => figure.querySelector(".plot")), paint);
for (const { plot } of charts) plot.on_event("mousemove", ({ x }) => showTime(x / 1000));
setInterval(() => isLive && !document.hidden && setRange(now(), span()), LIVE_MS);
showSpan();
load();
