// Every page: clocks and ages, confirmation and answer of commands.

import { tick } from "./times.js";
import "./commands.js";
import "./headline.js";

// On a narrow screen the navigation scrolls: show the current page, and the present time of a drawing.
document.querySelector(".navigation [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
const now = document.querySelector(".scroll svg .now");
if (now) {
  const frame = now.closest(".scroll");
  frame.scrollLeft += now.getBoundingClientRect().left - frame.getBoundingClientRect().left - frame.clientWidth / 2;
}
tick();
setInterval(tick, 1000);
