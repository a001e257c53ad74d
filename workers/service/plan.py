"""Commands of the service's processes, and the division of the machine's cores among them."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contimg.common.errors import Misconfigured
from contimg.common.files.processes import free_port
from contimg.settings import Settings, StreamingConfig
from contimg.store import QUEUES, Stage
from workers.service.child import ChildPlan

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "CONTIMG_IMAGE_THREADS")
# Order in which queues get a further process: the longest stages first.
_LONGEST_FIRST = (Stage.IMAGE, Stage.CALIBRATE, Stage.CONVERT)


@dataclass(frozen=True)
class Extras:
    """What runs beside the stream: the panel and Flower."""

    web: bool = False
    flower: bool = False


def stream_plans(
    config: StreamingConfig, broker_url: str, environ: Mapping[str, str], beat_dir: Path
) -> list[ChildPlan]:
    """Plan the producer and one Celery worker per queue.

    Parameters
    ----------
    config : the configuration.
    broker_url : URL of the broker.
    environ : environment that the children inherit; its thread numbers are kept.
    beat_dir : directory of the files that the workers touch while they progress.
    """
    common = _common(broker_url)
    threads = thread_settings(config.max_workers, environ)
    workers = [
        ChildPlan(
            str(stage),
            worker_command(stage, processes),
            {**common, **threads, "CONTIMG_WORKER_BEAT": str(beat_dir / stage)},
            beat_dir / stage,
        )
        for stage, processes in _processes(config.max_workers).items()
    ]
    return [ChildPlan("producer", contimg_command("producer"), common), *workers]


def extra_plans(extras: Extras, broker_url: str, settings: Settings, environ: Mapping[str, str]) -> list[ChildPlan]:
    """Plan the panel and Flower, as far as enabled.

    Parameters
    ----------
    extras : which of the two are enabled.
    broker_url : URL of the broker.
    settings : deployment settings, with the addresses, the state directory and the operator's token.
    environ : environment that the children inherit; its settings of Flower are kept.
    """
    common, plans = _common(broker_url), []
    if extras.web:
        command = contimg_command("web", "--host", settings.web_host, "--port", str(settings.web_port))
        link = _unset({"CONTIMG_FLOWER_URL": _flower_link(settings, environ)}, environ) if extras.flower else {}
        plans.append(ChildPlan("web", command, {**common, **link}))
    if extras.flower:
        command = [*_celery(), "flower", f"--address={settings.web_host}", f"--port={settings.flower_port}"]
        plans.append(ChildPlan("flower", command, {**common, **_flower_settings(settings, environ)}))
    return plans


def describe_addresses(extras: Extras, settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Describe, one line each, the addresses of the panel and of Flower and who may sign in; no token is printed.

    Parameters
    ----------
    extras : which of the two are enabled.
    settings : deployment settings, with the addresses and the operator's token.
    environ : environment of the processes, with Flower's own settings.
    """
    lines = []
    if extras.web:
        lines.append(f"panel: http://{_browser_address(settings, settings.web_port)}/  {describe_token(settings)}")
    if extras.flower:
        user = environ.get("FLOWER_BASIC_AUTH", "").partition(":")[0]
        password = f"user {user}, password as in FLOWER_BASIC_AUTH"
        if not user:
            password = "user contimg, password CONTIMG_TOKEN" if settings.token else "no user and no password"
        lines.append(f"Flower: {_flower_link(settings, environ)}  ({password})")
    return lines


def describe_token(settings: Settings) -> str:
    """Describe what the panel permits, and which token it needs for more; the token is not part of the text.

    Parameters
    ----------
    settings : deployment settings, with the tokens.
    """
    if not settings.token:
        return (
            "(for reading; changes need a token: set CONTIMG_TOKEN to a secret of your own and start again; "
            "`contimg` has a command for every change, which needs no token)"
        )
    reading = "; reading needs it too, or CONTIMG_VIEW_TOKEN" if settings.view_token else ""
    return f"(sign in with the value of CONTIMG_TOKEN to change something{reading})"


