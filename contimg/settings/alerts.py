"""Rules of alerts with their limits in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from contimg.formats.records import about
from contimg.settings.tree import AlertLimits, DiskLimits, DispatchSettings

ERROR, WARNING, INFO = "error", "warning", "info"
RULE_LEVELS: Mapping[str, str] = {
    **dict.fromkeys(("scan", "no data", "stall", "worker", "no product", "failures", "disk", "broker"), ERROR),
    **dict.fromkeys(
        (
            "backlog",
            "uncalibrated",
            "calibration age",
            "old gains",
            "quality",
            "partial",
            "catalogue",
            "clock",
            "notification",
            "archive",
        ),
        WARNING,
    ),
    **{"declination": INFO, "caltable": WARNING, "antenna": WARNING, "hung": WARNING, "candidate": WARNING},
    **{"night": INFO},
}
"""Level of each rule; those of `EVENT_RULES` record events only."""
EVENT_RULES = frozenset({"declination", "caltable", "antenna", "hung", "candidate", "night"})
SENT_TO_ALL = frozenset({"night"})
"""Rules whose events go to every recipient of notifications, whatever levels it gets."""
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
    level: Annotated[str, about("error, warning or info", example="error")]
    about: Annotated[
        str,
        about(
            "The condition that raises the alert, with its limit", example="groups wait and none has advanced for 900 s"
        ),
    ]
    setting: Annotated[str, about("Key or variable that holds the limit", example="CONTIMG_STALL_S")]
    off: Annotated[bool, about("Whether the limit switches the rule off", example=False)] = False

    @property
    def is_event(self) -> Annotated[bool, about("Whether the rule records events instead of alerts", example=False)]:
        """Whether the rule records events instead of alerts."""
        return self.name in EVENT_RULES


def alert_rules(
    dispatch: DispatchSettings, disk: DiskLimits, limits: AlertLimits, poll_interval_s: float
) -> tuple[AlertRule, ...]:
    """List every rule with its limit as text: errors, warnings, then the rules that record events.

    Parameters
    ----------
    dispatch, disk, limits : settings in force.
    poll_interval_s : time between two scans of the incoming directory, s.
    """
    limit_s = scan_limit_s(poll_interval_s)
    no_data, uncalibrated = limits.alert_no_data_cadences, limits.alert_uncalibrated
    images, factor, partial = limits.alert_quality, limits.alert_quality_factor, limits.alert_partial
    factor_text = (
        ""
        if factor == 0
        else (
            f", or their noise over thermal noise or measured over catalogued flux is {factor:g} times off the median "
            "of the 7 days before on this declination strip"
        )
    )
    rows = (
        ("scan", f"the incoming directory has not been scanned for {limit_s:g} s while the stream is running",
         "poll_interval"),
        ("no data", f"no file has arrived for {no_data:g} cadences while the stream is running",
         "CONTIMG_ALERT_NO_DATA_CADENCES", no_data == 0),
        ("stall", f"groups wait and none has advanced for {dispatch.stall_s:g} s", "CONTIMG_STALL_S"),
        ("worker", f"a queue has had no worker for {limits.alert_worker_s:g} s, or the broker does not answer",
         "CONTIMG_ALERT_WORKER_S", limits.alert_worker_s == 0),
        ("no product", f"files have arrived for {limits.alert_no_product_s:g} s and no image was made",
         "CONTIMG_ALERT_NO_PRODUCT_S", limits.alert_no_product_s == 0),
        ("failures", f"{limits.alert_failures} groups in succession have failed", "CONTIMG_ALERT_FAILURES",
         limits.alert_failures == 0),
        ("disk", f"a disk is {disk.disk_high_percent:g} % full; the stream pauses until it is below "
         f"{disk.disk_low_percent:g} %", "CONTIMG_DISK_HIGH_PERCENT"),
        ("broker", "another service uses the same database of the broker", "CONTIMG_BROKER_URL"),
        ("backlog", f"more than {dispatch.backlog_groups} groups wait", "CONTIMG_BACKLOG_GROUPS"),
        ("uncalibrated", f"{uncalibrated} tiles in succession are imaged without calibration, or no good caltable set "
         "is valid now", "CONTIMG_ALERT_UNCALIBRATED", uncalibrated == 0),
        ("calibration age", "the newest good caltable set of the declination strip is older than "
         f"{limits.alert_calibration_age_h:g} h", "CONTIMG_ALERT_CALIBRATION_AGE_H",
         limits.alert_calibration_age_h == 0),
        ("old gains", f"{uncalibrated} tiles in succession are calibrated with a set of another day, or with gains "
         f"older than {limits.alert_gain_age_h:g} h that the sky does not confirm", "CONTIMG_ALERT_GAIN_AGE_H",
         limits.alert_gain_age_h == 0 or uncalibrated == 0),
        ("quality", f"{images} images in succession are not good{factor_text}", "CONTIMG_ALERT_QUALITY", images == 0),
        ("partial", f"the same subband is missing in {partial} tiles in succession", "CONTIMG_ALERT_PARTIAL",
         partial == 0),
        ("catalogue", "at least half of the last 12 tiles are outside the reference catalogue",
         "CONTIMG_REFERENCE_CATALOGUE"),
        ("clock", "the clock of a host differs from the database's by more than 5 s", ""),
        ("notification", "a recipient of notifications is away, or has refused an event", "CONTIMG_NOTIFY_URLS"),
        ("archive", "a place of the archive is away or was not checked for 30 min, a file or a copy differs from its "
         "checksum or is missing, or a job of the archive has failed", "CONTIMG_ARCHIVE_PLACES"),
        ("declination", f"the pointing has changed by more than {limits.alert_declination_deg:g} deg",
         "CONTIMG_ALERT_DECLINATION_DEG", limits.alert_declination_deg == 0),
        ("caltable", "a caltable set was graded suspect or bad by the limits CONTIMG_SOLUTIONS_*", ""),
        ("antenna", "an antenna has died, has returned, or has X and Y exchanged, in two tiles in succession", ""),
        ("hung", f"a worker did not respond for {limits.hung_s:g} s and was replaced", "CONTIMG_HUNG_S",
         limits.hung_s == 0),
        ("candidate", "a source of a live epoch is variable or new by the limits CONTIMG_CANDIDATE_*", ""),
        ("night", "a UTC day is over and its report is written; every recipient of notifications gets this line", ""),
    )  # fmt: skip
    return tuple(AlertRule(row[0], RULE_LEVELS[row[0]], *row[1:]) for row in rows)
