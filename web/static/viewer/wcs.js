// Celestial coordinates of an image in the SIN projection, slanted or not, or in the ZEA projection (Calabretta &
// Greisen 2002, A&A 395, 1077, sections 5.1.5 and 5.1.7), and their texts. Positions in the image are counted in pixels
// from its upper left corner: the centre of the first pixel of the upper row is (0.5, 0.5).

const RADIAN = Math.PI / 180;

// Between directions (l, m, n), n towards the reference point, and the plane (u, v), radians; null where there is none.
class Orthographic {
  constructor(header) {
    this.slant = [header.PV2_1 ?? 0, header.PV2_2 ?? 0];
  }

  direction(u, v) {
    const [xi, eta] = this.slant;
    // 1 - n solves (1 + xi² + eta²) d² - 2 (1 + xi u + eta v) d + u² + v² = 0.
    const half = 1 + xi * u + eta * v;
    const root = half * half - (1 + xi * xi + eta * eta) * (u * u + v * v);
    if (root < 0) return null;
    const depth = (u * u + v * v) / (half + Math.sqrt(root));
    return [u - xi * depth, v - eta * depth, 1 - depth];
  }

  plane(l, m, n) {
    return n > 0 ? [l + this.slant[0] * (1 - n), m + this.slant[1] * (1 - n)] : null;
  }
}

const EqualArea = {
  // The distance in the plane is 2 sin(ρ / 2), ρ from the reference point.
  direction(u, v) {
    const square = u * u + v * v;
    if (square > 4) return null;
    const factor = Math.sqrt(1 - square / 4);
    return [u * factor, v * factor, 1 - square / 2];
  },

  plane(l, m, n) {
    if (n <= -0.999) return null;
    const factor = Math.sqrt(2 / (1 + n));
    return [l * factor, m * factor];
  },
};

export class Wcs {
  // `header`: FITS keywords; `rows`: pixels of the image in declination.
  constructor(header, rows) {
    this.rows = rows;
    this.projection = String(header.CTYPE1).endsWith("ZEA") ? EqualArea : new Orthographic(header);
    this.reference = [header.CRPIX1, header.CRPIX2];
    this.step = [header.CDELT1 * RADIAN, header.CDELT2 * RADIAN];
    this.ra = header.CRVAL1 * RADIAN;
    this.dec = header.CRVAL2 * RADIAN;
    this.turn = Math.PI - (header.LONPOLE ?? (header.CRVAL2 < 90 ? 180 : 0)) * RADIAN;
    this.cellDeg = Math.abs(header.CDELT2);
  }

  // Right ascension and declination, degrees; null beyond the horizon of the projection.
  skyAt(x, y) {
    const u = (x + 0.5 - this.reference[0]) * this.step[0];
    const v = (this.rows - y + 0.5 - this.reference[1]) * this.step[1];
    const direction = this.projection.direction(u, v);
    if (!direction) return null;
    const [l, m] = rotate(direction[0], direction[1], this.turn);
    const n = direction[2];
    const north = m * Math.cos(this.dec) + n * Math.sin(this.dec);
    const ahead = n * Math.cos(this.dec) - m * Math.sin(this.dec);
    const ra = (this.ra + Math.atan2(l, ahead)) / RADIAN;
    return [((ra % 360) + 360) % 360, Math.atan2(north, Math.hypot(l, ahead)) / RADIAN];
  }

  // Position in the image, also outside it; null beyond the horizon of the projection.
  pixelAt(raDeg, decDeg) {
    const ra = raDeg * RADIAN - this.ra;
    const dec = decDeg * RADIAN;
    const n = Math.sin(dec) * Math.sin(this.dec) + Math.cos(dec) * Math.cos(this.dec) * Math.cos(ra);
    const east = Math.cos(dec) * Math.sin(ra);
    const north = Math.sin(dec) * Math.cos(this.dec) - Math.cos(dec) * Math.sin(this.dec) * Math.cos(ra);
    const plane = this.projection.plane(...rotate(east, north, -this.turn), n);
    if (!plane) return null;
    const [u, v] = [plane[0] / this.step[0], plane[1] / this.step[1]];
    return [u + this.reference[0] - 0.5, this.rows - (v + this.reference[1] - 0.5)];
  }
}

function rotate(l, m, angle) {
  return [l * Math.cos(angle) - m * Math.sin(angle), m * Math.cos(angle) + l * Math.sin(angle)];
}

// 01h37m41.30s; without `decimals` zeros at the end are left out: 01h37m.
export function formatRa(raDeg, decimals) {
  const text = sexagesimal((((raDeg % 360) + 360) % 360) / 15, decimals ?? 1, ["h", "m", "s"], 24);
  return decimals === undefined ? text.replace(/\.0s/, "s").replace(/00s$/, "").replace(/00m$/, "") : text;
}

// +33°09′35.1″; without `decimals` zeros at the end are left out.
export function formatDec(decDeg, decimals) {
  const text = (decDeg < 0 ? "−" : "+") + sexagesimal(Math.abs(decDeg), decimals ?? 0, ["°", "′", "″"], 91);
  return decimals === undefined ? text.replace(/00″$/, "").replace(/00′$/, "") : text;
}

function sexagesimal(value, decimals, units, turn) {
  const unit = 10 ** decimals;
  const total = Math.round(value * 3600 * unit) % (turn * 3600 * unit);
  const seconds = (total % (60 * unit)) / unit;
  const minutes = Math.floor(total / (60 * unit));
  const pad = (number, width) => String(number).padStart(width, "0");
  const fraction = seconds.toFixed(decimals).padStart(decimals ? decimals + 3 : 2, "0");
  return `${pad(Math.floor(minutes / 60), 2)}${units[0]}${pad(minutes % 60, 2)}${units[1]}${fraction}${units[2]}`;
}
