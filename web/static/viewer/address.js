// The view in the fragment of the page's address: #ra=24.42&dec=33.16&width=0.5&stretch=log&low=-1&high=50&layer=pbcor.
// Angles are degrees, limits mJy per beam; what has its default is left out.

const NUMBERS = ["ra", "dec", "width", "low", "high"];
const TEXTS = ["stretch", "limits", "colours", "layer", "hide"];

export function readAddress(fragment = location.hash) {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ""));
  const values = {};
  for (const name of NUMBERS) {
    const number = Number(parameters.get(name) || NaN);
    if (Number.isFinite(number)) values[name] = number;
  }
  for (const name of TEXTS) if (parameters.has(name)) values[name] = parameters.get(name);
  return values;
}

export function formatAddress(values) {
  const parameters = new URLSearchParams();
  for (const name of [...NUMBERS, ...TEXTS]) {
    const value = values[name];
    if (value === undefined || value === "") continue;
    parameters.set(name, NUMBERS.includes(name) ? String(Number(value.toPrecision(9))) : value);
  }
  return parameters.size ? `#${parameters}` : "";
}
