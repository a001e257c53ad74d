"""Sections of the settings: which fields exist, their types, defaults, limits, units and help.

`StreamingConfig` is what the panel edits: state/streaming_config.json, each key overridden by CONTIMG_<KEY>. The other
sections are set by environment variables only. The options of a stage are defined beside the stage; `SECTION_MODULES`
lists the modules that define sections.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from contimg.common.errors import Misconfigured
from contimg.common.options import Options, option
from contimg.formats.caltables.caltable_set import STRIP_DEG
from contimg.formats.uvh5.grouping import TOLERANCE_S, check_tolerance
from contimg.instrument.dsa110 import CADENCE_S
from contimg.settings.broker import BrokerAddress
from contimg.sky.catalogue import reference_catalogue

FILE_NAME = "streaming_config.json"
SECTION_MODULES = (
    "contimg.settings.tree", "contimg.settings.retention", "contimg.tile.convert.options",
    "contimg.tile.calibrate.options", "contimg.quality.caltables", "contimg.tile.selfcal.options",
    "contimg.tile.image.options", "contimg.quality.image", "contimg.epoch.mosaic.options", "contimg.quality.mosaic",
    "contimg.sky.variability.options", "contimg.survey.archive.options", "contimg.survey.campaigns.options",
    "workers.service.backends",
)  # fmt: skip
SIMULATION_MODULES = ("contimg.simulation.options", "contimg.simulation.demo.scene")


def section_classes(modules: Iterable[str] = (*SECTION_MODULES, *SIMULATION_MODULES)) -> Iterator[type[Options]]:
    """Import modules and return the options classes that they define.

    Parameters
    ----------
    modules : names of modules; `SECTION_MODULES` are those of the service.
    """
    for name in modules:
        for value in vars(import_module(name)).values():
            if isinstance(value, type) and issubclass(value, Options) and value.__module__ == name:
                yield value


def is_prefix(text: str) -> bool:
    """Return whether a text is a path of plain names, `/contimg` or `/telescope/contimg`.

    Parameters
    ----------
    text : without a slash at its end.
    """
    return re.fullmatch(r"(/[\w.~-]+)+", text, re.ASCII) is not None


class Settings(Options):
    """Deployment: addresses, tokens and the state directory. Environment: CONTIMG_<FIELD>, PIPELINE_STATE_DIR."""

    state_dir: Path = option(
        Path("state"), "Directory of the configuration and the SQLite store", variable="PIPELINE_STATE_DIR"
    )
    broker_url: str = option(
        "", "Redis URL of the broker (also rediss, unix); empty: the server that `contimg run` starts"
    )
    web_host: str = option("127.0.0.1", "Address that the panel listens on")
    web_port: int = option(8080, "Port of the panel", minimum=0, maximum=65535)
    flower_port: int = option(5555, "Port of Flower", minimum=0, maximum=65535)
    token: str = option("", "Bearer token required for commands of the API; empty: none", secret=True)
    view_token: str = option("", "Token required for reading the panel; empty: none", secret=True)
    web_names: str = option("", "Further host names of the panel, separated by spaces")
    web_prefix: str = option("", "Path below which a reverse proxy serves the panel, e.g. /contimg; empty: none")
    web_scheme: Literal["", "http", "https"] = option(
        "", "Scheme of the panel's address where no trusted proxy sends X-Forwarded-Proto; empty: http"
    )
    web_proxies: int = option(
        0,
        "Number of reverse proxies whose X-Forwarded headers are read; 0: the headers are ignored",
        minimum=0,
        maximum=9,
    )
    web_proxy_addresses: str = option(
        "127.0.0.1 ::1", "Addresses or networks of the proxy before the panel, separated by spaces"
    )
    flower_url: str = option("", "URL of Flower for links in the panel; empty: no links")
    log_format: Literal["text", "json"] = option("text", "Format of log lines")
    reference_catalogue: str = option(
        "", "Catalogue that images are compared with: its name, or the path of a file; empty: the only one that is "
        "installed, else the newest merged one",
    )  # fmt: skip

    @field_validator("broker_url")
    @classmethod
    def _check_broker_url(cls, url: str) -> str:
        return BrokerAddress.parse(url).redis_url if url else url

    @field_validator("web_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        prefix = value.rstrip("/")
        if prefix and not is_prefix(prefix):
            raise ValueError("must be a path such as /contimg")
        return prefix

    @field_validator("web_proxy_addresses")
    @classmethod
    def _check_addresses(cls, value: str) -> str:
        for address in value.split():
            ipaddress.ip_network(address)  # raises ValueError, which names it
        return value

    def web_address(self, port: int) -> str:
        """Return the address of the panel's host with a port, as in a URL: an IPv6 address is in brackets.

        Parameters
        ----------
        port : of the panel or of Flower.
        """
        return f"[{self.web_host}]:{port}" if ":" in self.web_host else f"{self.web_host}:{port}"

    @property
    def config_path(self) -> Path:
        """Path of the file that the panel edits."""
        return self.state_dir / FILE_NAME

    @property
    def reference_path(self) -> Path | None:
        """Path of the catalogue that images are compared with; None where there is none."""
        return reference_catalogue(self.state_dir, self.reference_catalogue)

    @property
    def base_dir(self) -> Path:
        """Directory that relative paths in the configuration are relative to."""
        return self.state_dir.absolute().parent


class StreamingConfig(Options):
    """The sixteen keys of streaming_config.json. Paths are absolute once loaded."""

    input_dir: Path = option(Path("incoming"), "Directory in which subband files arrive")
    output_dir: Path = option(Path("products"), "Directory of Measurement Sets, caltables and images")
    queue_db: str = option("state/contimg.sqlite3", "Store: a SQLite file or a PostgreSQL URL")
    registry_db: str = option("", "Calibration registry; empty or the same as queue_db")
    scratch_dir: Path = option(Path("scratch"), "Directory of temporary files")
    expected_subbands: int = option(16, "Subbands of a complete group", unit="subbands", minimum=1, maximum=16)
    chunk_duration: float = option(CADENCE_S / 60, "Time between the starts of two tiles", unit="min", above=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = option("INFO", "Lowest level that is logged")
    use_subprocess: bool = option(
        True,
        "Run stages in child processes of the workers and each CASA solve in a further process; false is not "
        "supported: an error in CASA can end its process",
    )
    monitoring: bool = option(True, "Sample processor, memory and disks for the charts of the panel")
    monitor_interval: float = option(30.0, "Time between two samples", unit="s", above=0)
    poll_interval: float = option(5.0, "Time between two scans of input_dir", unit="s", above=0)
    worker_poll_interval: float = option(10.0, "Time between two rounds of the reconciler", unit="s", above=0)
    max_workers: int = option(2, "Worker processes of all queues together", unit="processes", minimum=1, maximum=256)
    stage_to_tmpfs: bool = option(False, "Write a Measurement Set to tmpfs_path first, then move it to output_dir")
    tmpfs_path: Path = option(Path("/dev/shm"), "Directory of a memory file system")  # noqa: S108

    @field_validator("*", mode="before")
    @classmethod
    def _is_printable(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.isprintable():
            raise ValueError("must not hold control characters")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _to_upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value


class QueueRules(Options):
    """Grouping, completeness, attempts and leases. Environment: CONTIMG_<FIELD>, and two keys of the file.

    `expected_subbands` and, unless CONTIMG_CADENCE_S is set, `cadence_s` follow the configuration.
    """

    expected_subbands: int = option(16, "Subbands of a complete group", minimum=1, maximum=16)
    cadence_s: float = option(CADENCE_S, "Time between the starts of two tiles", unit="s", minimum=1)
    group_tolerance_s: float = option(
        TOLERANCE_S, "Maximum difference between the times in a file's name and a group's", unit="s"
    )
    collection_timeout_s: float = option(600.0, "Time to wait for missing subbands", unit="s", minimum=0)
    min_subbands: int = option(
        12, "Minimum number of subbands of a group that is processed as incomplete", minimum=1, maximum=16
    )
    max_attempts: int = option(3, "Maximum number of attempts at a stage", minimum=1)
    lease_s: float = option(120.0, "Time without a renewal after which a lease expires", unit="s", minimum=1)
    retry_delay_s: float = option(
        30.0, "Delay before the second attempt; doubled for each further one", unit="s", minimum=0
    )
    retry_delay_max_s: float = option(900.0, "Maximum delay between two attempts", unit="s", minimum=0)
    epochs: bool = option(True, "Make a mosaic of the tiles of each sidereal window")
    epoch_window_min: int = option(
        60, "Length of an epoch's window in sidereal time", unit="min", minimum=10, maximum=1440
    )
    epoch_step_min: int = option(
        30, "Sidereal time between the beginnings of two windows; divides 1440", unit="min", minimum=5, maximum=1440
    )
    epoch_wait_s: float = option(
        3600.0, "Time after the end of its window that an epoch waits for tiles that are not imaged", unit="s",
        minimum=0,
    )  # fmt: skip

    @model_validator(mode="after")
    def _check_windows(self) -> Self:
        if 1440 % self.epoch_step_min:
            raise Misconfigured(
                f"CONTIMG_EPOCH_STEP_MIN={self.epoch_step_min}: must divide the 1440 minutes of a sidereal day"
            )
        if self.epoch_window_min < self.epoch_step_min:
            raise Misconfigured(
                f"CONTIMG_EPOCH_WINDOW_MIN={self.epoch_window_min}: must be at least "
                f"CONTIMG_EPOCH_STEP_MIN={self.epoch_step_min}, or tiles between two windows are in no mosaic"
            )
        return self

    @model_validator(mode="after")
    def _check_tolerance(self) -> Self:
        check_tolerance(self.group_tolerance_s, self.cadence_s)
        return self

    def retry_after_s(self, attempts: int) -> float:
        """Return the delay before the next attempt, in seconds.

        Parameters
        ----------
        attempts : number of failed ones.

        Returns
        -------
        `retry_delay_s`, doubled for each failed attempt after the first, at most `retry_delay_max_s`.
        """
        return float(min(self.retry_delay_max_s, self.retry_delay_s * 2.0 ** max(0, attempts - 1)))


class DispatchSettings(Options):
    """Order of jobs, back-pressure, and limits of a slow stream. Environment: CONTIMG_<FIELD>."""

    order: Literal["newest", "oldest"] = option(
        "newest", "Which groups are dispatched first; tiles of calibrators always precede"
    )
    max_in_flight: int = option(
        0, "Maximum number of groups with a message in the broker; 0: chosen from max_workers", minimum=0
    )
    backlog_groups: int = option(24, "Number of waiting groups above which a warning is raised", minimum=1)
    stall_s: float = option(
        600.0, "Time without progress of any waiting group after which an alert is raised", unit="s", minimum=1
    )
    events: Literal["auto", "inotify", "polling"] = option(
        "auto", "How changes in input_dir are detected between scans; auto: inotify where the file system supports it"
    )

    def in_flight(self, max_workers: int) -> int:
        """Return the maximum number of dispatched groups, enough that no worker waits for the reconciler.

        Parameters
        ----------
        max_workers : worker processes of all queues together.

        Returns
        -------
        `max_in_flight`; when that is 0, four groups per worker, at least 12.
        """
        return self.max_in_flight or max(12, 4 * max_workers)


class StageLimits(Options):
    """Resources after which a stage is stopped. Environment: CONTIMG_<FIELD>."""

    stage_limit_s: float = option(
        3600.0, "Maximum duration of a stage; a longer one is killed and uses up an attempt", unit="s", minimum=1
    )
    stage_memory_mb: int = option(
        0, "Maximum memory of a worker process and of each program it starts; 0: no limit", unit="MB", minimum=0
    )


class AlertLimits(Options):
    """Limits of alerts; 0 switches a rule off. Environment: CONTIMG_<FIELD>."""

    alert_failures: int = option(3, "Number of groups failed in succession that raises an alert; 0: never", minimum=0)
    alert_no_product_s: float = option(
        1800.0, "Time with arriving files and no new image that raises an alert; 0: never", unit="s", minimum=0
    )
    alert_worker_s: float = option(
        120.0, "Time without a worker of a queue that raises an alert; 0: never", unit="s", minimum=0
    )
    alert_no_data_cadences: float = option(
        3.0, "Time without a new file while the stream runs that raises an alert; 0: never", unit="cadences", minimum=0
    )
    alert_uncalibrated: int = option(
        3, "Number of tiles in succession without calibration that raises an alert; 0: never", minimum=0
    )
    alert_calibration_age_h: float = option(
        25.0,
        "Age of the newest good caltable set of the declination strip that raises an alert; 0: never",
        unit="h",
        minimum=0,
    )
    alert_gain_age_h: float = option(
        6.0,
        "Age of the gains of tiles in succession, as many as without calibration, that raises an alert where the sky "
        "does not confirm them; 0: never",
        unit="h",
        minimum=0,
    )
    alert_quality: int = option(
        3, "Number of images in succession that are not good that raises an alert; 0: never", minimum=0
    )
    alert_quality_factor: float = option(
        2.0,
        "Factor between the noise or the flux ratio of these images and its 7-day median that raises an alert; "
        "0: never",
        minimum=0,
    )
    alert_partial: int = option(
        3, "Number of tiles in succession without the same subband that raises an alert; 0: never", minimum=0
    )
    alert_declination_deg: float = option(
        STRIP_DEG, "Change of the pointing that is recorded as an event; 0: never", unit="deg", minimum=0
    )
    hung_s: float = option(
        180.0, "Time without a response of a worker after which it is replaced; 0: never", unit="s", minimum=0
    )

    @field_validator("alert_quality_factor")
    @classmethod
    def _check_factor(cls, factor: float) -> float:
        if 0 < factor <= 1:
            raise ValueError("must be above 1, or 0")
        return factor


class DiskLimits(Options):
    """Watermarks of each file system that the stream writes to. Environment: CONTIMG_<FIELD>."""

    disk_high_percent: float = option(
        95.0, "Usage of a disk above which the stream pauses", unit="%", minimum=1, maximum=100
    )
    disk_low_percent: float = option(
        90.0, "Usage of a disk below which the stream resumes", unit="%", minimum=0, maximum=100
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.disk_low_percent >= self.disk_high_percent:
            raise Misconfigured(
                f"CONTIMG_DISK_LOW_PERCENT={self.disk_low_percent:g}: must be below "
                f"CONTIMG_DISK_HIGH_PERCENT={self.disk_high_percent:g}"
            )
        return self


class NotificationSettings(Options):
    """Recipients of notifications. Environment: CONTIMG_<FIELD>."""

    notify_webhook: str = option("", "URL that receives events as JSON by POST; empty: none", secret=True)
    notify_urls: str = option(
        "",
        "URLs of services that apprise supports (Slack, e-mail, Matrix ...), separated by spaces; error=URL, "
        "warning=URL or info=URL sends events of this level and above to it",
        secret=True,
    )
    notify_command: str = option("", "Program that receives events as JSON on standard input; empty: none")
    notify_level: Literal["info", "warning", "error"] = option(
        "warning", "Lowest level of events that are sent to a recipient without LEVEL="
    )
    notify_per_hour: int = option(20, "Maximum number of notifications per hour; the rest are counted", minimum=1)
