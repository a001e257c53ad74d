// The drawing over the pixels: grid, members, sources, calibrators, synthesized beam. Its coordinates are pixels of the image.

import { formatDec, formatRa } from "./wcs.js";
import { formatMjy } from "./scale.js";

const SVG = "http://www.w3.org/2000/svg";
const LABEL_PIXELS = 12;
const MARK_PIXELS = 9;
const MAX_LINES = 5;
const MAX_LABELS = 40;
const LABEL_AREA = 12_000; // square pixels of the screen for each label of a source
const POINTS = 24;
const CIRCLE_POINTS = 96;
const RA_STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];
const DEC_STEPS_ARCSEC = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000];

// Draw over a view { x, y, side } that is `width` CSS pixels wide; `hidden` names the parts that are left out.
export function drawOverlay(svg, image, { x, y, side }, width, hidden) {
  if (width === 0) return; // not laid out yet; its first size draws it
  const unit = side / width;
  const view = { x, y, side, height: side * image.ratio };
  svg.setAttribute("viewBox", `${x} ${y} ${side} ${view.height}`);
  svg.style.fontSize = `${LABEL_PIXELS * unit}px`;
  const parts = { grid, members, sources, calibrators, beam };
  svg.replaceChildren(
    ...Object.entries(parts)
      .filter(([name]) => !hidden.has(name))
      .map(([name, part]) => element("g", { class: name }, ...part(image, view, unit))),
  );
}

function element(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    node.setAttribute(key, typeof value === "number" ? value.toFixed(3) : value);
  }
  node.append(...children);
  return node;
}

function grid({ coordinates }, view) {
  const middle = coordinates.skyAt(view.x + view.side / 2, view.y + view.height / 2);
  if (!middle) return [];
  const [ras, decs] = [[], []];
  for (let j = 0; j <= 8; j++) {
    for (let i = 0; i <= 8; i++) {
      const sky = coordinates.skyAt(view.x + (i * view.side) / 8, view.y + (j * view.height) / 8);
      if (!sky) continue;
      ras.push(middle[0] + ((sky[0] - middle[0] + 540) % 360) - 180);
      decs.push(sky[1]);
    }
  }
  const [ra0, ra1, dec0, dec1] = [Math.min(...ras), Math.max(...ras), Math.min(...decs), Math.max(...decs)];
  const between = (low, high, count) => Array.from({ length: count + 1 }, (_, n) => low + ((high - low) * n) / count);
  const lines = multiples(ra0, ra1, RA_STEPS_S.map((step) => step / 240)).map((ra) =>
    line(coordinates, view, between(dec0, dec1, POINTS).map((dec) => [ra, dec]), formatRa(ra), true),
  );
  for (const dec of multiples(dec0, dec1, DEC_STEPS_ARCSEC.map((step) => step / 3600))) {
    const directions = between(ra0, ra1, POINTS).map((ra) => [ra, dec]);
    lines.push(line(coordinates, view, directions, formatDec(dec), false));
  }
  return lines.flat();
}

// Multiples of the least step that gives at most MAX_LINES of them.
function multiples(low, high, steps) {
  const step = steps.find((size) => (high - low) / size <= MAX_LINES) ?? steps.at(-1);
  const values = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) values.push(n * step);
  return values;
}

function line(coordinates, view, directions, label, isAtBottom) {
  const points = directions.map((direction) => coordinates.pixelAt(...direction)).filter(Boolean);
  const isInside = ([x, y]) => x >= view.x && x <= view.x + view.side && y >= view.y && y <= view.y + view.height;
  const inside = points.filter(isInside);
  if (inside.length < 2) return [];
  const [x, y] = inside.reduce((a, b) => ((isAtBottom ? b[1] > a[1] : b[0] < a[0]) ? b : a));
  const drawn = points.map((point) => point.map((value) => value.toFixed(2)).join(",")).join(" ");
  const offset = { dx: "0.3em", dy: "-0.4em" };
  return [element("polyline", { points: drawn }), element("text", { x, y, ...offset }, label)];
}

