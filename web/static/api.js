// Sends a call as its form says, and shows what came back.

import "./page.js";

const csrf = document.querySelector("meta[name=csrf]")?.content;

function addressOf(form) {
  let path = form.dataset.call;
  const query = new URLSearchParams();
  for (const input of form.querySelectorAll("input")) {
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(input.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
}

async function send(form) {
  const shown = form.parentElement.querySelector(".answer");
  const body = form.querySelector("textarea")?.value;
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (csrf) headers["X-CSRF-Token"] = csrf;
  const address = addressOf(form);
  const began = performance.now();
  shown.hidden = false;
  shown.textContent = "…";
  try {
    const answer = await fetch(address, { method: form.dataset.method, body: body || undefined, headers });
    const kind = answer.headers.get("Content-Type") ?? "";
    const text = kind.includes("json") ? JSON.stringify(await answer.json(), null, 2) : `(${kind}, ${(await answer.blob()).size} bytes)`;
    shown.textContent = `${answer.status} ${address}  ${(performance.now() - began).toFixed(0)} ms\n${text}`;
  } catch {
    shown.textContent = "the panel did not answer";
  }
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.call) return;
  event.preventDefault();
  send(event.target);
});
