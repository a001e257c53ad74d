"""Steps of the producer and reads of the store that tests of several packages share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.uvh5.grouping import SubbandFile
from contimg.store import Arrival, Store, tables


def register_file(store: Store, path: Path | str, size: int, mtime: float) -> Arrival:
    """Register one finished file, as a scan does with many."""
    file = SubbandFile.parse(Path(path), size, mtime)
    assert file is not None
    return store.files.register([file])[0]


def enqueue(store: Store, groups: Sequence[str]) -> None:
    """Count pending groups as sent, as the dispatcher does before it sends their messages."""
    taken = store.jobs.take_unsent(1000, lambda unsent: [work for work in unsent if work.key in groups])
    assert {work.key for work in taken} == set(groups)


def metric_values(store: Store, name: str) -> list[float]:
    """All values of one metric, oldest first."""
    query = select(tables.Metric.value).where(tables.Metric.name == name).order_by(tables.Metric.at, tables.Metric.id)
    with store.database.read() as session:
        return list(session.scalars(query))


def solved_set(directory: Path, mjd: float, hours: float = 12.0, **fields: Any) -> CaltableSet:
    """A good set of a bandpass and gains, named like its directory and valid for some hours around its time."""
    values: dict[str, Any] = {
        "name": directory.name, "directory": directory, "tables": (f"{directory.name}.bcal", f"{directory.name}.gcal"),
        "calibrator": "3C48", "model_jy": 16.0, "flux_scale": "Perley & Butler 2017", "attenuation": 0.9, "mjd": mjd,
        "valid_from_mjd": mjd - hours / 24, "valid_to_mjd": mjd + hours / 24, "reference_antenna": "pad103",
        "antennas": ("pad103",), "first_freq_hz": 1.3e9, "channel_width_hz": 244e3, "channels": 768,
        "flagged_fraction": 0.01, "quality": {}, "versions": {}, "dec_deg": None, "grade": "good",
    }  # fmt: skip
    return CaltableSet(**{**values, **fields})
