"""What to do about each alert and each kind of failure, in one sentence, with its section of docs/troubleshoot.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from contimg.common.errors import BadFile, BadInput, Incomplete, LeaseLost, Misconfigured, MixedTimes, Transient
from contimg.store.jobs.leases import TOOK_TOO_LONG, WORKER_DIED, WORKER_SILENT

DOCUMENT = "troubleshoot.md"


@dataclass(frozen=True)
class Remedy:
    """What to do: a sentence, and the anchor of the section of the document that explains more."""

    text: str
    anchor: str

    @property
    def link(self) -> str:
        """The document and the anchor, relative to docs/."""
        return f"{DOCUMENT}#{self.anchor}"


ALERTS: Mapping[str, Remedy] = {
    "scan": Remedy("List the incoming directory and read logs/producer.log; restart the stream.", "alert-scan"),
    "stall": Remedy("Run `contimg workers` and read the workers' logs; restart the stream.", "alert-stall"),
    "worker": Remedy("Run `contimg workers`; start the worker that is missing, or the broker.", "alert-worker"),
    "no product": Remedy("List the failed groups and the quarantined files; retry after the fix.", "alert-no-product"),
    "failures": Remedy("Read the error of the failed groups; correct its cause and retry them.", "alert-failures"),
    "disk": Remedy("Free space or shorten the retention; the stream resumes by itself.", "alert-disk"),
    "backlog": Remedy("Wait if it decreases; otherwise add workers or a faster disk.", "alert-backlog"),
    "no data": Remedy("Check the correlator and the transfer to the incoming directory.", "alert-no-data"),
    "uncalibrated": Remedy(
        "Read the reason on the images; observe a calibrator or import a set.", "alert-uncalibrated"
    ),
    "calibration age": Remedy(
        "Look for the last transit of a calibrator and why it gave no good set.", "alert-calibration-age"
    ),
    "old gains": Remedy(
        "Read the note of the calibration on the images: why they have no gains from the sky.", "alert-old-gains"
    ),
    "quality": Remedy("Compare the images and flag summaries with those of the days before.", "alert-quality"),
    "partial": Remedy("Check the machine that writes the missing subband, and its transfer.", "alert-partial"),
    "catalogue": Remedy(
        "Install a catalogue of this declination, or name it in CONTIMG_REFERENCE_CATALOGUE.", "alert-catalogue"
    ),
    "declination": Remedy(
        "Nothing if the pointing was changed on purpose; else check the drives.", "alert-declination"
    ),
    "caltable": Remedy("Read the set's reasons; retire it if an earlier set is better.", "alert-caltable"),
    "antenna": Remedy("Read the reason on the antennas' page; check the receiver and its cables.", "alert-antenna"),
    "hung": Remedy("Read the worker's log; look for a full disk, swapping or a stopped process.", "alert-hung"),
    "candidate": Remedy("Look at its light curve and stamps; confirm, watch or dismiss it.", "alert-candidate"),
    "night": Remedy("Read the report of the night; nothing has to be done.", "alert-night"),
    "notification": Remedy("Correct the recipient that the alert names; events wait for it.", "alert-notification"),
    "archive": Remedy("Mount the place that is away; restore the file that the alert names.", "alert-archive"),
    "broker": Remedy("Give each service a database of its own in CONTIMG_BROKER_URL.", "alert-broker"),
    "clock": Remedy("Synchronise the clock of the host that the alert names.", "alert-clock"),
}
"""By the rule of the alert, or of the event."""

FAILURES: Mapping[str, Remedy] = {
    BadInput.__name__: Remedy("Correct or replace the data, then retry the group; or discard it.", "failure-bad-data"),
    BadFile.__name__: Remedy("Copy the file again: a changed file is examined again.", "failure-bad-file"),
    Incomplete.__name__: Remedy("Copy the missing files there and retry, or force the retry.", "reason-incomplete"),
    MixedTimes.__name__: Remedy("Correct the clock of the machine that wrote the file.", "failure-bad-file"),
    FileNotFoundError.__name__: Remedy("Put the file back; its group takes it in again.", "failure-missing-file"),
    Transient.__name__: Remedy("Free disk space or memory, or wait for the service; then retry.", "failure-transient"),
    MemoryError.__name__: Remedy("Lower max_workers or add memory, then retry.", "failure-transient"),
    Misconfigured.__name__: Remedy("Correct the setting that the error names, then retry.", "failure-misconfigured"),
    LeaseLost.__name__: Remedy("Nothing: the stage runs again on another worker.", "failure-lost-worker"),
    WORKER_SILENT: Remedy("Read the worker's log for the cause, then retry.", "failure-lost-worker"),
    WORKER_DIED: Remedy("Read the worker's log and the kernel's (out of memory), then retry.", "failure-lost-worker"),
    TOOK_TOO_LONG: Remedy("Look for swapping and slow disks, or raise CONTIMG_STAGE_LIMIT_S.", "failure-too-long"),
}
"""By the class of the error of an attempt."""

UNEXPECTED = Remedy("Keep the worker's log and report the error; retry once.", "failure-unexpected")


REASONS: Mapping[str, Remedy] = {
    r"^incomplete, ": Remedy("Copy the missing files there and retry, or discard the group.", "reason-incomplete"),
    r"the file is gone|files are gone": Remedy(
        "Put the file back; its group takes it in again.", "failure-missing-file"
    ),
    r"duplicate": Remedy("Keep the right one of the two files and remove the other.", "reason-duplicate"),
    r"filter that is not installed": Remedy("Install hdf5plugin in the pipeline's environment.", "reason-compression"),
    r"^name is not|^foreign|^directory with|(?:[Nn]ot|that of) a UVH5 file|UVH5 version|another telescope": Remedy(
        "Move the file out of the incoming directory, or rename it.", "reason-foreign-file"
    ),
    r"truncated|0 bytes|did not (?:finish|write)|damaged|changed while|has not closed|was replaced": Remedy(
        "Copy the file again when its writer has finished; it is then examined again.", "reason-truncated-file"
    ),
    r"no usable value|has no data": Remedy(
        "Check the correlator: the file holds no data. Discard it if it was off.", "reason-no-usable-data"
    ),
    r"time in its name|not UTC|time_array|times differ|begin .* from the others": Remedy(
        "Correct the clock of the machine that wrote the file, then copy it again.", "reason-time"
    ),
    r"channels|frequency|spectral windows|freq_array|band has|band plan": Remedy(
        "Correct the frequency axis in the writer, then write the file again.", "reason-frequency-axis"
    ),
    r"phase centre|phase_center|fringe-stopped|[Dd]eclination differs|its declination is unknown": Remedy(
        "Correct phase centre or declination in the writer, then write the file again.", "reason-phase-centre"
    ),
    r"antenna|uvw_array|telescope_frame|baseline": Remedy(
        "Correct the antenna table in the writer, then write the file again.", "reason-antenna-table"
    ),
    r"integration_time|has the shape|polarisations|values of another kind|Nblts": Remedy(
        "Correct the writer: header and data of the file disagree.", "reason-header"
    ),
    r"differs? .*other files of (?:its|the) group": Remedy(
        "Compare the file with the others of its group, and correct its writer.", "reason-odd-file"
    ),
}
"""By a pattern in the reason of a failed group or of a quarantined file; the first one that matches counts."""


def remedy_of(reason: str, error_class: str | None) -> Remedy:
    """Return what to do about a failed group or a quarantined file.

    Parameters
    ----------
    reason : why it failed or was quarantined.
    error_class : class of the error of the last attempt, for a reason that is not in the table; None without one.
    """
    matching = (remedy for pattern, remedy in REASONS.items() if re.search(pattern, reason))
    return next(matching, remedy_of_failure(error_class))


def remedy_of_failure(error_class: str | None) -> Remedy:
    """Return what to do about a failed attempt; `UNEXPECTED` for a class that is not in the table.

    Parameters
    ----------
    error_class : class of the error of the attempt, or None where none is recorded.
    """
    return FAILURES.get(error_class or "", UNEXPECTED)
