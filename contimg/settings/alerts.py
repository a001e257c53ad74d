"""Rules of alerts with their limits in words."""

from dataclasses import dataclass
from typing import Annotated

from contimg.formats.records import about
from contimg.settings.tree import AlertLimits, DiskLimits, DispatchSettings

ERROR, WARNING = "error", "warning"
MISSED_SCANS = 6
MIN_SCAN_LIMIT_S = 30.0


def scan_limit_s(poll_interval_s: float) -> float:
    """Return the age of the last scan of the incoming directory beyond which the producer counts as stopped.

    The panel, the API, `contimg status`, the systemd watchdog and the container's health check use this limit.

    Parameters
    ----------
    poll_interval_s : time between two scans, s.

    Returns
    -------
    float
        Six poll intervals, at least 30 s.
    """
    return max(MIN_SCAN_LIMIT_S, MISSED_SCANS * poll_interval_s)


@dataclass(frozen=True)
class AlertRule:
    """A rule as it is shown."""

    name: Annotated[str, about("Name of the rule", example="stall")]
    level: Annotated[str, about("error or warning", example="error")]
    about: Annotated[
        str,
        about(
            "The condition that raises the alert, with its limit", example="groups wait and none has advanced for 900 s"
        ),
    ]
    setting: Annotated[str, about("Key or variable that holds the limit", example="CONTIMG_STALL_S")]
    off: Annotated[bool, about("Whether the limit switches the rule off", example=False)] = False


def alert_rules(
    dispatch: DispatchSettings, disk: DiskLimits, limits: AlertLimits, poll_interval_s: float
) -> tuple[AlertRule, ...]:
    """List every rule with its limit as text, errors first.

    Parameters
    ----------
    dispatch, disk, limits : settings in force.
    poll_interval_s : time between two scans of the incoming directory, s.
    """
    limit_s = scan_limit_s(poll_interval_s)
    return (
        AlertRule("scan", ERROR, f"the incoming directory has not been scanned for {limit_s:g} s while the "
                  "stream is running", "poll_interval"),
        AlertRule("stall", ERROR, f"groups wait and none has advanced for {dispatch.stall_s:g} s", "CONTIMG_STALL_S"),
        AlertRule("worker", ERROR, f"a queue has had no worker for {limits.alert_worker_s:g} s, or the broker does not "
                  "answer", "CONTIMG_ALERT_WORKER_S", limits.alert_worker_s == 0),
        AlertRule("no product", ERROR, f"files have arrived for {limits.alert_no_product_s:g} s and no image was made",
                  "CONTIMG_ALERT_NO_PRODUCT_S", limits.alert_no_product_s == 0),
        AlertRule("failures", ERROR, f"{limits.alert_failures} groups in succession have failed",
                  "CONTIMG_ALERT_FAILURES", limits.alert_failures == 0),
        AlertRule("disk", ERROR, f"a disk is {disk.disk_high_percent:g} % full; the stream pauses until it is below "
                  f"{disk.disk_low_percent:g} %", "CONTIMG_DISK_HIGH_PERCENT"),
        AlertRule("backlog", WARNING, f"more than {dispatch.backlog_groups} groups wait", "CONTIMG_BACKLOG_GROUPS"),
    )  # fmt: skip
