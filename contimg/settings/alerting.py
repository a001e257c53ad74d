"""Of what an operator is alarmed: the rules, their limits, and how each is said."""

from dataclasses import dataclass

from contimg.options import option
from contimg.settings.flow import FlowRules
from contimg.settings.upkeep import DiskRules

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
class AlertRules:
    """Limits beyond which an operator is alarmed; 0 switches a rule off. Environment: CONTIMG_<NAME>."""

    alert_failures: int = option(3, "alert when so many groups in a row have failed; 0: never", minimum=0)
    alert_no_product_s: float = option(
        1800.0, "alert when files have come for so long and no image was made of them, s; 0: never", minimum=0
    )
    alert_worker_s: float = option(120.0, "alert when a queue has had no worker for so long, s; 0: never", minimum=0)


@dataclass(frozen=True)
class AlertRule:
    """A rule as it is shown: its name, how grave it is, what it says, and the setting that holds its limit."""

    name: str
    level: str
    about: str
    setting: str
    off: bool = False


def alert_rules(flow: FlowRules, disk: DiskRules, limits: AlertRules, poll_interval_s: float) -> tuple[AlertRule, ...]:
    """Every rule with its limit in words, the gravest first."""
    limit_s = scan_limit_s(poll_interval_s)
    return (
        AlertRule("scan", ERROR, f"the incoming directory has not been scanned for {limit_s:g} s while the stream runs",
                  "poll_interval"),
        AlertRule("stall", ERROR, f"groups wait and none has advanced for {flow.stall_s:g} s", "CONTIMG_STALL_S"),
        AlertRule("worker", ERROR, f"a queue has had no worker for {limits.alert_worker_s:g} s, or the broker does not "
                  "answer", "CONTIMG_ALERT_WORKER_S", limits.alert_worker_s == 0),
        AlertRule("no product", ERROR, f"files have come for {limits.alert_no_product_s:g} s and no image was made of "
                  "them", "CONTIMG_ALERT_NO_PRODUCT_S", limits.alert_no_product_s == 0),
        AlertRule("failures", ERROR, f"{limits.alert_failures} groups in a row have failed", "CONTIMG_ALERT_FAILURES",
                  limits.alert_failures == 0),
        AlertRule("disk", ERROR, f"a disk is {disk.disk_high_percent:g} % full; the stream pauses by itself until it "
                  f"is below {disk.disk_low_percent:g} %", "CONTIMG_DISK_HIGH_PERCENT"),
        AlertRule("backlog", WARNING, f"more than {flow.backlog_groups} groups wait", "CONTIMG_BACKLOG_GROUPS"),
    )  # fmt: skip
