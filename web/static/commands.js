// Forms that change something: confirm first, send in the background, show the answer above the page.

import { reason, request } from "./request.js";

const notes = document.getElementById("notes");
const dialog = document.getElementById("ask");

function showNote(text, level) {
  const note = document.createElement("p");
  note.className = `note ${level}`;
  note.textContent = text;
  notes.replaceChildren(note);
  if (level === "info") setTimeout(() => note.remove(), 12000);
}

function confirmed(form) {
  if (!form.dataset.question) return Promise.resolve(true);
  const button = form.querySelector("button");
  const yes = document.getElementById("ask-yes");
  document.getElementById("ask-title").textContent = form.dataset.title;
  document.getElementById("ask-question").textContent = form.dataset.question;
  yes.textContent = button.textContent;
  yes.className = button.className || "main";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

async function send(form) {
  const label = form.querySelector("button").textContent;
  const body = new URLSearchParams(new FormData(form));
  body.set("confirmed", "1");
  form.dataset.waiting = "";
  showNote(`${label} …`, "wait");
  try {
    const response = await request(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const answer = await response.json();
    showNote(answer.error ? `${answer.error}: ${answer.hint}` : `${label}: ${answer.message}`, response.ok ? "info" : "warning");
  } catch (error) {
    showNote(`${label}: ${reason(error)}; the command may still be carried out`, "warning");
  } finally {
    delete form.dataset.waiting;
    document.dispatchEvent(new Event("changed"));
  }
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!("command" in form.dataset)) return;
  event.preventDefault();
  if (!("waiting" in form.dataset) && (await confirmed(form))) await send(form);
});
