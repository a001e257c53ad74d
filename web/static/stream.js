// The event stream. As a shared worker it holds one connection for all tabs of the browser, which allows six per host.

const RETRY_MS = 15000;

// Connect, and again after a refusal; call `send` with "on", "wait" (reconnects), "off" (refused) or "event".
export function follow(address, send) {
  let source;
  let timer;
  const connect = () => {
    source = new EventSource(address);
    source.onopen = () => send("on");
    source.onmessage = () => send("event");
    source.onerror = () => {
      const refused = source.readyState === EventSource.CLOSED;
      send(refused ? "off" : "wait");
      if (refused) timer = setTimeout(connect, RETRY_MS);
    };
  };
  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

if ("onconnect" in self) {
  const tabs = new Set();
  let state = "wait";
  let close = null;
  self.onconnect = ({ ports: [tab] }) => {
    tabs.add(tab);
    tab.postMessage(state);
    tab.onmessage = () => {
      tabs.delete(tab);
      if (tabs.size) return;
      close();
      close = null;
      state = "wait";
    };
    close ??= follow(new URL(self.location).searchParams.get("events"), (message) => {
      if (message !== "event") state = message;
      for (const port of tabs) port.postMessage(message);
    });
  };
}
