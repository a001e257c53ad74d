// Charts of the stream's history: one time for all, panned and zoomed together, read down-sampled from the panel.

import "./page.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 640;
const HEIGHT = 210;
const LEFT = 46;
const BOTTOM = 32;
const TOP = 12;
const LEAST_S = 300;
const MOST_S = 400 * 86400;
const SETTLE_MS = 150;
const LIVE_MS = 30000;
const charts = [...document.querySelectorAll(".chart")].map((figure) => ({ figure, svg: figure.querySelector("svg"), lines: [] }));
const now = () => Date.now() / 1000;
const view = { until: now(), span: 86400, live: true };
let pending = 0;
let asked = 0;

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

export function roundStep(range, parts) {
  const rough = range / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((one) => one * power >= rough) ?? 10);
}

const TIME_STEPS = [60, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000];

function timeMarks(since, until) {
  const step = TIME_STEPS.find((one) => (until - since) / one <= 7) ?? 7776000;
  const marks = [];
  for (let at = Math.ceil(since / step) * step; at < until; at += step) marks.push([at, step]);
  return marks;
}

function timeWords(at, step) {
  const text = new Date(at * 1000).toISOString();
  return step >= 86400 || at % 86400 === 0 ? text.slice(5, 10) : text.slice(11, 16);
}

function number(value) {
  const size = Math.abs(value);
  if (size >= 1000) return value.toFixed(0);
  return String(Number(value.toPrecision(3)));
}

function draw(chart) {
  const since = view.until - view.span;
  const all = chart.lines.flatMap((line) => line.points);
  const top = Math.max(...all.map((point) => point[3]), 0) * 1.08 || 1;
  const x = (at) => LEFT + ((at - since) / view.span) * (WIDTH - LEFT - 6);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const parts = [];
  const step = roundStep(top, 4);
  for (let value = 0; value <= top; value += step) {
    parts.push(element("line", { class: "tick", x1: LEFT, x2: WIDTH - 6, y1: y(value), y2: y(value) }));
    parts.push(element("text", { class: "mark value", x: LEFT - 6, y: y(value) + 4 }, number(value)));
  }
  for (const [at, every] of timeMarks(since, view.until)) {
    parts.push(element("line", { class: "tick", x1: x(at), x2: x(at), y1: TOP, y2: HEIGHT - BOTTOM }));
    const place = Math.min(x(at), WIDTH - 26); // the last one has no room to its right
    parts.push(element("text", { class: "mark", x: place, y: HEIGHT - 7 }, timeWords(at, every)));
  }
  const gap = chart.step * 3.5;
  chart.lines.forEach((line, index) => {
    const shown = line.points.filter((point) => point[0] >= since - chart.step && point[0] <= view.until + chart.step);
    const area = shown.map((p) => `${x(p[0])},${y(p[3])}`).concat(shown.map((p) => `${x(p[0])},${y(p[2])}`).reverse());
    if (shown.length > 1 && shown.some((p) => p[3] > p[2])) parts.push(element("polygon", { class: `area line-${index + 1}`, points: area.join(" ") }));
    let path = "";
    shown.forEach((p, n) => {
      path += `${n === 0 || p[0] - shown[n - 1][0] > gap ? "M" : "L"}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`;
      if (shown.length < 60) parts.push(element("circle", { class: `dot line-${index + 1}`, cx: x(p[0]), cy: y(p[1]), r: 2.2 }));
    });
    if (path) parts.push(element("path", { class: `stroke line-${index + 1}`, d: path }));
  });
  if (!all.length) parts.push(element("text", { class: "mark", x: WIDTH / 2, y: HEIGHT / 2 }, "nothing was recorded in this time"));
  parts.push(element("line", { class: "cursor", x1: -9, x2: -9, y1: TOP, y2: HEIGHT - BOTTOM }));
  chart.svg.replaceChildren(...parts);
}

