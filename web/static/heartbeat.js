// A worker that reads the headline every few seconds. Browsers slow down the timers of hidden tabs, not those of workers.

const INTERVAL_MS = 5000;
const LIMIT_MS = 8000;
const SILENCE_MS = 30000;

const address = new URL(self.location).searchParams.get("of");
let answeredMs = Date.now();
let fault = "";

async function read() {
  try {
    const response = await fetch(address, { cache: "no-store", headers: { Accept: "application/json" }, signal: AbortSignal.timeout(LIMIT_MS) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    answeredMs = Date.now();
    fault = "";
    self.postMessage({ html: text });
  } catch (error) {
    fault = error.name === "TimeoutError" ? `none within ${LIMIT_MS / 1000} s` : error.message;
  }
  setTimeout(read, INTERVAL_MS);
}

setInterval(() => {
  if (fault && Date.now() - answeredMs >= SILENCE_MS) self.postMessage({ since: answeredMs, fault });
}, 1000);
setTimeout(read, INTERVAL_MS);
