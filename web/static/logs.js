// Follows the log: fetches the page again and replaces the lines.

import "./page.js";
import { morph } from "./morph.js";

const INTERVAL_MS = 3000;
const follow = document.getElementById("follow");

async function refresh() {
  if (!follow.checked || document.hidden) return;
  const response = await fetch(location.href, { headers: { "X-Refresh": "1" } }).catch(() => null);
  if (!response?.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  morph(document.getElementById("log"), fresh.getElementById("log"));
}

setInterval(refresh, INTERVAL_MS);
