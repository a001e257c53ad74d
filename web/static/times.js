// Ages and durations that count on, and the clocks.

const main = document.getElementById("main");
let skewMs = Number(main.dataset.now) * 1000 - Date.now();

// The server's clock counts: it stamped every time on the page.
export function setServerTime(seconds) {
  skewMs = seconds * 1000 - Date.now();
}

function now() {
  return Date.now() + skewMs;
}

// The same text as contimg.common.units.format_duration.
export function duration(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${seconds.toFixed(0)} s`;
  if (seconds < 5970) return `${(seconds / 60).toFixed(0)} min`;
  const hours = seconds / 3600;
  if (hours < 48) return hours < 9.95 ? `${hours.toFixed(1)} h` : `${hours.toFixed(0)} h`;
  return `${(hours / 24).toFixed(0)} d`;
}

// A time of day, HH:MM:SS UTC, of the page's clock.
export function clockTime(milliseconds) {
  return new Date(milliseconds + skewMs).toISOString().slice(11, 19);
}

function age(seconds) {
  return seconds < 1.5 ? "just now" : `${duration(Math.round(seconds))} ago`.replace(".0 s", " s");
}

export function tick() {
  for (const time of document.querySelectorAll("time[data-age], time[data-elapsed]")) {
    const seconds = Math.max(0, (now() - Date.parse(time.dateTime)) / 1000);
    const text = "age" in time.dataset ? age(seconds) : duration(Math.round(seconds)).replace(".0 s", " s");
    if (time.textContent !== text) time.textContent = text;
  }
  const utc = new Date(now());
  document.getElementById("clock-utc").textContent = utc.toISOString().slice(11, 19);
  const lst = document.getElementById("clock-lst");
  lst.textContent = siderealTime(utc, Number(lst.dataset.longitude));
}

// Local mean sidereal time (IAU 1982) with UTC for UT1: right to 1 s.
export function siderealTime(date, longitudeDeg) {
  const days = date.getTime() / 86400000 + 2440587.5 - 2451545.0;
  const degrees = 280.46061837 + 360.98564736629 * days + longitudeDeg;
  const seconds = Math.floor(((((degrees % 360) + 360) % 360) / 15) * 3600);
  const twoDigits = (number) => String(number).padStart(2, "0");
  return `${twoDigits(Math.floor(seconds / 3600))}:${twoDigits(Math.floor(seconds / 60) % 60)}:${twoDigits(seconds % 60)}`;
}
