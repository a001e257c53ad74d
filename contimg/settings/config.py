"""What is configured and where each value came from.

`Settings` and `QueueRules` are the deployment's: environment variables only. `StreamingConfig` is what the panel
edits: state/streaming_config.json, each key overridden by CONTIMG_<KEY>. Relative paths in it are relative to the
directory that holds the state directory, so a service and a terminal mean the same place.
"""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from contimg import options
from contimg.errors import Misconfigured
from contimg.formats.uvh5.grouping import TOLERANCE_S, check_tolerance
from contimg.instrument.dsa110 import CADENCE_S
from contimg.options import Effective, option
from contimg.settings.alerting import AlertRules
from contimg.settings.flow import FlowRules, StageLimits
from contimg.settings.upkeep import DiskRules, NotifyRules, RetentionRules

FILE_NAME = "streaming_config.json"
PREFIX = "CONTIMG"


@dataclass(frozen=True)
class Settings:
    """Deployment: where things listen and live. Environment only."""

    state_dir: Path = option(  # noqa: RUF009 (a Path is immutable)
        Path("state"), "directory of configuration and SQLite store", variable="PIPELINE_STATE_DIR"
    )
    broker_url: str = option("", "Redis URL; empty: `contimg run` starts an embedded server")
    web_host: str = option("127.0.0.1", "address that the panel listens on")
    web_port: int = option(8080, "port of the panel", minimum=0, maximum=65535)
    flower_port: int = option(5555, "port of Flower", minimum=0, maximum=65535)
    token: str = option("", "bearer token that the API asks of commands; empty: none", secret=True)
    view_token: str = option("", "token that reading the panel asks for; empty: anybody may read", secret=True)
    web_names: str = option("", "further host names of the panel, separated by spaces")
    flower_url: str = option("", "address of Flower as a browser reaches it, for the panel's links; empty: none")
    log_format: str = option("text", "form of log lines", choices=("text", "json"))

    @property
    def config_path(self) -> Path:
        """The file that the panel edits."""
        return self.state_dir / FILE_NAME

    @property
    def base_dir(self) -> Path:
        """What relative paths in the configuration are relative to."""
        return self.state_dir.absolute().parent


@dataclass(frozen=True)
class QueueRules:
    """How the store decides: grouping, completeness, attempts, leases. Environment, and two keys of the file."""

    expected_subbands: int = option(16, "subbands of a complete group", minimum=1, maximum=16)
    cadence_s: float = option(CADENCE_S, "time between groups, s", minimum=1, variable="CONTIMG_CADENCE_S")
    group_tolerance_s: float = option(TOLERANCE_S, "a file joins a group within this time, s")
    collection_timeout_s: float = option(600.0, "wait for missing subbands this long, s", minimum=0)
    min_subbands: int = option(12, "go on without the missing ones if at least so many came", minimum=1, maximum=16)
    max_attempts: int = option(3, "attempts at a stage before the group fails", minimum=1)
    lease_s: float = option(120.0, "a worker that is silent this long has lost its group, s", minimum=1)
    retry_delay_s: float = option(30.0, "wait before the second attempt, doubled for each further one, s", minimum=0)
    retry_delay_max_s: float = option(900.0, "longest wait between attempts, s", minimum=0)

    def __post_init__(self) -> None:
        check_tolerance(self.group_tolerance_s, self.cadence_s)

    def retry_after_s(self, attempts: int) -> float:
        """Seconds to wait after so many attempts have failed."""
        return float(min(self.retry_delay_max_s, self.retry_delay_s * 2.0 ** max(0, attempts - 1)))


