import { request } from "./request.js";

// Changes a tree into a fresh one where they differ, so that focus, scroll position and loaded images stay.

export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if ("keep" in old.dataset) return; // a script draws in it
  for (const { name } of [...old.attributes]) {
    const isOpened = name === "open" && old.nodeName === "DETAILS"; // by the user
    if (!fresh.hasAttribute(name) && !isOpened) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  morphChildren(old, fresh);
}

// Children with an id are matched by it, the rest in order.
function morphChildren(old, fresh) {
  const childOfId = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let current = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const match = child.id ? childOfId.get(child.id) : undefined;
    if (match) {
      if (match === current) current = current.nextSibling;
      else old.insertBefore(match, current);
      morph(match, child);
    } else if (child.id || !current || current.id || current.nodeName !== child.nodeName) {
      old.insertBefore(child.cloneNode(true), current);
    } else {
      const { nextSibling } = current;
      morph(current, child);
      current = nextSibling;
    }
  }
  while (current) {
    const { nextSibling } = current;
    current.remove();
    current = nextSibling;
  }
}

// Fetch the page again and change an element of it into the fresh one; returns the fresh document.
export async function refreshElement(old) {
  const response = await request(location.href, { cache: "no-store", headers: { "X-Refresh": "1" } });
  if (!response.ok) throw new Error(`${response.status}`);
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  morph(old, fresh.getElementById(old.id));
  return fresh;
}
