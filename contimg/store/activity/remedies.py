"""What to do about each alert and each kind of failure, in one sentence, with its section of docs/troubleshoot.md."""

from collections.abc import Mapping
from dataclasses import dataclass

from contimg.errors import BadFile, BadInput, LeaseLost, Misconfigured, MixedTimes, Transient
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
    "quality": Remedy("Compare the images and flag summaries with those of the days before.", "alert-quality"),
    "partial": Remedy("Check the machine that writes the missing subband, and its transfer.", "alert-partial"),
    "declination": Remedy(
        "Nothing if the pointing was changed on purpose; else check the drives.", "alert-declination"
    ),
    "caltable": Remedy("Read the set's reasons; retire it if an earlier set is better.", "alert-caltable"),
    "notification": Remedy("Correct the recipient that the alert names; events wait for it.", "alert-notification"),
    "broker": Remedy("Give each service a database of its own in CONTIMG_BROKER_URL.", "alert-broker"),
    "clock": Remedy("Synchronise the clock of the host that the alert names.", "alert-clock"),
}
"""By the rule of the alert, or of the event."""

FAILURES: Mapping[str, Remedy] = {
    BadInput.__name__: Remedy("Correct or replace the data, then retry the group; or discard it.", "failure-bad-data"),
    BadFile.__name__: Remedy("Copy the file again: a changed file is examined again.", "failure-bad-file"),
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


def remedy_of_failure(error_class: str | None) -> Remedy:
    """Return what to do about a failed attempt; `UNEXPECTED` for a class that is not in the table.

    Parameters
    ----------
    error_class : class of the error of the attempt, or None where none is recorded.
    """
    return FAILURES.get(error_class or "", UNEXPECTED)
