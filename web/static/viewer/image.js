// An image of the panel: its description, its coordinates, and frames: parts of its layers averaged by the server to
// the pixels of the screen.

import { request as send } from "../request.js";
import { Wcs } from "./wcs.js";

const MAX_FRAMES = 12;
const OVERVIEW_COLUMNS = 512;
const MIN_RATIO = 0.3; // of the height of a view to its width

// The response of a path of the panel; its error as an exception with the message of the panel.
async function request(path) {
  const response = await send(path, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error((await response.json()).error);
  return response;
}

export class SkyImage {
  constructor(description) {
    Object.assign(this, description);
    this.coordinates = new Wcs(description.wcs, description.rows);
    // A view is `side` pixels wide and `ratio` times as high; the widest holds the whole image.
    this.ratio = Math.min(1, Math.max(MIN_RATIO, description.rows / description.columns));
    this.side = Math.max(description.columns, description.rows / this.ratio);
    this.frames = new Map();
  }

  static async load(url) {
    return new SkyImage(await (await request(url)).json());
  }

  // Fetch { x, y, width, height, columns, rows, codes } of the part of the view that is inside the image: means over the
  // pixels of the screen, of which the view is `columns` wide, or the pixels of the image where these are larger.
  async frame(layer, view, columns) {
    const region = this.region(view, columns);
    const key = `${layer} ${Object.values(region)}`;
    if (!this.frames.has(key)) {
      while (this.frames.size >= MAX_FRAMES) this.frames.delete(this.frames.keys().next().value);
      this.frames.set(key, this.fetchFrame(layer, region));
    }
    try {
      return await this.frames.get(key);
    } catch (error) {
      this.frames.delete(key);
      throw error;
    }
  }

  overview(layer) {
    return this.frame(layer, this.whole(), Math.min(OVERVIEW_COLUMNS, this.side));
  }

  // The view of the whole image.
  whole() {
    return { x: (this.columns - this.side) / 2, y: (this.rows - this.side * this.ratio) / 2, side: this.side };
  }

  region(view, columns) {
    const [right, bottom] = [view.x + view.side, view.y + view.side * this.ratio];
    if (view.side > columns) {
      const [x, y] = [Math.max(0, view.x), Math.max(0, view.y)];
      const [width, height] = [Math.min(this.columns, right) - x, Math.min(this.rows, bottom) - y];
      const scale = columns / view.side;
      const pixels = [width, height].map((size) => Math.max(1, Math.round(size * scale)));
      return { x, y, width, height, columns: pixels[0], rows: pixels[1] };
    }
    const [x, y] = [Math.max(0, Math.floor(view.x)), Math.max(0, Math.floor(view.y))];
    const width = Math.min(this.columns, Math.ceil(right)) - x;
    const height = Math.min(this.rows, Math.ceil(bottom)) - y;
    return { x, y, width, height, columns: width, rows: height };
  }

  async fetchFrame(layer, region) {
    // The server counts from the lower left corner.
    const y = Math.max(0, this.rows - region.y - region.height);
    const query = new URLSearchParams({ layer, ...region, y });
    const response = await request(`${this.pixels}?${query}`);
    return { ...region, codes: new Uint16Array(await response.arrayBuffer()) };
  }

  // Values of every layer at a position in the image; null outside it.
  async valuesAt(x, y) {
    const column = Math.floor(x);
    const row = this.rows - 1 - Math.floor(y);
    if (!(column >= 0 && column < this.columns && row >= 0 && row < this.rows)) return null;
    return (await request(`${this.value}?x=${column}&y=${row}`)).json();
  }

  contains(raDeg, decDeg) {
    const point = this.coordinates.pixelAt(raDeg, decDeg);
    return Boolean(point) && point[0] >= 0 && point[0] < this.columns && point[1] >= 0 && point[1] < this.rows;
  }
}
