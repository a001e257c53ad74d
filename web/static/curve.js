// The page of a source: its light curve and those of its neighbours on one time axis, and the stamps of its epochs.

import "./page.js";
import { Bokeh, colour, embed, paintFrame } from "./bokeh.js";
import { request } from "./request.js";
import "./stamps.js";

const DAY_MS = 86400000;
const UNIX_MJD = 40587;
const NEIGHBOUR_COLOURS = ["--busy", "--good", "--warn", "--soft"];
const KINDS = ["counted", "soft", "limit", "uncounted"];

const frame = document.getElementById("curve");
const response = await request(frame.dataset.from);
const { measurements, neighbours } = await response.json();
const points = measurements.filter(({ flux_jy: flux }) => flux !== null);
const timeOf = ({ mjd }) => (mjd - UNIX_MJD) * DAY_MS;
const times = points.map(timeOf);
const margin = Math.max(DAY_MS, (Math.max(...times) - Math.min(...times)) * 0.04);
const range = new Bokeh.Range1d({ start: Math.min(...times) - margin, end: Math.max(...times) + margin });
const crosshair = new Bokeh.Span({ dimension: "height", line_dash: "dotted" });

function kindOf(point) {
  if (!point.is_counted) return "uncounted";
  if (!point.is_detected) return "limit";
  return point.flags.length ? "soft" : "counted"; // a point with a hard flag is not counted
}

const column = (rows, read) => rows.map(read);
const mjy = (value) => (value === null ? NaN : value * 1000);
const useOf = ({ is_counted: isCounted, uncounted_reason: reason }) => (isCounted ? "counted" : `no: ${reason}`);

function sourceOf(rows) {
  const flux = column(rows, ({ flux_jy: value }) => mjy(value));
  const error = column(rows, ({ flux_error_jy: value }) => mjy(value));
  return new Bokeh.ColumnDataSource({ data: {
    time: column(rows, timeOf), flux, error, low: flux.map((value, n) => value - error[n]), high: flux.map((value, n) => value + error[n]),
    limit: column(rows, ({ limit_jy: value }) => mjy(value)), epoch: column(rows, ({ epoch }) => epoch),
    flags: column(rows, ({ flags }) => flags.join(", ").toLowerCase().replaceAll("_", " ") || "none"), use: column(rows, useOf),
  } });
}

function createFigure(height, label) {
  const plot = Bokeh.Plotting.figure({
    height, sizing_mode: "stretch_width", x_axis_type: "datetime", x_range: range, toolbar_location: null, tools: [],
    y_range: new Bokeh.DataRange1d({ range_padding: 0.12 }), min_border_right: 12, output_backend: "canvas",
  });
  const wheel = new Bokeh.WheelZoomTool({ dimensions: "width" });
  plot.add_tools(wheel, new Bokeh.CrosshairTool({ overlay: crosshair }));
  plot.toolbar.active_scroll = wheel;
  // On a touch screen one finger scrolls the page, and two zoom.
  if (!matchMedia("(pointer: coarse)").matches) plot.add_tools(new Bokeh.PanTool({ dimensions: "width" }));
  plot.title = null;
  for (const [axis, text] of [[plot.below[0], "UTC"], [plot.left[0], label]]) {
    Object.assign(axis, { axis_label: text, axis_label_text_font_style: "normal", axis_label_text_font_size: "12px", axis_label_standoff: 2 });
  }
  const day = "%Y-%m-%d";
  plot.below[0].formatter = new Bokeh.DatetimeTickFormatter({ minutes: "%m-%d %H:%M", hourmin: "%m-%d %H:%M", hours: "%m-%d %H:%M", days: day, months: day, years: "%Y" });
  plot.below[0].ticker.desired_num_ticks = Math.max(3, Math.round(frame.clientWidth / 150));
  plot.below[0].major_label_policy = new Bokeh.NoOverlap({ min_distance: 6 });
  return plot;
}

