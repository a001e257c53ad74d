// Keeps the page up to date: an event appears at once, the rest of the page with the next rendering.

import "./page.js";
import { morph } from "./morph.js";
import { setServerTime, tick } from "./times.js";

const main = document.getElementById("main");
const link = document.getElementById("link");
const SHOWN = 20;
const SETTLE_MS = 400;
const REFRESH_MS = 10000;
const RETRY_MS = 15000;
const LABELS = { on: "live", wait: "reconnecting", off: "not live", lost: "panel does not answer" };

let source = null;
let newest = Number(main.dataset.newestEvent);
let timer = 0;
let refreshing = false;

function showLink(state) {
  link.dataset.link = state;
  link.lastElementChild.textContent = LABELS[state];
}

function element(name, attributes, text) {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  created.textContent = text;
  return created;
}

function show(event) {
  const list = document.getElementById("event-list");
  if (!list) return;
  document.getElementById("event-none")?.remove();
  if (document.getElementById(`event-${event.id}`)) return;
  const item = element("li", { id: `event-${event.id}`, class: `${event.level} fresh` }, "");
  const title = `${event.at.slice(0, 19).replace("T", " ")} UTC`;
  item.append(element("time", { datetime: event.at, title, "data-age": "" }, "just now"), " ");
  const text = element("span", { class: "text" }, "");
  if (event.level !== "info") text.append(element("b", {}, event.level), " ");
  text.append(event.text);
  item.append(text);
  if (event.group) item.append(" ", element("a", { class: "id", href: `/groups/${event.group}` }, event.group));
  list.prepend(item);
  while (list.children.length > SHOWN) list.lastElementChild.remove();
}

async function refresh() {
  if (refreshing || document.hidden) return;
  refreshing = true;
  try {
    const response = await fetch(location.href, { cache: "no-store", headers: { "X-Refresh": "1" } });
    if (!response.ok) throw new Error(`${response.status}`);
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    const freshMain = fresh.getElementById("main");
    setServerTime(Number(freshMain.dataset.now));
    morph(main, freshMain);
    document.title = fresh.title;
    tick();
    if (link.dataset.link === "lost") showLink(source.readyState === EventSource.OPEN ? "on" : "wait");
  } catch {
    showLink("lost");
  } finally {
    refreshing = false;
  }
}

function refreshSoon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, SETTLE_MS);
}

function follow() {
  const after = "fromNow" in main.dataset && !newest ? "" : `?after=${newest}`;
  source = new EventSource(main.dataset.events + after);
  source.onopen = () => showLink("on");
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    newest = event.id;
    show(event);
    refreshSoon();
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
