// Follows the log: the same page is asked for again, and what is new is put in its place.

import "./page.js";
import { morph } from "./morph.js";

const EVERY_MS = 3000;
const follow = document.getElementById("follow");

async function refresh() {
  if (!follow.checked || document.hidden) return;
  const answer = await fetch(location.href, { headers: { "X-Refresh": "1" } }).catch(() => null);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  morph(document.getElementById("log"), fresh.getElementById("log"));
}

setInterval(refresh, EVERY_MS);
