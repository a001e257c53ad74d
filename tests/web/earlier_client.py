"""A client and a monitor of the telescope's earlier API, which know its names alone and nothing of contimg."""

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

LIMIT_S = 120.0
STATES = ("collecting", "pending", "in_progress", "completed", "failed")
OPTIONAL_NUMBER = (int, float, type(None))


@dataclass(frozen=True)
class Answer:
    """Status and JSON of an answer."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class StreamClient:
    """The eight endpoints of a panel at a URL, with the operator's token."""

    url: str
    token: str

    def call(self, path: str, body: dict[str, Any] | None = None, *, method: str = "GET") -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urlopen(Request(f"{self.url}{path}", data, headers, method=method), timeout=LIMIT_S) as response:
                return Answer(response.status, json.load(response))
        except HTTPError as error:
            return Answer(error.code, json.load(error))

    def status(self) -> dict[str, Any]:
        return self.call("/api/streaming/status").body

    def health(self) -> dict[str, Any]:
        return self.call("/api/streaming/health").body

    def metrics(self) -> dict[str, Any]:
        return self.call("/api/streaming/metrics").body

    def config(self) -> dict[str, Any]:
        return self.call("/api/streaming/config").body

    def overall(self, limit: int = 5) -> dict[str, Any]:
        return self.call(f"/api/status?limit={limit}").body

    def set_config(self, body: dict[str, Any]) -> Answer:
        return self.call("/api/streaming/config", body, method="POST")

    def start(self, body: dict[str, Any] | None = None) -> Answer:
        return self.call("/api/streaming/start", body, method="POST")

    def stop(self) -> Answer:
        return self.call("/api/streaming/stop", method="POST")

    def restart(self, body: dict[str, Any] | None = None) -> Answer:
        return self.call("/api/streaming/restart", body, method="POST")


@dataclass
class Monitor:
    """A loop that reads every endpoint for as long as it is open, and checks names and types."""

    client: StreamClient
    rounds: int = 0
    faults: list[str] = field(default_factory=list)
    states_seen: set[str] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Monitor":
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        assert self._thread is not None
        self._thread.join()

    def _loop(self) -> None:
        while not self._ended.wait(0.3):
            try:
                self._read()
            except (OSError, ValueError, LookupError, TypeError) as error:
                self.faults.append(f"{type(error).__name__}: {error}")
            self.rounds += 1

    def _read(self) -> None:
        status, health, metrics = self.client.status(), self.client.health(), self.client.metrics()
        self._expect(isinstance(status["running"], bool), "running")
        self._expect(isinstance(status["config"], dict), "config")
        for name in ("pid", "uptime_seconds", "cpu_percent", "memory_mb"):
            self._expect(isinstance(status[name], OPTIONAL_NUMBER), name)
        for name in ("healthy", "running"):
            self._expect(isinstance(health[name], bool), f"health {name}")
        self._expect(isinstance(metrics["service_running"], bool), "service_running")
        self._expect(isinstance(metrics["uptime_seconds"], OPTIONAL_NUMBER), "uptime_seconds")
        self._expect(metrics["processing_rate_per_hour"] >= 0, "processing_rate_per_hour")
        self._expect(all(isinstance(metrics["queue_stats"][state], int) for state in STATES), "queue_stats")
        overall = self.client.overall(limit=3)
        queue, groups = overall["queue"], overall["recent_groups"]
        self._expect(queue["total"] == sum(queue[state] for state in STATES), "total")
        self._expect(len(groups) <= 3, "limit")
        for group in groups:
            self.states_seen.add(group["state"])
            self._expect(group["subbands_present"] <= group["expected_subbands"], "subbands_present")
            self._expect(isinstance(group["has_calibrator"], bool), "has_calibrator")
            for name in ("received_at", "last_update"):
                age_s = time.time() - datetime.fromisoformat(group[name]).timestamp()
                self._expect(-5 < age_s < 3600, name)
        for caltable_set in overall["calibration_sets"]:
            self._expect(isinstance(caltable_set["set_name"], str), "set_name")
            self._expect(0 <= caltable_set["active"] <= caltable_set["total"] == len(caltable_set["tables"]), "active")
        self._expect(self.client.call("/api/health").status == 200, "/api/health")

    def _expect(self, holds: bool, name: str) -> None:
        if not holds:
            self.faults.append(name)
