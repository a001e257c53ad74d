// An image of the panel: its description, its coordinates, and frames: parts of its layers averaged by the server to
// the pixels of the screen.

import { request as send } from "../request.js";
import { Wcs } from "./wcs.js";

const MAX_FRAMES = 12;
const OVERVIEW_COLUMNS = 512;

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
    this.side = Math.min(description.columns, description.rows);
    this.frames = new Map();
  }

  static async load(url) {
    return new SkyImage(await (await request(url)).json());
  }

  // Fetch { x, y, width, height, columns, rows, codes }: means over the pixels of the screen, of which the view is
  // `columns` wide, or the pixels of the image themselves where these are larger.
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
    return this.frame(layer, { x: 0, y: 0, side: this.side }, Math.min(OVERVIEW_COLUMNS, this.side));
  }

  region(view, columns) {
    if (view.side > columns) return { x: view.x, y: view.y, width: view.side, height: view.side, columns, rows: columns };
    const [x, y] = [Math.floor(view.x), Math.floor(view.y)];
    const width = Math.min(this.columns, Math.ceil(view.x + view.side)) - x;
    const height = Math.min(this.rows, Math.ceil(view.y + view.side)) - y;
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
