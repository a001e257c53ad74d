// The colour bar below the image: its colours, ticks and unit.

import { formatMjy, makeColours, makeTicks } from "./scale.js";

const TICK_PIXELS = 52;

export class ColourBar {
  constructor(element) {
    this.canvas = element.querySelector("canvas");
    this.ticks = element.querySelector(".ticks");
    this.unit = element.querySelector(".unit");
  }

  // `unit`: text and factor of values that are no brightness in Jy per beam.
  draw(scale, unit) {
    const colours = makeColours(scale.colours);
    this.canvas.width = colours.length;
    this.canvas.height = 1;
    const image = new ImageData(new Uint8ClampedArray(colours.buffer), colours.length, 1);
    this.canvas.getContext("2d").putImageData(image, 0, 0);
    const gap = TICK_PIXELS / Math.max(this.canvas.clientWidth, 2 * TICK_PIXELS);
    this.ticks.replaceChildren(
      ...makeTicks(scale, gap).map(({ value, position }) => {
        const tick = document.createElement("span");
        tick.textContent = unit ? String(Number((value * unit.factor).toPrecision(3))) : formatMjy(value);
        tick.style.setProperty("--position", `${100 * position}%`); // of the tick, and of its mark in its own width
        return tick;
      }),
    );
    this.unit.textContent = unit?.text ?? "mJy/beam";
  }
}
