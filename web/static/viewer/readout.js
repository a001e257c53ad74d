// Position, brightness, and response of the primary beam or weight under the pointer.

import { formatMjy } from "./scale.js";
import { formatDec, formatRa } from "./wcs.js";

const HALF_POWER = 0.5;

export class Readout {
  constructor(element) {
    this.element = element;
    this.parts = Object.fromEntries([...element.querySelectorAll("[data-value]")].map((part) => [part.dataset.value, part]));
    this.position = null;
    this.isWaiting = false;
  }

  clear() {
    this.position = null;
    for (const part of Object.values(this.parts)) part.textContent = "";
  }

  // Show the values of `shown` at a position in `home`, whose view is on the screen.
  show(home, shown, x, y) {
    const sky = home.coordinates.skyAt(x, y);
    if (!sky) return this.clear();
    this.parts.sky.textContent = `${formatRa(sky[0], 2)} ${formatDec(sky[1], 1)}`;
    this.position = { image: shown, pixel: shown === home ? [x, y] : shown.coordinates.pixelAt(...sky) };
    this.update();
  }

  // One request at a time: after an answer the newest position is requested.
  async update() {
    if (this.isWaiting || !this.position) return;
    this.isWaiting = true;
    const requested = this.position;
    const values = requested.pixel ? await requested.image.valuesAt(...requested.pixel).catch(() => null) : null;
    this.isWaiting = false;
    if (!this.position) return;
    this.describe(values ?? {});
    if (this.position !== requested) this.update();
  }

  describe(values) {
    const number = (value) => (value === null || value === undefined ? "–" : `${formatMjy(value)} mJy/beam`);
    for (const name of ["image", "pbcor", "residual", "rms"]) {
      if (this.parts[name]) this.parts[name].textContent = number(values[name]);
    }
    if (this.parts.weight) this.parts.weight.textContent = formatWeight(values.weight);
    if (!this.parts.beam) return;
    const response = values.beam;
    const isKnown = response !== null && response !== undefined;
    const note = document.createElement("small");
    note.textContent = isKnown && response < HALF_POWER ? " outside the half power" : "";
    this.parts.beam.replaceChildren(isKnown ? response.toFixed(3) : "–", note);
  }
}

// A weight in 1/Jy² as a number of 1/mJy².
function formatWeight(weight) {
  return weight === null || weight === undefined ? "–" : `${Number((weight * 1e-6).toPrecision(4))} /mJy²`;
}