function say() {
  const words = (at) => new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ");
  document.getElementById("span").textContent = `${words(view.until - view.span)} to ${words(view.until)} UTC`;
  for (const button of document.querySelectorAll("[data-span]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.span) === Math.round(view.span)));
  }
}

async function read(chart, mine) {
  const since = Math.max(0, view.until - view.span);
  const answer = await fetch(`${chart.figure.dataset.from}?since=${since}&until=${view.until}&points=300`);
  if (!answer.ok || mine !== asked) return;
  chart.lines = (await answer.json()).lines;
  chart.step = view.span / 300;
  const outputs = chart.figure.querySelectorAll("output");
  chart.lines.forEach((line, n) => {
    const last = line.points.at(-1);
    outputs[n].textContent = last ? number(last[1]) : "–";
  });
  draw(chart);
}

function load() {
  asked += 1;
  for (const chart of charts) read(chart, asked).catch(() => {});
}

function show(wait = SETTLE_MS) {
  view.span = Math.min(MOST_S, Math.max(LEAST_S, view.span));
  if (view.until >= now() - 1) view.until = now();
  view.live = view.until >= now() - 5;
  say();
  for (const chart of charts) if (chart.step) draw(chart);
  clearTimeout(pending);
  pending = setTimeout(load, wait);
}

function zoom(factor, part = 1) {
  const span = Math.min(MOST_S, Math.max(LEAST_S, view.span * factor));
  view.until += (span - view.span) * (1 - part);
  view.span = span;
  show();
}

function partOf(svg, event) {
  const box = svg.getBoundingClientRect();
  return (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - 6);
}

function point(chart, event) {
  const part = partOf(chart.svg, event);
  const at = view.until - view.span * (1 - part);
  for (const one of charts) {
    one.svg.querySelector(".cursor")?.setAttribute("x1", part < 0 ? -9 : LEFT + part * (WIDTH - LEFT - 6));
    one.svg.querySelector(".cursor")?.setAttribute("x2", part < 0 ? -9 : LEFT + part * (WIDTH - LEFT - 6));
    const outputs = one.figure.querySelectorAll("output");
    one.lines.forEach((line, n) => {
      const near = line.points.reduce((best, p) => (Math.abs(p[0] - at) < Math.abs(best[0] - at) ? p : best), [Infinity]);
      outputs[n].textContent = Math.abs(near[0] - at) < 4 * one.step ? number(near[1]) : "–";
    });
  }
}

for (const chart of charts) {
  const { svg } = chart;
  const fingers = new Map();
  svg.addEventListener("wheel", (event) => {
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) view.until += (view.span * (event.deltaX || event.deltaY)) / 800;
    else zoom(Math.exp(event.deltaY / 400), partOf(svg, event));
    event.preventDefault();
    show();
  }, { passive: false });
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event.clientX);
  });
  svg.addEventListener("pointermove", (event) => {
    point(chart, event);
    if (!fingers.has(event.pointerId)) return;
    const before = fingers.get(event.pointerId);
    const other = [...fingers].find(([id]) => id !== event.pointerId);
    if (other) zoom((Math.abs(before - other[1]) || 1) / (Math.abs(event.clientX - other[1]) || 1), partOf(svg, event));
    else view.until -= ((event.clientX - before) / svg.clientWidth) * view.span;
    fingers.set(event.pointerId, event.clientX);
    show();
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, (event) => fingers.delete(event.pointerId));
  svg.addEventListener("dblclick", () => {
    Object.assign(view, { until: now(), span: 86400 });
    show();
  });
  svg.addEventListener("keydown", (event) => {
    const keys = { "+": () => zoom(0.5, 0.5), "-": () => zoom(2, 0.5), ArrowLeft: () => { view.until -= view.span / 4; show(); }, ArrowRight: () => { view.until += view.span / 4; show(); } };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    view.span = Number(button.dataset.span);
    show(0);
  });
}
for (const button of document.querySelectorAll("[data-move]")) {
  button.addEventListener("click", () => {
    view.until += view.span * Number(button.dataset.move);
    show(0);
  });
}
for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => zoom(Number(button.dataset.zoom), 0.5));
setInterval(() => view.live && !document.hidden && show(0), LIVE_MS);
show(0);