function createCurve() {
  const plot = createFigure(320, "flux, mJy");
  const tooltips = [["epoch", "@epoch"], ["time (UTC)", "@time{%F %H:%M}"], ["flux", "@flux{0.000} ± @error{0.000} mJy"], ["3σ limit", "@limit{0.000} mJy"], ["flags", "@flags"], ["in the statistics", "@use"]];
  const drawn = [];
  const glyphs = {};
  for (const kind of KINDS) {
    const source = sourceOf(points.filter((point) => kindOf(point) === kind));
    const bars = plot.segment({ x0: { field: "time" }, x1: { field: "time" }, y0: { field: "low" }, y1: { field: "high" }, source, line_alpha: kind === "uncounted" ? 0.45 : 0.8 });
    const marker = kind === "limit" ? "inverted_triangle" : kind === "uncounted" ? "x" : "circle";
    const marks = plot.scatter({ x: { field: "time" }, y: { field: kind === "limit" ? "limit" : "flux" }, source, marker, size: kind === "limit" ? 9 : 7 });
    glyphs[kind] = { bars, marks };
    drawn.push(marks);
    frame.dataset[kind] = source.data.time.length;
  }
  const mean = new Bokeh.Span({ dimension: "width", line_dash: "dashed", location: Number(frame.dataset.meanMjy), visible: frame.dataset.meanMjy !== "" });
  plot.add_layout(mean);
  plot.add_tools(new Bokeh.HoverTool({ tooltips, formatters: { "@time": "datetime" }, renderers: drawn }));
  return { plot, glyphs, mean };
}

// Fluxes over their mean: what neighbours have in common with the source is not of the source.
function createComparison() {
  const plot = createFigure(220, "flux over mean");
  const rows = [{ source: { name: "this source" }, measurements }, ...neighbours];
  const lines = rows.map(({ source: { name }, measurements: all }) => {
    const counted = all.filter((point) => point.is_counted && point.flux_jy !== null);
    const mean = counted.reduce((sum, { flux_jy: flux }) => sum + flux, 0) / counted.length;
    const source = new Bokeh.ColumnDataSource({ data: { time: counted.map(timeOf), ratio: counted.map(({ flux_jy: flux }) => flux / mean), name: counted.map(() => name) } });
    const fields = { x: { field: "time" }, y: { field: "ratio" }, source };
    return [plot.line({ ...fields, line_width: 1.4 }), plot.scatter({ ...fields, size: 4 })];
  });
  plot.add_tools(new Bokeh.HoverTool({ tooltips: [["source", "@name"], ["time (UTC)", "@time{%F %H:%M}"], ["flux over mean", "@ratio{0.000}"]], formatters: { "@time": "datetime" }, renderers: lines.map(([, marks]) => marks) }));
  return { plot, lines };
}

const curve = createCurve();
const comparison = createComparison();

function paint() {
  const tones = { counted: colour("--accent"), soft: colour("--accent"), limit: colour("--busy"), uncounted: colour("--soft") };
  crosshair.line_color = colour("--soft");
  curve.mean.line_color = colour("--soft");
  for (const { plot } of [curve, comparison]) paintFrame(plot);
  for (const [kind, { bars, marks }] of Object.entries(curve.glyphs)) {
    bars.glyph.line_color = tones[kind];
    Object.assign(marks.glyph, { line_color: tones[kind], line_width: 1.5, fill_color: kind === "soft" ? colour("--card") : tones[kind] });
  }
  comparison.lines.forEach(([line, marks], n) => {
    const tone = colour(n === 0 ? "--accent" : NEIGHBOUR_COLOURS[(n - 1) % NEIGHBOUR_COLOURS.length]);
    Object.assign(line.glyph, { line_color: tone, line_width: n === 0 ? 2.4 : 1.2, line_alpha: n === 0 ? 1 : 0.75 });
    Object.assign(marks.glyph, { fill_color: tone, line_color: null });
  });
}

const whole = [range.start, range.end];
const zoom = (factor) => {
  const [middle, half] = [(range.start + range.end) / 2, ((range.end - range.start) / 2) * factor];
  range.setv({ start: middle - half, end: middle + half });
};
const move = (part) => {
  const shift = part * (range.end - range.start);
  range.setv({ start: range.start + shift, end: range.end + shift });
};
const showAll = () => range.setv({ start: whole[0], end: whole[1] });
const KEYS = { "+": () => zoom(0.6), "-": () => zoom(1.6), 0: showAll, ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2) };

for (const part of document.querySelectorAll(".live-only")) part.hidden = false;
const elements = [...frame.querySelectorAll(".plot")];
for (const element of elements) {
  element.addEventListener("dblclick", showAll);
  element.addEventListener("keydown", (event) => {
    if (!KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
}
frame.querySelector(".still-part").remove();
for (const element of elements) element.hidden = false;
await embed([curve.plot, comparison.plot], elements, paint);
frame.dataset.drawn = points.length;
