"""The stream as containers of one compose project: its producer and workers, and nothing else on the engine."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from contimg.errors import ContimgError
from workers.service.backends import PartsStatus
from workers.service.backends.engine_api import EngineSocket
from workers.service.records import CommandOutcome

PRODUCER = "stream"
PARTS = (PRODUCER, "worker-convert", "worker-calibrate", "worker-image")
# Compose waits as long (stop_grace_period) before it kills.
GRACE_S = 60
HEALTHY_WITHIN_S = 90.0
_NOT_DEPLOYED = "the stream's containers do not exist; ops/deploy.sh makes them"


class Containers:
    """The backend over the engine's socket; a container counts as ours by compose's labels."""

    kind = "docker"

    def __init__(self, engine: Path, project: str) -> None:
        self._engine = EngineSocket(engine)
        self._project = project

    def work_on(self, state_dir: Path) -> bool:
        """Whether a container of the project has this state directory."""
        if not self._engine.path.is_socket():
            return False
        try:
            ours = self._containers()
        except ContimgError:  # the engine is not for this user
            return False
        return any(mount.get("Destination") == str(state_dir) for one in ours for mount in one.get("Mounts", ()))

    def status(self) -> PartsStatus:
        """The producer's container, and what all parts take."""
        running = [one for one in self._containers() if one["State"] == "running"]
        producer = next((one for one in running if _service(one) == PRODUCER), None)
        if producer is None:
            return PartsStatus(False)
        about = self._engine.ask("GET", f"/containers/{producer['Id']}/json")
        with ThreadPoolExecutor(len(running)) as pool:
            usage = list(pool.map(self._usage, running))
        return PartsStatus(
            running=True,
            name=about["Name"].lstrip("/"),
            pid=about["State"]["Pid"] or None,
            started_at=datetime.fromisoformat(about["State"]["StartedAt"][:19] + "+00:00").timestamp(),
            cpu_percent=round(sum(cpu for cpu, _ in usage), 1),
            memory_mb=round(sum(memory for _, memory in usage), 1),
        )

    def start(self) -> CommandOutcome:
        """Start what stands still; done when every part is healthy."""
        ours = self._containers()
        if not ours:
            return CommandOutcome(False, _NOT_DEPLOYED)
        for one in sorted(ours, key=lambda one: _service(one) != PRODUCER):
            self._engine.ask("POST", f"/containers/{one['Id']}/start")
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        while ailing := [_name(one) for one in self._containers() if "(healthy)" not in one["Status"]]:
            if time.monotonic() > deadline:
                return CommandOutcome(False, f"not healthy within {HEALTHY_WITHIN_S:g} s: {', '.join(sorted(ailing))}")
            time.sleep(0.5)
        return CommandOutcome(True, "the stream was started")

    def stop(self) -> CommandOutcome:
        """Stop every part, all at once; stages that take longer than their soft shutdown are given back."""
        ours = self._containers()
        if not ours:
            return CommandOutcome(False, _NOT_DEPLOYED)
        with ThreadPoolExecutor(len(ours)) as pool:
            list(pool.map(self._stop, ours))
        return CommandOutcome(True, "the stream was stopped")

    def restart(self) -> CommandOutcome:
        """Stop, then start."""
        stopped = self.stop()
        return self.start() if stopped.success else stopped

    def _containers(self) -> list[dict[str, Any]]:
        wanted = {"label": [f"com.docker.compose.project={self._project}", "com.docker.compose.oneoff=False"]}
        found = self._engine.ask("GET", "/containers/json", all="true", filters=json.dumps(wanted))
        return [one for one in found if _service(one) in PARTS]

    def _stop(self, one: dict[str, Any]) -> None:
        self._engine.ask("POST", f"/containers/{one['Id']}/stop", GRACE_S + 20, t=str(GRACE_S))

    def _usage(self, one: dict[str, Any]) -> tuple[float, float]:
        """Percent of one core over the engine's last second, and megabytes."""
        now = self._engine.ask("GET", f"/containers/{one['Id']}/stats", stream="false")
        try:
            busy_ns = now["cpu_stats"]["cpu_usage"]["total_usage"] - now["precpu_stats"]["cpu_usage"]["total_usage"]
            machine_ns = now["cpu_stats"]["system_cpu_usage"] - now["precpu_stats"]["system_cpu_usage"]
            cpu = 100.0 * now["cpu_stats"]["online_cpus"] * busy_ns / machine_ns if machine_ns > 0 else 0.0
            return cpu, now["memory_stats"]["usage"] / 1e6
        except KeyError:  # it ended this instant
            return 0.0, 0.0


def _service(one: dict[str, Any]) -> str:
    return str(one["Labels"].get("com.docker.compose.service", ""))


def _name(one: dict[str, Any]) -> str:
    return str(one["Names"][0]).lstrip("/")