class StreamingConfig(BaseModel):
    """The sixteen keys that an operator edits. Paths are absolute once loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_dir: Path = Field(Path("incoming"), description="where subband files arrive")
    output_dir: Path = Field(Path("products"), description="where Measurement Sets, tables and images go")
    queue_db: str = Field("state/contimg.sqlite3", description="the store: a SQLite file or a PostgreSQL URL")
    registry_db: str = Field("", description="calibration registry; empty or the same as queue_db")
    scratch_dir: Path = Field(Path("scratch"), description="room for temporary files")
    expected_subbands: int = Field(16, ge=1, le=16, description="subbands of a complete group")
    chunk_duration: float = Field(CADENCE_S / 60, gt=0, description="time between groups, minutes")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")
    use_subprocess: bool = Field(True, description="run each CASA solve in a process of its own")
    monitoring: bool = Field(True, description="sample the machine for the panel's charts")
    monitor_interval: float = Field(30.0, gt=0, description="time between samples, s")
    poll_interval: float = Field(5.0, gt=0, description="time between scans of input_dir, s")
    worker_poll_interval: float = Field(10.0, gt=0, description="time between rounds of the reconciler, s")
    max_workers: int = Field(2, ge=1, le=256, description="worker processes over all queues")
    stage_to_tmpfs: bool = Field(False, description="write a Measurement Set in memory first, then move it")
    tmpfs_path: Path = Field(Path("/dev/shm"), description="the memory file system")  # noqa: S108

    @field_validator("*", mode="before")
    @classmethod
    def _is_printable(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.isprintable():
            raise ValueError("must not hold control characters")
        return value


def load(settings: Settings, environ: Mapping[str, str] = os.environ) -> StreamingConfig:
    """The configuration in force: environment over file over defaults; raises Misconfigured naming file and key."""
    values = {**read_file(settings.config_path), **_overrides(environ)}
    sources = {key: _variable(key) for key in _overrides(environ)}
    return _resolved(_validated(values, settings.config_path, sources), settings)


def save(settings: Settings, changes: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> StreamingConfig:
    """Set keys in the file, whole or not at all, and return what is then in force.

    Raises Misconfigured, with the file untouched, when the outcome would not load.
    """
    path = settings.config_path
    values = {**read_file(path), **changes}
    kept = _checked(settings, values).model_dump(mode="json", include=set(values))
    _write_atomically(path, json.dumps(kept, indent=2, sort_keys=True) + "\n")
    return load(settings, environ)


def check(settings: Settings, changes: Mapping[str, Any]) -> StreamingConfig:
    """What would be in force after `save`, the environment aside; nothing is written. Misconfigured as there."""
    return _resolved(_checked(settings, {**read_file(settings.config_path), **changes}), settings)


def shown(config: StreamingConfig) -> dict[str, Any]:
    """Every key as JSON would hold it, with the password of a database URL left out."""
    values = config.model_dump(mode="json")
    return {**values, "queue_db": _no_password(config.queue_db), "registry_db": _no_password(config.registry_db)}


def effective(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Effective]:
    """Every key and setting with its value and its source, for `contimg config check`."""
    config, written = load(settings, environ), read_file(settings.config_path)
    values, found = shown(config), []
    for key, about in StreamingConfig.model_fields.items():
        source = f"file {settings.config_path}" if key in written else "default"
        if environ.get(_variable(key)):
            source = f"environment {_variable(key)}"
        found.append(Effective(key, values[key], source, about.description or ""))
    rules = queue_rules(config, environ)
    sources = {one.key: one.source for one in found}
    of_config = {"expected_subbands": sources["expected_subbands"], "cadence_s": sources["chunk_duration"]}
    for one in options.effective(QueueRules, PREFIX, environ):
        source = of_config.get(one.key, one.source) if one.source == "default" else one.source
        if one.key != "expected_subbands":
            found.append(replace(one, value=getattr(rules, one.key), source=source))
    more = [FlowRules, AlertRules, StageLimits, DiskRules, RetentionRules, NotifyRules, Settings]
    return found + [one for rules in more for one in options.effective(rules, PREFIX, environ)]


def queue_rules(config: StreamingConfig, environ: Mapping[str, str] = os.environ) -> QueueRules:
    """The rules in force: the environment's, with the number of subbands and the cadence of the configuration."""
    values = {one.key: one.value for one in options.effective(QueueRules, PREFIX, environ)}
    values["expected_subbands"] = config.expected_subbands
    if not environ.get("CONTIMG_CADENCE_S"):
        values["cadence_s"] = config.chunk_duration * 60
    if values["min_subbands"] > config.expected_subbands:
        if environ.get("CONTIMG_MIN_SUBBANDS"):
            raise Misconfigured(
                f"CONTIMG_MIN_SUBBANDS={values['min_subbands']}: more than expected_subbands={config.expected_subbands}"
            )
        values["min_subbands"] = config.expected_subbands
    return QueueRules(**values)


def settings_from(environ: Mapping[str, str] = os.environ) -> Settings:
    """The deployment's settings from the environment."""
    return options.from_environment(Settings, PREFIX, environ)


def read_file(path: Path) -> dict[str, Any]:
    """The keys that the file sets, unchecked; none when there is no file; Misconfigured when it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise Misconfigured(f"{path}: not JSON ({error}); mend it or remove it to start from the defaults") from None
    if not isinstance(content, dict):
        raise Misconfigured(f"{path}: must hold one JSON object of keys and values, not a {type(content).__name__}")
    return content


def _variable(key: str) -> str:
    return f"{PREFIX}_{key.upper()}"


def _overrides(environ: Mapping[str, str]) -> dict[str, str]:
    return {key: environ[_variable(key)] for key in StreamingConfig.model_fields if environ.get(_variable(key))}


def _validated(values: Mapping[str, Any], path: Path, sources: Mapping[str, str]) -> StreamingConfig:
    try:
        return StreamingConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise Misconfigured(
                f"{path}: {key}: no such key; known: {', '.join(StreamingConfig.model_fields)}"
            ) from None
        place = sources.get(key, f"{path}: {key}")
        raise Misconfigured(f"{place}={first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


def _resolved(config: StreamingConfig, settings: Settings) -> StreamingConfig:
    """Absolute paths; the registry's place filled in and checked."""
    base = settings.base_dir
    paths = {
        key: base / getattr(config, key).expanduser()
        for key in ("input_dir", "output_dir", "scratch_dir", "tmpfs_path")
    }
    default_place = str(settings.state_dir.absolute() / "contimg.sqlite3")
    queue = _place(config.queue_db, base) if "queue_db" in config.model_fields_set else default_place
    registry = _place(config.registry_db, base) if config.registry_db else queue
    if registry != queue:
        raise Misconfigured(
            f"{settings.config_path}: registry_db={_no_password(registry)} must be the same as "
            f"queue_db={_no_password(queue)}: a calibration and "
            "the stage that made it are committed in one transaction; remove registry_db"
        )
    return config.model_copy(update={**paths, "queue_db": queue, "registry_db": registry})


def _checked(settings: Settings, values: Mapping[str, Any]) -> StreamingConfig:
    checked = _validated(values, settings.config_path, {})
    _resolved(checked, settings)
    return checked


def _no_password(database: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", database)


def _place(database: str, base: Path) -> str:
    return database if "://" in database else str(base / Path(database).expanduser())


def _write_atomically(path: Path, text: str) -> None:
    """Write beside the target, flush to disk, rename: a reader finds the old file or the new one, whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be written: {error.strerror}") from None
