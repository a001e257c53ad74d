// Buttons that change something: a question first, then the answer beside the page, without leaving it.

const notes = document.getElementById("notes");
const ask = document.getElementById("ask");

export function tell(text, level) {
  const note = document.createElement("p");
  note.className = `note ${level}`;
  note.textContent = text;
  notes.replaceChildren(note);
  if (level === "info") setTimeout(() => note.remove(), 12000);
}

function answered(form) {
  if (!form.dataset.question) return Promise.resolve(true);
  const yes = document.getElementById("ask-yes");
  document.getElementById("ask-title").textContent = form.dataset.title;
  document.getElementById("ask-question").textContent = form.dataset.question;
  yes.textContent = form.querySelector("button").textContent;
  yes.className = form.querySelector("button").className || "main";
  ask.returnValue = "no";
  ask.showModal();
  return new Promise((resolve) => {
    ask.addEventListener("close", () => resolve(ask.returnValue === "yes"), { once: true });
  });
}

async function send(form) {
  const word = form.querySelector("button").textContent;
  const body = new URLSearchParams(new FormData(form));
  body.set("confirmed", "1");
  form.dataset.waiting = "";
  tell(`${word} …`, "wait");
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const said = await answer.json();
    tell(said.error ? `${said.error}: ${said.hint}` : `${word}: ${said.message}`, answer.ok ? "info" : "warning");
  } catch {
    tell(`${word}: the panel did not answer`, "warning");
  } finally {
    delete form.dataset.waiting;
    document.dispatchEvent(new Event("changed"));
  }
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!("command" in form.dataset)) return;
  event.preventDefault();
  if ("waiting" in form.dataset) return;
  if (await answered(form)) await send(form);
});