function placed(list, image, view) {
  return list
    .map((entry) => ({ ...entry, point: image.coordinates.pixelAt(entry.ra_deg, entry.dec_deg) }))
    .filter(({ point }) => point && point[0] >= view.x && point[0] <= view.x + view.side)
    .filter(({ point }) => point[1] >= view.y && point[1] <= view.y + view.height);
}

function sources(image, view, unit) {
  const shown = placed(image.sources, image, view);
  const labels = Math.min(MAX_LABELS, Math.floor((view.side * view.height) / unit ** 2 / LABEL_AREA));
  const r = Math.max(MARK_PIXELS * unit, image.beam_arcsec[0] / 3600 / image.coordinates.cellDeg);
  return shown.flatMap((source, index) => {
    const [x, y] = source.point;
    const title = element("title", {}, describeSource(source));
    const label = element("text", { x: x + r, y, dx: "0.2em", dy: "0.35em" }, `${formatMjy(source.flux_jy)} mJy`);
    return [element("circle", { cx: x, cy: y, r }, title), ...(index < labels ? [label] : [])];
  });
}

// Name, flux (apparent where it is not corrected) and flux over the primary beam, as far as they are listed.
function describeSource(source) {
  const kind = source.corrected_jy === undefined ? "" : " apparent";
  const texts = [source.name ?? "source", `${formatMjy(source.flux_jy)} mJy${kind}`];
  if (Number.isFinite(source.corrected_jy)) texts.push(`${formatMjy(source.corrected_jy)} mJy over the primary beam`);
  if (source.catalogue_jy !== undefined) texts.push(`${formatMjy(source.catalogue_jy)} mJy in the catalogue`);
  return texts.join(", ");
}

// The half power of the primary beam of each tile image of a mosaic, as a closed line around its centre.
function members({ coordinates, members: list = [] }, view, unit) {
  return list.flatMap(({ name, ra_deg: ra, dec_deg: dec, radius_deg: radius }) => {
    const centre = coordinates.pixelAt(ra, dec);
    const directions = Array.from({ length: CIRCLE_POINTS + 1 }, (_, n) => (2 * Math.PI * n) / CIRCLE_POINTS).map((angle) => {
      const north = dec + radius * Math.cos(angle);
      return [ra + (radius * Math.sin(angle)) / Math.max(0.02, Math.cos((dec * Math.PI) / 180)), north];
    });
    const points = directions.map((direction) => coordinates.pixelAt(...direction)).filter(Boolean);
    if (!centre || points.length < 2) return [];
    const drawn = points.map((point) => point.map((value) => value.toFixed(2)).join(",")).join(" ");
    const line = element("polyline", { points: drawn }, element("title", {}, `half power of ${name}`));
    const mark = MARK_PIXELS * unit;
    const [x, y] = centre;
    const cross = element("path", { d: `M${x - mark} ${y}H${x + mark}M${x} ${y - mark}V${y + mark}` });
    return [line, cross];
  });
}

function calibrators(image, view, unit) {
  return placed(image.calibrators, image, view).flatMap(({ name, flux_jy: flux, point: [x, y] }) => {
    const r = 1.5 * MARK_PIXELS * unit;
    const text = flux === null ? name : `${name} ${formatMjy(flux)} mJy in the catalogue`;
    const corners = `${x},${y - r} ${x + r},${y} ${x},${y + r} ${x - r},${y}`;
    const label = element("text", { x, y: y - r, dy: "-0.3em", "text-anchor": "middle" }, name);
    return [element("polygon", { points: corners }, element("title", {}, text)), label];
  });
}

function beam(image, view, unit) {
  const cell = image.coordinates.cellDeg * 3600;
  const [major, minor] = image.beam_arcsec.map((width) => width / cell / 2);
  const reach = Math.max(major, 2 * unit);
  const [cx, cy] = [view.x + reach + 8 * unit, view.y + view.height - reach - 24 * unit];
  const shape = { cx, cy, rx: Math.max(minor, 1.5 * unit), ry: reach, transform: `rotate(${-image.beam_angle_deg} ${cx} ${cy})` };
  const [long, short] = image.beam_arcsec.map((width) => width.toFixed(1));
  return [element("ellipse", shape, element("title", {}, `synthesized beam ${long}″ × ${short}″`))];
}
