// Follows the log: fetches the page again and replaces the lines.

import "./page.js";
import { refreshElement } from "./morph.js";

const INTERVAL_MS = 3000;
const follow = document.getElementById("follow");

setInterval(() => {
  if (follow.checked && !document.hidden) refreshElement(document.getElementById("log")).catch(() => {});
}, INTERVAL_MS);
