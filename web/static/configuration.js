// Checks the form while it is edited: the error of each key, and the number of keys that differ from those in force.

import "./page.js";
import { request } from "./request.js";

const form = document.getElementById("keys");
const count = document.getElementById("count");
const review = document.getElementById("review");
const SETTLE_MS = 300;
let timer = 0;
let checks = 0;

function valueOf(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.type === "number" && field.value !== "" && !Number.isNaN(field.valueAsNumber)) return field.valueAsNumber;
  return field.value;
}

function isChanged(field) {
  if (field.type === "checkbox") return field.checked !== (field.dataset.inForce === "True");
  if (field.type === "number") return Number(field.value) !== Number(field.dataset.inForce) || field.value === "";
  return field.value !== field.dataset.inForce;
}

async function errorsOf(changed) {
  if (!changed.length) return {};
  const response = await request(form.dataset.check, {
    method: "POST",
    body: JSON.stringify(Object.fromEntries(changed.map((field) => [field.name, valueOf(field)]))),
    headers: { "Content-Type": "application/json" },
  });
  return response.ok ? (await response.json()).errors : null;
}

async function check() {
  const fields = [...form.elements].filter((field) => "inForce" in field.dataset && !field.disabled);
  const changed = fields.filter(isChanged);
  for (const field of fields) document.getElementById(`key-${field.name}`).classList.toggle("changed", isChanged(field));
  if (count) count.textContent = changed.length ? `${changed.length} changed.` : "No key changed.";
  checks += 1;
  const number = checks;
  const errors = await errorsOf(changed);
  if (errors === null || number !== checks) return;
  for (const field of fields) {
    document.getElementById(`${field.name}-wrong`).textContent = errors[field.name] ?? "";
    if (errors[field.name]) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }
  if (review) review.disabled = !changed.length || Object.keys(errors).length > 0;
}

form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(check, SETTLE_MS);
});
form.addEventListener("reset", () => setTimeout(check));
check();
