// Says what is wrong with a key while it is typed, and how many keys differ from what is in force.

import "./page.js";

const form = document.getElementById("keys");
const main = document.getElementById("main");
const count = document.getElementById("count");
const review = document.getElementById("review");
const SETTLE_MS = 300;
let pending = 0;
let asked = 0;

function valueOf(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.type === "number" && field.value !== "" && !Number.isNaN(field.valueAsNumber)) return field.valueAsNumber;
  return field.value;
}

function changed(field) {
  if (field.type === "checkbox") return field.checked !== (field.dataset.inForce === "True");
  if (field.type === "number") return Number(field.value) !== Number(field.dataset.inForce) || field.value === "";
  return field.value !== field.dataset.inForce;
}

function fields() {
  return [...form.elements].filter((one) => "inForce" in one.dataset && !one.disabled);
}

async function check() {
  const differing = fields().filter(changed);
  for (const one of fields()) document.getElementById(`key-${one.name}`).classList.toggle("changed", changed(one));
  if (count) count.textContent = differing.length ? `${differing.length} changed.` : "Nothing changed yet.";
  asked += 1;
  const mine = asked;
  let errors = {};
  if (differing.length) {
    const body = JSON.stringify(Object.fromEntries(differing.map((one) => [one.name, valueOf(one)])));
    const answer = await fetch(main.dataset.check, {
      method: "POST",
      body,
      headers: { "Content-Type": "application/json" },
    });
    if (!answer.ok || mine !== asked) return;
    ({ errors } = await answer.json());
  }
  for (const one of fields()) {
    const wrong = errors[one.name] || "";
    document.getElementById(`${one.name}-wrong`).textContent = wrong;
    if (wrong) one.setAttribute("aria-invalid", "true");
    else one.removeAttribute("aria-invalid");
  }
  if (review) review.disabled = !differing.length || Object.keys(errors).length > 0;
}

function soon() {
  clearTimeout(pending);
  pending = setTimeout(check, SETTLE_MS);
}

form.addEventListener("input", soon);
form.addEventListener("reset", () => setTimeout(check));
check();
