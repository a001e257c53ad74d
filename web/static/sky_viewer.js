// The HiPS of the mosaics in Aladin Lite, from this panel alone, with tiles, epochs, sources, calibrators and failed
// tiles over it. Without WebGL 2 or without the script the section stays hidden, and the drawn map is all there is.

import { request } from "./request.js";

const COLOURS = { tiles: "#2f9e63", epochs: "#4ea3d8", sources: "#ffd400", calibrators: "#c06fd0", failed: "#ff6b66" };
const GRADES = { good: "#2f9e63", suspect: "#e0a030", bad: "#ff6b66", none: "#9aa5b1" };
const SHAPES = { sources: "circle", calibrators: "rhomb", failed: "cross" };
const MAX_SOURCE_FIELD_DEG = 12; // wider views show no sources

const section = document.getElementById("survey");
const status = document.getElementById("survey-status");

function hasWebgl() {
  try {
    return Boolean(document.createElement("canvas").getContext("webgl2"));
  } catch {
    return false;
  }
}

async function read(address) {
  const response = await request(address, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  return response.json();
}

// Names in Aladin's options lead to no request: the position is given in degrees, the survey by its address here.
function open(A) {
  const { hips, ra, dec, field } = section.dataset;
  return A.aladin("#survey-viewer", {
    survey: new URL(hips, location.href).href,
    hipsList: [],
    target: `${ra} ${dec}`,
    fov: Number(field),
    cooFrame: "ICRS",
    projection: "SIN",
    log: false,
    samp: false,
    showReticle: false,
    showFrame: false,
    showCooLocation: false,
    showLayersControl: false,
    showProjectionControl: false,
    showSimbadPointerControl: false,
    showShareControl: false,
    showSettingsControl: false,
    showContextMenu: false,
    showCooGridControl: true,
    showCooGrid: true,
    gridColor: "#9aa5b1",
    gridOpacity: 0.5,
  });
}

class Overlays {
  constructor(A, aladin) {
    this.A = A;
    this.aladin = aladin;
    this.marks = new Map(); // mark of each shape
    this.layers = {};
    for (const name of ["tiles", "epochs"]) {
      this.layers[name] = A.graphicOverlay({ name, color: COLOURS[name], lineWidth: 1.5 });
      aladin.addOverlay(this.layers[name]);
    }
    for (const [name, shape] of Object.entries(SHAPES)) {
      this.layers[name] = A.catalog({ name, color: COLOURS[name], shape, sourceSize: name === "sources" ? 9 : 14 });
      aladin.addCatalog(this.layers[name]);
    }
  }

  draw(marks) {
    for (const mark of marks.tiles) this.add("tiles", this.A.circle(mark.ra, mark.dec, mark.radius, this.style(mark)), mark);
    for (const mark of marks.epochs) this.add("epochs", this.A.polygon(mark.outline, { color: COLOURS.epochs, lineWidth: 2 }), mark);
    for (const name of ["calibrators", "failed"]) this.drawPoints(name, marks[name]);
  }

  drawPoints(name, marks) {
    const sources = marks.map((mark) => {
      const source = this.A.source(mark.ra, mark.dec, { name: mark.label });
      this.marks.set(source, mark);
      return source;
    });
    this.layers[name].removeAll?.();
    this.layers[name].addSources(sources);
  }

  style(mark) {
    return { color: GRADES[mark.grade], lineWidth: 1.5 };
  }

  add(name, shape, mark) {
    this.layers[name].add(shape);
    this.marks.set(shape, mark);
  }

  show(name, isShown) {
    if (isShown) this.layers[name].show();
    else this.layers[name].hide();
  }
}

// Aladin's buttons are pictures without a name.
function nameButtons() {
  const names = { ".aladin-zoom-in": "Zoom in", ".aladin-zoom-out": "Zoom out", ".aladin-fullScreen-control button": "Full screen" };
  const viewer = document.getElementById("survey-viewer");
  for (const [selector, name] of Object.entries(names)) viewer.querySelector(selector)?.setAttribute("aria-label", name);
  for (const button of viewer.querySelectorAll("button:not([aria-label])")) button.setAttribute("aria-label", "Coordinate grid");
  for (const picture of viewer.querySelectorAll("img:not([alt])")) picture.alt = "";
}

function describe(aladin) {
  const [ra, dec] = aladin.getRaDec();
  const [width] = aladin.getFov();
  return `centre ${ra.toFixed(4)}° ${dec < 0 ? "−" : "+"}${Math.abs(dec).toFixed(4)}° (ICRS), ${width.toFixed(2)}° wide`;
}

// The sources around the view, read again when it comes to rest elsewhere.
function followSources(aladin, overlays) {
  let timer = 0;
  const refresh = async () => {
    const [ra, dec] = aladin.getRaDec();
    const radius = Math.max(...aladin.getFov()) / 2;
    const isNarrow = 2 * radius <= MAX_SOURCE_FIELD_DEG;
    const query = new URLSearchParams({ ra: ((ra % 360) + 360) % 360, dec, radius: Math.min(radius * 1.3, 10) });
    const { sources } = isNarrow ? await read(`${section.dataset.sources}?${query}`) : { sources: [] };
    overlays.drawPoints("sources", sources);
    section.dataset.sourcesShown = sources.length;
  };
  const later = () => {
    status.textContent = describe(aladin);
    clearTimeout(timer);
    timer = setTimeout(() => refresh().catch(report), 400);
  };
  aladin.on("positionChanged", later);
  aladin.on("zoomChanged", later);
  later();
}

function report(error) {
  status.textContent = `The viewer failed: ${error.message}`;
}

async function start() {
  const { default: A } = await import(section.dataset.script);
  await A.init;
  section.hidden = false;
  const aladin = open(A);
  nameButtons();
  const overlays = new Overlays(A, aladin);
  overlays.draw(await read(section.dataset.overlays));
  followSources(aladin, overlays);
  aladin.on("objectHovered", (shape) => (status.textContent = overlays.marks.get(shape)?.label ?? describe(aladin)));
  aladin.on("objectHoveredStop", () => (status.textContent = describe(aladin)));
  aladin.on("objectClicked", (shape) => {
    const url = overlays.marks.get(shape)?.url;
    if (url) location.assign(url);
  });
  for (const box of section.querySelectorAll(".overlays input")) {
    overlays.show(box.name, box.checked);
    box.addEventListener("change", () => overlays.show(box.name, box.checked));
  }
  section.aladin = aladin;
  section.dataset.state = "ready";
}

if (section && hasWebgl()) {
  start().catch((error) => {
    section.dataset.state = "failed";
    section.hidden = true;
    console.warn(`sky viewer: ${error.message}`);
  });
} else if (section) {
  section.dataset.state = "no-webgl";
}
