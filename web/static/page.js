// What every page does: its clocks and ages go on, its commands ask before and say what came of it.

import { tick } from "./times.js";
import "./commands.js";

// On a phone the pages do not fit beside each other: the one that is shown is never out of sight.
document.querySelector(".ways [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
const now = document.querySelector(".scroll svg .now");
if (now) {
  const frame = now.closest(".scroll");
  frame.scrollLeft += now.getBoundingClientRect().left - frame.getBoundingClientRect().left - frame.clientWidth / 2;
}
tick();
setInterval(tick, 1000);
