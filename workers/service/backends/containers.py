"""The stream as containers of one compose project: its producer and workers."""

import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from contimg.common.errors import ContimgError, Transient
from workers.service.records import PAST, Command, CommandOutcome, PartsStatus

PRODUCER = "stream"
PARTS = (PRODUCER, "worker-convert", "worker-calibrate", "worker-image")
# As stop_grace_period in the compose file: the time until the engine kills a container.
GRACE_S = 60
HEALTHY_LIMIT_S = 90.0
_API_VERSION = "v1.41"


class Containers:
    """The backend over the engine's socket; a container belongs to the stream by compose's labels.

    Parameters
    ----------
    engine : socket of the container engine.
    project : compose project.
    """

    kind = "docker"

    def __init__(self, engine: Path, project: str) -> None:
        self._engine = engine
        self._project = project

    def use_state_dir(self, state_dir: Path) -> bool:
        """Return whether a container of the project has a state directory mounted.

        Parameters
        ----------
        state_dir : absolute path of the state directory, the same on the host and in the containers.

        Returns
        -------
        False also when there is no engine, or this user may not use it.
        """
        if not self._engine.is_socket():
            return False
        try:
            containers = self._containers()
        except ContimgError:  # this user may not use the engine
            return False
        mounts = [mount for container in containers for mount in container.get("Mounts", ())]
        return any(mount.get("Destination") == str(state_dir) for mount in mounts)

    def status(self) -> PartsStatus:
        """Return the state of the producer's container and the usage of all parts; raises Transient."""
        running = [container for container in self._containers() if container["State"] == "running"]
        producer = next((container for container in running if _service(container) == PRODUCER), None)
        if producer is None:
            return PartsStatus(False)
        details = self._request("GET", f"/containers/{producer['Id']}/json")
        with ThreadPoolExecutor(len(running)) as pool:
            usage = list(pool.map(self._usage, running))
        return PartsStatus(
            running=True,
            container=details["Name"].lstrip("/"),
            pid=details["State"]["Pid"] or None,
            started_at=datetime.fromisoformat(details["State"]["StartedAt"][:19] + "+00:00").timestamp(),
            cpu_percent=round(sum(cpu for cpu, _ in usage), 1),
            memory_mb=round(sum(memory for _, memory in usage), 1),
        )

    def execute(self, command: Command) -> CommandOutcome:
        """Execute a command on all parts; a start is done when every part is healthy.

        Parameters
        ----------
        command : `start`, `stop` or `restart`; the producer is started first.

        Returns
        -------
        the outcome; `success` is False without containers, or when one is not healthy within HEALTHY_LIMIT_S.

        Raises
        ------
        Transient : the engine does not answer.
        ContimgError : the engine refuses a request.
        """
        containers = self._containers()
        if not containers:
            return CommandOutcome(False, "the stream's containers do not exist; ops/deploy.sh creates them")
        if command != "start":
            with ThreadPoolExecutor(len(containers)) as pool:
                list(pool.map(self._stop, containers))
        if command != "stop":
            for container in sorted(containers, key=lambda container: _service(container) != PRODUCER):
                self._request("POST", f"/containers/{container['Id']}/start")
            deadline = time.monotonic() + HEALTHY_LIMIT_S
            while unhealthy := [
                str(container["Names"][0]).lstrip("/")
                for container in self._containers()
                if "(healthy)" not in container["Status"]
            ]:
                if time.monotonic() > deadline:
                    names = ", ".join(sorted(unhealthy))
                    text = f"not healthy within {HEALTHY_LIMIT_S:g} s: {names}; see `docker compose logs`"
                    return CommandOutcome(False, text)
                time.sleep(0.5)
        return CommandOutcome(True, f"the stream was {PAST[command]}")

    def _containers(self) -> list[dict[str, Any]]:
        labels = [f"com.docker.compose.project={self._project}", "com.docker.compose.oneoff=False"]
        listed = self._request("GET", "/containers/json", all="true", filters=json.dumps({"label": labels}))
        return [container for container in listed if _service(container) in PARTS]

    def _stop(self, container: dict[str, Any]) -> None:
        self._request("POST", f"/containers/{container['Id']}/stop", GRACE_S + 20, t=str(GRACE_S))

    def _usage(self, container: dict[str, Any]) -> tuple[float, float]:
        """Return percent of one core over the engine's last second, and megabytes."""
        stats = self._request("GET", f"/containers/{container['Id']}/stats", stream="false")
        try:
            now, before = stats["cpu_stats"], stats["precpu_stats"]
            busy_ns = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
            machine_ns = now["system_cpu_usage"] - before["system_cpu_usage"]
            cpu_percent = 100.0 * now["online_cpus"] * busy_ns / machine_ns if machine_ns > 0 else 0.0
            return cpu_percent, stats["memory_stats"]["usage"] / 1e6
        except KeyError:  # it has just ended
            return 0.0, 0.0

    def _request(self, method: str, resource: str, limit_s: float = 20.0, **query: str) -> Any:
        """Return the engine's JSON answer, None for an empty one; raises Transient, or ContimgError on a refusal."""
        connection = _SocketConnection(self._engine, limit_s)
        try:
            connection.request(method, f"/{_API_VERSION}{quote(resource)}?{urlencode(query)}")
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Transient(f"{self._engine}: the container engine does not answer ({error})") from None
        finally:
            connection.close()
        answer = json.loads(body) if body else None
        if response.status >= 400:
            reason = answer.get("message") if isinstance(answer, dict) else None
            raise ContimgError(f"{self._engine}: {method} {resource}: {reason or response.status}")
        return answer


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, limit_s: float) -> None:
        super().__init__("localhost", timeout=limit_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _service(container: dict[str, Any]) -> str:
    return str(container["Labels"].get("com.docker.compose.service", ""))