def thread_settings(max_workers: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the number of threads per worker process that the environment does not set.

    Half of the workers of a stream that keeps up are idle: each process gets twice its even share of the cores. Passive
    waiting leaves the cores to others when all are busy.

    Parameters
    ----------
    max_workers : number of worker processes of all queues.
    environ : environment that the processes inherit.

    Returns
    -------
    value by name of the variable.
    """
    cores = len(os.sched_getaffinity(0))
    threads = str(max(1, cores // max(1, max_workers // 2)))
    return _unset({**dict.fromkeys(_THREAD_VARIABLES, threads), "OMP_WAIT_POLICY": "passive"}, environ)


def worker_command(stage: Stage, processes: int) -> list[str]:
    """Return the command of the Celery worker of one queue.

    Parameters
    ----------
    stage : the stage whose queue the worker takes from.
    processes : number of its child processes.
    """
    flags = ("--disable-prefetch", "-E", "--without-gossip", "--without-mingle")
    return [*_celery(), "worker", "-n", f"{stage}@%h", "-Q", str(stage), "-c", str(processes), *flags]


def contimg_command(*arguments: str) -> list[str]:
    """Return the command of a `contimg` subcommand with this Python."""
    return [sys.executable, "-m", "contimg", *arguments]


def check_ports(extras: Extras, settings: Settings) -> None:
    """Check that the ports of panel and Flower are free.

    Parameters
    ----------
    extras : which of the two are enabled; the port of the other is not checked.
    settings : deployment settings, with host and ports.

    Raises
    ------
    Misconfigured : a port is in use, or the address cannot be bound.
    """
    ports = [
        (extras.web, settings.web_port, "the panel", "--port"),
        (extras.flower, settings.flower_port, "Flower", "CONTIMG_FLOWER_PORT"),
    ]
    for enabled, port, program, setting in ports:
        if enabled:
            try:
                free_port(port, host=settings.web_host)
            except OSError as error:
                address, reason = settings.web_address(port), (error.strerror or str(error)).lower()
                raise Misconfigured(f"{address} for {program}: {reason}; give another port with {setting}") from None


def _processes(max_workers: int) -> dict[Stage, int]:
    """Divide the processes among the queues: one each, then the longest stages first."""
    processes = dict.fromkeys(QUEUES, 1)
    for extra in range(max(0, max_workers - len(processes))):
        processes[_LONGEST_FIRST[extra % len(_LONGEST_FIRST)]] += 1
    return processes


def _flower_settings(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of Flower: its file beside the store, and the operator's token as its password."""
    variables = {
        "FLOWER_PERSISTENT": "true",
        "FLOWER_DB": str(settings.state_dir.absolute() / "flower"),
        "FLOWER_STATE_SAVE_INTERVAL": "60000",  # ms
    }
    if settings.token:
        variables["FLOWER_BASIC_AUTH"] = f"contimg:{settings.token}"
    return _unset(variables, environ)


def _flower_link(settings: Settings, environ: Mapping[str, str]) -> str:
    """Return the address of Flower for browsers on this machine."""
    prefix = environ.get("FLOWER_URL_PREFIX", "").strip("/")
    return f"http://{_browser_address(settings, settings.flower_port)}/{prefix}"


def _browser_address(settings: Settings, port: int) -> str:
    """Return host and port for browsers on this machine."""
    is_every_address = settings.web_host in ("0.0.0.0", "::")  # noqa: S104 (only compared)
    return f"127.0.0.1:{port}" if is_every_address else settings.web_address(port)


def _unset(variables: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the environment does not set."""
    return {name: value for name, value in variables.items() if not environ.get(name)}


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "workers.app"]


def _common(broker_url: str) -> dict[str, str]:
    return {"CONTIMG_BROKER_URL": broker_url, "PYTHONUNBUFFERED": "1"}
