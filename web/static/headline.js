// Keeps headline, title, icon and the Alerts tab up to date on every page, and turns them grey when the panel is silent.

import { morph } from "./morph.js";
import { request } from "./request.js";
import { clockTime } from "./times.js";

const root = document.documentElement;
const icon = document.getElementById("icon");
const tab = document.getElementById("alerts-tab");
const url = (name) => new URL(name, import.meta.url).href;
const headline = () => document.getElementById("headline");
let silentIcon = icon.href; // kept here: a silent panel sends none

// On the start page the state is the title; elsewhere it precedes the title when something is wrong.
function showTitle(mark, level) {
  const { page } = document.querySelector("title").dataset;
  const title = level === "good" && page !== "contimg" ? page : `${mark} · ${page}`;
  if (document.title !== title) document.title = title;
}

function showIcon(address) {
  if (icon.href !== address) icon.href = address;
}

// Show title, icon and tab of the headline that is on the page now.
function showHeadline() {
  const { level, mark, alarm, alerts } = headline().dataset;
  delete root.dataset.silent;
  showTitle(mark, level);
  showIcon(url({ error: "icon-error.svg", warning: "icon-warning.svg", acknowledged: "icon-warning.svg" }[level] ?? "icon.svg"));
  tab.dataset.alarm = alarm;
  tab.querySelector(".count").textContent = Number(alerts) ? alerts : "";
}

// Adopt the title of a fresh rendering of the page.
export function adoptTitle(fresh) {
  document.querySelector("title").dataset.page = fresh.querySelector("title").dataset.page;
  showHeadline();
}

function showSilence(since, fault) {
  const silence = headline().querySelector(".silence");
  root.dataset.silent = "";
  silence.textContent = `No answer since ${clockTime(since)} UTC (${fault}). What this page shows is older than that.`;
  silence.hidden = false;
  showTitle("no answer", "silent");
  showIcon(silentIcon);
}

function receive({ html, since, fault }) {
  if (html === undefined) return showSilence(since, fault);
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("headline");
  if (!fresh) return;
  morph(headline(), fresh);
  showHeadline();
}

if (headline()) {
  const worker = new Worker(`${url("heartbeat.js")}?of=${encodeURIComponent(new URL(root.dataset.headline, location).href)}`);
  worker.onmessage = ({ data }) => receive(data);
  request(url("icon-silent.svg")).then((response) => response.text()).then((svg) => {
    silentIcon = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  }).catch(() => {});
}
