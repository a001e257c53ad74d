// Keeps the page up to date: after an event, and every ten seconds, it becomes the page's next rendering.

import "./page.js";
import { adoptTitle } from "./headline.js";
import { refreshElement } from "./morph.js";
import { follow } from "./stream.js";
import { setServerTime, tick } from "./times.js";

const main = document.getElementById("main");
const link = document.getElementById("link");
const SETTLE_MS = [150, 1500]; // the second one, because requests share a rendering for a second
const REFRESH_MS = 10000;
const LABELS = { on: "live", wait: "reconnecting", off: "not live", lost: "panel does not answer" };

let linkState = "wait";
let timers = [];
let refreshing = false;

function showLink(state) {
  if (state !== "lost") linkState = state;
  link.dataset.link = state;
  link.lastElementChild.textContent = LABELS[state];
}

async function refresh() {
  if (refreshing || document.hidden) return;
  refreshing = true;
  try {
    const fresh = await refreshElement(main);
    setServerTime(Number(main.dataset.now));
    adoptTitle(fresh);
    tick();
    if (link.dataset.link === "lost") showLink(linkState);
  } catch {
    showLink("lost");
  } finally {
    refreshing = false;
  }
}

function receive(message) {
  if (message !== "event") showLink(message);
  if (message === "wait" || message === "off") return;
  timers.forEach(clearTimeout);
  timers = SETTLE_MS.map((milliseconds) => setTimeout(refresh, milliseconds));
}

// All tabs share a connection; where a browser has no shared workers, a tab has one of its own while it is visible.
function connect() {
  const address = new URL(main.dataset.events, location).href;
  if (!window.SharedWorker) return follow(address, receive);
  let worker;
  try {
    worker = new SharedWorker(new URL(`stream.js?events=${encodeURIComponent(address)}`, import.meta.url), { type: "module" });
  } catch {
    return follow(address, receive); // shared workers are blocked with site data
  }
  worker.port.onmessage = ({ data }) => receive(data);
  worker.onerror = () => {
    leave = follow(address, receive);
  };
  return () => worker.port.postMessage("leave");
}

let leave = document.hidden ? null : connect();

function onVisibility() {
  if (document.hidden) leave?.();
  leave = document.hidden ? null : (leave ?? connect());
  refresh();
}

setInterval(refresh, REFRESH_MS);
document.addEventListener("visibilitychange", onVisibility);
document.addEventListener("changed", refresh);
addEventListener("pagehide", () => {
  leave?.();
  leave = null;
});
addEventListener("pageshow", () => {
  leave ??= document.hidden ? null : connect();
});
