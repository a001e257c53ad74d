// Requests of the pages: each ends after a limit, so that a panel that does not answer holds none of them.

export const LIMIT_MS = 8000;

// As `fetch`; rejects with a TimeoutError after the limit.
export function request(address, options = {}) {
  return fetch(address, { ...options, signal: AbortSignal.timeout(LIMIT_MS) });
}

// The reason in words why a request had no answer.
export function reason(error) {
  return error.name === "TimeoutError" ? `no answer within ${LIMIT_MS / 1000} s` : "the panel does not answer";
}
