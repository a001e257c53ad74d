"""How the house is kept: when a disk is too full, what is kept how long, whom to tell."""

from dataclasses import dataclass

from contimg.errors import Misconfigured
from contimg.options import option


@dataclass(frozen=True)
class DiskRules:
    """Watermarks of each file system that the stream writes to. Environment: CONTIMG_<NAME>."""

    disk_high_percent: float = option(95.0, "pause when a disk is fuller than this, %", minimum=1, maximum=100)
    disk_low_percent: float = option(90.0, "go on when it is emptier than this again, %", minimum=0, maximum=100)

    def __post_init__(self) -> None:
        if self.disk_low_percent >= self.disk_high_percent:
            raise Misconfigured(
                f"CONTIMG_DISK_LOW_PERCENT={self.disk_low_percent:g}: must be below "
                f"CONTIMG_DISK_HIGH_PERCENT={self.disk_high_percent:g}"
            )


@dataclass(frozen=True)
class RetentionRules:
    """What is kept how long; 0 keeps for ever, which is the default. Environment: CONTIMG_<NAME>."""

    keep_ms_days: float = option(0.0, "delete Measurement Sets older than this; 0: never", minimum=0)
    keep_images_days: float = option(0.0, "delete images older than this; 0: never", minimum=0)
    keep_last: int = option(48, "keep the newest so many of each whatever their age", minimum=0)
    keep_flagged: bool = option(True, "keep what its verdict says is not good, for somebody to look at")
    keep_events_days: float = option(90.0, "forget events and charts older than this; 0: never", minimum=0)
    retention_interval_s: float = option(3600.0, "time between two rounds of retention, s", minimum=1)


@dataclass(frozen=True)
class NotifyRules:
    """Whom to tell of events. Environment: CONTIMG_<NAME>."""

    notify_webhook: str = option("", "URL that gets events by POST, as JSON; empty: none", secret=True)
    notify_command: str = option("", "program that gets events on its standard input, as JSON; empty: none")
    notify_level: str = option("warning", "least level that is told", choices=("info", "warning", "error"))
    notify_per_hour: int = option(20, "at most so many notifications an hour; the rest are counted", minimum=1)
