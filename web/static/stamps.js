// Stamps of a source: one is shown large, and Blink alternates all of them in order of time at the same scale.

const INTERVAL_MS = 700;

const gallery = document.getElementById("stamps");
const stamps = gallery ? [...gallery.querySelectorAll("li")] : [];
const large = document.getElementById("stamp");
const button = document.getElementById("blink");
let shown = 0;
let timer = 0;

function show(number) {
  shown = (number + stamps.length) % stamps.length;
  const image = stamps[shown].querySelector("img");
  large.querySelector("img").src = image.src;
  large.querySelector("img").alt = image.alt;
  large.querySelector("figcaption").textContent = stamps[shown].dataset.label;
  large.dataset.shown = shown;
  stamps.forEach((stamp, n) => stamp.toggleAttribute("data-shown", n === shown));
}

function blink(isOn) {
  clearInterval(timer);
  timer = 0;
  if (isOn) timer = setInterval(() => show(shown + 1), INTERVAL_MS);
  button.setAttribute("aria-pressed", String(isOn));
}

function step(by) {
  blink(false);
  show(shown + by);
}

if (stamps.length) {
  for (const image of gallery.querySelectorAll("img")) image.loading = "eager";
  show(stamps.length - 1);
  document.getElementById("stamp-earlier").addEventListener("click", () => step(-1));
  document.getElementById("stamp-later").addEventListener("click", () => step(1));
  button.addEventListener("click", () => blink(timer === 0));
  stamps.forEach((stamp, n) => stamp.querySelector("img").addEventListener("click", () => step(n - shown)));
  large.closest("section").addEventListener("keydown", ({ key }) => {
    if (key === "[") step(-1);
    if (key === "]") step(1);
    if (key === "b") blink(timer === 0);
  });
}
