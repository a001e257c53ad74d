"""Steps of the producer and reads of the store that tests of several packages share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.uvh5.grouping import SubbandFile
from contimg.store import Arrival, Lease, Stage, Store, tables
from contimg.store.jobs.records import JobRef
from contimg.tile.products import ConvertedMS, TileImage

MS = ConvertedMS(
    path=Path("/products/a.ms"),
    mjd_start=61093.97,
    mjd_end=61093.9736,
    ra_deg=24.4,
    dec_deg=33.16,
    integrations=24,
    channels=768,
    antennas=96,
    missing_subbands=(3, 7),
    flagged_fraction=0.125,
    bytes=2_300_000_000_000,
)
IMAGE = TileImage(
    fits_path=Path("/products/images/a.fits"),
    beam_fits_path=Path("/products/images/a.pb.fits"),
    png_path=Path("/products/images/a.png"),
    thumbnail_path=None,
    rms_jy=0.003,
    peak_jy=16.2,
    dynamic_range=5400.0,
    beam_major_arcsec=21.0,
    beam_minor_arcsec=15.5,
    beam_angle_deg=-12.0,
    ra_deg=24.4,
    dec_deg=33.16,
    mjd=61093.9718,
    freq_hz=1.405e9,
    pixels=2048,
    cell_arcsec=6.0,
    calibration_set="3C48_61093.9",
    sources=({"name": "3C48", "flux_jy": 16.2},),
    verdict="suspect",
    verdict_reasons=("uncalibrated: no calibrator within 12 h",),
    iterations=5000,
    clean_stopped_by="iterations",
    uncleaned_jy=0.25,
    dish_diameter_m=4.65,
)


def commit(store: Store, job: JobRef, stage: Stage, *products: object) -> None:
    """Claim a stage of a job and commit its products."""
    lease = store.leases.claim(job, stage, "a")
    assert isinstance(lease, Lease), lease
    store.leases.commit(lease, products)


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
        "gains_valid_from_mjd": mjd - 1 / 24, "gains_valid_to_mjd": mjd + 1 / 24,
    }  # fmt: skip
    return CaltableSet(**{**values, **fields})
