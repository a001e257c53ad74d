"""The report of each night, written once after the end of the UTC day."""

from pathlib import Path

from contimg.store import Store
from contimg.survey.nights import summarise, write_report

CHECK_S = 30.0
DELAY_S = 150.0  # after the end of the day, in which most of its last tiles are processed


def write_due_reports(store: Store, output_dir: Path) -> tuple[str, ...]:
    """Write the reports that are due, and record each with an event for the recipients of notifications.

    The files are written before the row: after a kill between both they are written again, and the event is recorded
    with the row, once.

    Parameters
    ----------
    store : the store.
    output_dir : directory of the products.

    Returns
    -------
    the days that were recorded.

    Raises
    ------
    OSError : a file cannot be written; the next call tries again.
    """
    days = []
    for day in store.nights.due_reports(DELAY_S):
        night = store.nights.night(day)
        path = write_report(night, output_dir)
        if store.nights.record_report(day, str(path), f"{summarise(night)}; report: {path}"):
            days.append(day)
    return tuple(days)
