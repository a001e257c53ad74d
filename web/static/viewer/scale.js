// From brightness to colour: limits, stretch, colour map, ticks of the colour bar. Brightness is in Jy per beam.

import { COLOUR_MAPS } from "./colour_maps.js";

const LOG_RANGE = 1000;
const LINEAR_SIGMA = 3; // asinh is linear within so many times the noise, like the preview
const BLANK = 0xff404040;
const CODES = 65536;

export const STRETCHES = {
  linear: () => (part) => part,
  sqrt: () => (part) => Math.sqrt(part),
  log: () => (part) => Math.log1p(LOG_RANGE * part) / Math.log1p(LOG_RANGE),
  asinh: ({ low, high, rms }) => {
    const width = LINEAR_SIGMA * (rms || (high - low) / 10);
    const bottom = Math.asinh(low / width);
    const range = Math.asinh(high / width) - bottom;
    return (part) => (Math.asinh((low + part * (high - low)) / width) - bottom) / range;
  },
};

// Function from brightness to 0..1 of a scale { low, high, rms, stretch }; values outside its limits are clipped.
export function makeStretch(scale) {
  const stretch = STRETCHES[scale.stretch](scale);
  const range = scale.high - scale.low || 1;
  return (value) => stretch(Math.min(1, Math.max(0, (value - scale.low) / range)));
}

// Colours of a map as 256 numbers 0xAABBGGRR.
export function makeColours(name) {
  const anchors = COLOUR_MAPS[name].split(" ").map((text) => [0, 2, 4].map((i) => parseInt(text.slice(i, i + 2), 16)));
  return Uint32Array.from({ length: 256 }, (_, index) => {
    const position = (index / 255) * (anchors.length - 1);
    const lower = Math.min(anchors.length - 2, Math.floor(position));
    const part = position - lower;
    const [r, g, b] = anchors[lower].map((value, i) => Math.round(value + part * (anchors[lower + 1][i] - value)));
    return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  });
}

// Values of codes, which are bfloat16: the upper halves of 32-bit floats.
export function decode(codes) {
  const words = new Uint32Array(codes.length);
  for (let i = 0; i < codes.length; i++) words[i] = codes[i] << 16;
  return new Float32Array(words.buffer);
}

// The colour of each code.
export function makeColourTable(scale) {
  const stretch = makeStretch(scale);
  const colours = makeColours(scale.colours);
  const values = decode(Uint16Array.from({ length: CODES }, (_, code) => code));
  return Uint32Array.from(values, (value) => (Number.isNaN(value) ? BLANK : colours[Math.round(255 * stretch(value))]));
}

// Limits that leave out the same number of the faintest and of the brightest values; null without values.
export function percentileLimits(codes, percent) {
  const values = decode(codes).filter(Number.isFinite).sort();
  if (!values.length) return null;
  const cut = Math.floor(((100 - percent) / 200) * (values.length - 1));
  return [values[cut], values[values.length - 1 - cut]];
}

// Ticks of a colour bar: [{ value, position }], round values at least `gap` apart, position 0 to 1.
export function makeTicks(scale, gap) {
  const stretch = makeStretch(scale);
  const largest = Math.max(Math.abs(scale.low), Math.abs(scale.high));
  const top = Math.floor(Math.log10(largest || 1));
  const candidates = [0];
  for (let power = top; power > top - 5; power--) {
    for (const digit of [1, 5, 2]) candidates.push(digit * 10 ** power, -digit * 10 ** power);
  }
  for (let digit = 3; digit < 10; digit++) candidates.push(digit * 10 ** top, -digit * 10 ** top);
  const ticks = [];
  for (const value of candidates) {
    if (value < scale.low || value > scale.high) continue;
    const position = stretch(value);
    if (ticks.every((tick) => Math.abs(tick.position - position) >= gap)) ticks.push({ value, position });
  }
  return ticks.sort((a, b) => a.position - b.position);
}

// A number of mJy with about four digits.
export function formatMjy(fluxJy) {
  const text = String(Number((fluxJy * 1e3).toPrecision(4)));
  return text.replace("-", "−");
}
