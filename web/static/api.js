// Sends an API call from its form and shows the response.

import "./page.js";
import { reason, request } from "./request.js";

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
  const output = form.parentElement.querySelector(".answer");
  const body = form.querySelector("textarea")?.value;
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (csrf) headers["X-CSRF-Token"] = csrf;
  const address = addressOf(form);
  const started = performance.now();
  output.hidden = false;
  output.textContent = "…";
  try {
    const response = await request(address, { method: form.dataset.method, body: body || undefined, headers });
    const type = response.headers.get("Content-Type") ?? "";
    const text = type.includes("json") ? JSON.stringify(await response.json(), null, 2) : `(${type}, ${(await response.blob()).size} bytes)`;
    output.textContent = `${response.status} ${address}  ${(performance.now() - started).toFixed(0)} ms\n${text}`;
  } catch (error) {
    output.textContent = reason(error);
  }
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.call) return;
  event.preventDefault();
  send(event.target);
});
