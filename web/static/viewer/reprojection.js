// The view of one image filled with the pixels of another, so that each position of the sky stays where it is.

import { decode } from "./scale.js";

const CELL = 32; // screen pixels between positions that are computed; those between are interpolated
const MARGIN = 1.15; // the other image may be turned against the view

// The square of `other` that covers a view of `home`, inside `other`; null when the centre of the view is outside.
export function viewOf(home, view, other) {
  const centre = home.coordinates.skyAt(view.x + view.side / 2, view.y + view.side / 2);
  if (!centre || !other.contains(...centre)) return null;
  const [x, y] = other.coordinates.pixelAt(...centre);
  const cells = home.coordinates.cellDeg / other.coordinates.cellDeg;
  const side = Math.min(other.side, Math.max(4, view.side * cells * MARGIN));
  const inside = (middle, size) => Math.min(size - side, Math.max(0, middle - side / 2));
  return { x: inside(x, other.columns), y: inside(y, other.rows), side };
}

// Codes of `columns` × `columns` screen pixels of the view of `home`, from a frame of `other`; NaN outside it.
// Between the means of a frame is interpolated; where the frame has the image's own pixels the nearest is used.
export function reproject(home, view, columns, other, frame) {
  const values = decode(frame.codes);
  const isAveraged = frame.columns < frame.width;
  const output = new Float32Array(columns * columns).fill(NaN);
  const [scaleX, scaleY] = [frame.columns / frame.width, frame.rows / frame.height];
  const count = Math.ceil(columns / CELL) + 1;
  const [nodeX, nodeY] = [new Float64Array(count * count), new Float64Array(count * count)];
  for (let node = 0; node < count * count; node++) {
    const [i, j] = [node % count, Math.floor(node / count)].map((index) => (index * CELL * view.side) / columns);
    const sky = home.coordinates.skyAt(view.x + i, view.y + j);
    const point = sky && other.coordinates.pixelAt(...sky);
    nodeX[node] = point ? (point[0] - frame.x) * scaleX : NaN;
    nodeY[node] = point ? (point[1] - frame.y) * scaleY : NaN;
  }
  const between = (nodes, node, u, v) =>
    (nodes[node] * (1 - u) + nodes[node + 1] * u) * (1 - v) +
    (nodes[node + count] * (1 - u) + nodes[node + count + 1] * u) * v;
  for (let row = 0; row < columns; row++) {
    const j = Math.floor(row / CELL);
    const v = (row + 0.5) / CELL - j;
    for (let column = 0; column < columns; column++) {
      const i = Math.floor(column / CELL);
      const u = (column + 0.5) / CELL - i;
      const x = between(nodeX, j * count + i, u, v);
      const y = between(nodeY, j * count + i, u, v);
      output[row * columns + column] = isAveraged
        ? interpolate(values, frame, x - 0.5, y - 0.5)
        : nearest(values, frame, x, y);
    }
  }
  return Uint16Array.from(new Uint32Array(output.buffer), (word) => word >>> 16);
}

function nearest(values, frame, x, y) {
  if (!(x >= 0 && y >= 0 && x < frame.columns && y < frame.rows)) return NaN;
  return values[Math.floor(y) * frame.columns + Math.floor(x)];
}

function interpolate(values, frame, x, y) {
  if (!(x > -1 && y > -1 && x < frame.columns && y < frame.rows)) return NaN;
  const left = Math.max(0, Math.floor(x));
  const top = Math.max(0, Math.floor(y));
  const right = Math.min(frame.columns - 1, left + 1);
  const bottom = Math.min(frame.rows - 1, top + 1);
  const u = Math.min(1, Math.max(0, x - left));
  const v = Math.min(1, Math.max(0, y - top));
  const upper = values[top * frame.columns + left] * (1 - u) + values[top * frame.columns + right] * u;
  const lower = values[bottom * frame.columns + left] * (1 - u) + values[bottom * frame.columns + right] * u;
  return upper * (1 - v) + lower * v;
}
