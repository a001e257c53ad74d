// Keeps the page up to date: after an event, and every ten seconds, it becomes the page's next rendering.

import "./page.js";
import { refreshElement } from "./morph.js";
import { setServerTime, tick } from "./times.js";

const main = document.getElementById("main");
const link = document.getElementById("link");
const SETTLE_MS = [150, 1500]; // the second one, because requests share a rendering for a second
const REFRESH_MS = 10000;
const RETRY_MS = 15000;
const LABELS = { on: "live", wait: "reconnecting", off: "not live", lost: "panel does not answer" };

let source = null;
let newest = main.dataset.newestEvent; // absent: events from now on
let timers = [];
let refreshing = false;

function showLink(state) {
  link.dataset.link = state;
  link.lastElementChild.textContent = LABELS[state];
}

async function refresh() {
  if (refreshing || document.hidden) return;
  refreshing = true;
  try {
    const fresh = await refreshElement(main);
    setServerTime(Number(main.dataset.now));
    document.title = fresh.title;
    tick();
    if (link.dataset.link === "lost") showLink(source.readyState === EventSource.OPEN ? "on" : "wait");
  } catch {
    showLink("lost");
  } finally {
    refreshing = false;
  }
}

function follow() {
  const after = newest === undefined ? "" : `?after=${newest}`;
  source = new EventSource(main.dataset.events + after);
  source.onopen = () => showLink("on");
  source.onmessage = (message) => {
    newest = message.lastEventId;
    timers.forEach(clearTimeout);
    timers = SETTLE_MS.map((milliseconds) => setTimeout(refresh, milliseconds));
  };
  source.onerror = () => {
    showLink("wait");
    if (source.readyState !== EventSource.CLOSED) return;
    showLink("off");
    setTimeout(follow, RETRY_MS);
  };
}

setInterval(refresh, REFRESH_MS);
document.addEventListener("visibilitychange", refresh);
document.addEventListener("changed", refresh);
follow();
