"""Which processes make up the service, and how the machine's cores are shared among them."""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from contimg.errors import Misconfigured
from contimg.settings import Settings, StreamingConfig
from contimg.store import Stage
from workers.service.child import ChildPlan

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "CONTIMG_IMAGE_THREADS")
# Further processes go first where a group spends the most time.
_SPREAD = (Stage.IMAGE, Stage.CALIBRATE, Stage.CONVERT)


@dataclass(frozen=True)
class Extras:
    """What runs beside the stream itself."""

    web: bool = False
    web_host: str = "127.0.0.1"
    web_port: int = 8080
    flower: bool = False
    flower_port: int = 5555


def stream_plans(config: StreamingConfig, broker_url: str, environ: Mapping[str, str]) -> list[ChildPlan]:
    """The producer and one Celery worker for each queue."""
    common = {"CONTIMG_BROKER_URL": broker_url, **_without_buffering()}
    plans = [ChildPlan("producer", contimg_command("producer"), common)]
    threads = thread_settings(config.max_workers, environ)
    for stage, processes in shares(config.max_workers).items():
        plans.append(ChildPlan(str(stage), worker_command(stage, processes), {**common, **threads}))
    return plans


def extra_plans(extras: Extras, broker_url: str, settings: Settings, environ: Mapping[str, str]) -> list[ChildPlan]:
    """The panel and Flower, as far as wanted."""
    common = {"CONTIMG_BROKER_URL": broker_url, **_without_buffering()}
    plans = []
    if extras.web:
        command = contimg_command("web", "--host", extras.web_host, "--port", str(extras.web_port))
        plans.append(ChildPlan("web", command, {**common, **_link_to_flower(extras, environ)}))
    if extras.flower:
        listen = (f"--address={extras.web_host}", f"--port={extras.flower_port}")
        plans.append(
            ChildPlan("flower", [*_celery(), "flower", *listen], {**common, **_flower_settings(settings, environ)})
        )
    return plans


def _flower_settings(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Flower remembers beside the store and asks for the operator's token, if there is one and nothing else is said."""
    wanted = {
        "FLOWER_PERSISTENT": "true",
        "FLOWER_DB": str(settings.state_dir.absolute() / "flower"),
        "FLOWER_STATE_SAVE_INTERVAL": "60000",  # ms; a kill loses no more
    }
    if settings.token:
        wanted["FLOWER_BASIC_AUTH"] = f"contimg:{settings.token}"
    return {name: value for name, value in wanted.items() if not environ.get(name)}


def _link_to_flower(extras: Extras, environ: Mapping[str, str]) -> dict[str, str]:
    """Where the panel's links into Flower go, for browsers on this machine."""
    if not extras.flower or environ.get("CONTIMG_FLOWER_URL"):
        return {}
    host = extras.web_host if extras.web_host != "0.0.0.0" else "127.0.0.1"  # noqa: S104 (only compared)
    prefix = environ.get("FLOWER_URL_PREFIX", "").strip("/")
    return {"CONTIMG_FLOWER_URL": f"http://{host}:{extras.flower_port}/{prefix}"}


def shares(max_workers: int) -> dict[Stage, int]:
    """Processes for each queue: one each, then one more in turn while the total allows."""
    given = dict.fromkeys(Stage, 1)
    for extra in range(max(0, max_workers - len(given))):
        given[_SPREAD[extra % len(_SPREAD)]] += 1
    return given


def thread_settings(max_workers: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Threads for each worker process; what the environment says already stays.

    In a stream that keeps up half of the workers wait, so twice their even share serves latency best; passive
    waiting keeps the cores free when all are busy after all.
    """
    cores = len(os.sched_getaffinity(0))
    threads = str(max(1, cores // max(1, max_workers // 2)))
    wanted = {**dict.fromkeys(_THREADS, threads), "OMP_WAIT_POLICY": "passive"}
    return {name: value for name, value in wanted.items() if not environ.get(name)}


def worker_command(stage: Stage, processes: int) -> list[str]:
    """The Celery worker of one queue."""
    flags = ("--disable-prefetch", "-E", "--without-gossip", "--without-mingle")
    return [*_celery(), "worker", "-n", f"{stage}@%h", "-Q", str(stage), "-c", str(processes), *flags]


def contimg_command(*arguments: str) -> list[str]:
    """A `contimg` subcommand, run by this very Python."""
    return [sys.executable, "-m", "contimg", *arguments]


def check_ports(extras: Extras) -> None:
    """Raises Misconfigured with one line when a port that is wanted is in use."""
    wanted = [(extras.web, extras.web_port, "the panel", "--port"), (extras.flower, extras.flower_port, "Flower", "")]
    for asked, port, whose, flag in wanted:
        if not asked or port == 0:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((extras.web_host, port))
            except OSError as error:
                other = flag or "CONTIMG_FLOWER_PORT"
                raise Misconfigured(
                    f"{extras.web_host}:{port} for {whose}: {(error.strerror or str(error)).lower()}; "
                    f"{other} gives another"
                ) from None


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "workers.app"]


def _without_buffering() -> dict[str, str]:
    return {"PYTHONUNBUFFERED": "1"}
