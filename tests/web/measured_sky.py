"""A store of measured sources across right ascension 0h, as the stage `measure` commits them, and its mosaics."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from epoch_steps import MOSAIC
from flask.testing import FlaskClient
from numpy.typing import NDArray

from contimg.epoch.photometry.products import MeasurementFlag, Photometry
from contimg.formats.records import to_plain
from contimg.instrument.time import mjd_to_unix
from contimg.sky.variability.normalisation import Normalisation
from contimg.store import Store, tables
from contimg.store.jobs.kinds import EPOCH, LIVE, Stage, State
from contimg.store.sky.records import CandidateKind, Selection, SourceRecord
from contimg.tile.image.result import Beam

EPOCHS, SOURCES = 12, 60
FIRST_MJD, SIDEREAL_DAY = 61093.25, 0.99726957
ERROR_JY = 0.0005
DIM, FLARE, FLAGGED, STEADY = 0, 1, 2, 3  # index of sources with a part of their own
FLARE_EPOCH, FLAGGED_EPOCH, REFUSED_EPOCH = 7, 4, 9
FACTOR = 1.05  # of the fluxes of every second epoch
IMAGED = (0, 5, FLARE_EPOCH)  # epochs with a mosaic on disk
CELL_DEG, PIXELS = 10 / 3600, 120
CENTRE = (0.0, 33.2)


@dataclass(frozen=True)
class MeasuredSky:
    """What was committed: positions and true fluxes, shape (sources,) and (epochs, sources)."""

    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    flux_jy: NDArray[np.float64]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class SkyPanel:
    """One panel over a measured sky, for the tests of a module."""

    url: str
    client: FlaskClient
    store: Store
    sky: MeasuredSky

    def find(self, index: int) -> SourceRecord:
        """The source of an index of the arrays."""
        return self.store.sky.source(f"N{index}")


def measure_sky(store: Store, products: Path, seed: int = 4) -> MeasuredSky:
    """Commit the measurements of `EPOCHS` sidereal days: a flare, a source below 3 sigma, flags, a refused epoch."""
    rng = np.random.default_rng(seed)
    ra_deg = (rng.uniform(-1.2, 1.2, SOURCES)) % 360
    dec_deg = CENTRE[1] + rng.uniform(-1, 1, SOURCES)
    ra_deg[FLARE], dec_deg[FLARE] = 359.99, CENTRE[1] + 0.01
    ra_deg[[DIM, STEADY]], dec_deg[[DIM, STEADY]] = (0.08, 0.1), (CENTRE[1] + 0.05, CENTRE[1] - 0.08)
    flux_jy = np.tile(rng.uniform(0.01, 0.2, SOURCES), (EPOCHS, 1))
    flux_jy[:, DIM], flux_jy[:, FLARE], flux_jy[FLARE_EPOCH, FLARE] = 0.0004, 0.04, 0.08
    keys = tuple(f"2026-02-{22 + epoch // 2:02d}_L{epoch:04d}_D+332" for epoch in range(EPOCHS))
    products.mkdir(parents=True, exist_ok=True)
    for epoch, key in enumerate(keys):
        mjd = FIRST_MJD + epoch * SIDEREAL_DAY
        flags = np.zeros(SOURCES, dtype=np.int64)
        flags[FLAGGED] = int(MeasurementFlag.EDGE)
        if epoch == FLAGGED_EPOCH:
            flags[FLAGGED] |= int(MeasurementFlag.BAD_POSITIONS)
        factor = FACTOR if epoch % 2 else 1.0
        measured = factor * flux_jy[epoch] + ERROR_JY * rng.standard_normal(SOURCES)
        if epoch == REFUSED_EPOCH:
            measured *= 3.0
        mosaic_id = write_mosaic(store, products, key, mjd, measured[FLARE]) if epoch in IMAGED else None
        is_accepted = epoch != REFUSED_EPOCH
        normalisation = Normalisation(
            factor, 0.001, 0.0, 50, is_accepted, "50 references" if is_accepted else "factor 3.00 (limit 1.50)"
        )
        photometry = make_photometry(ra_deg, dec_deg, measured, flags, mjd, products / f"{key}.fits")
        store.sky.commit_measurements(key, mosaic_id, photometry, normalisation, catalogue="nvss")
    flare = store.sky.source(f"N{FLARE}")
    store.sky.record_candidates(
        [
            Selection(flare.id, CandidateKind.VARIABLE, "η 90 (limit 4), V 0.28 (limit 0.1)", {"eta": 90.0},
                      FIRST_MJD + FLARE_EPOCH, keys[FLARE_EPOCH]),
            Selection(store.sky.source(f"N{STEADY}").id, CandidateKind.NEW, "not seen in 3 earlier epochs", {},
                      FIRST_MJD, keys[0]),
        ]
    )  # fmt: skip
    return MeasuredSky(ra_deg, dec_deg, flux_jy, keys)


def make_photometry(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], flux_jy: NDArray[np.float64],
    flags: NDArray[np.int64], mjd: float, path: Path,
) -> Photometry:  # fmt: skip
    """Photometry of one image with the same error at every position."""
    count = len(ra_deg)
    return Photometry(
        fits_path=path, mjd=mjd, freq_hz=1.405e9, beam=Beam(20.0, 15.0, 10.0), error_scale=1.1,
        calibration_class="same transit", source_id=np.array([f"N{n}" for n in range(count)]), ra_deg=ra_deg,
        dec_deg=dec_deg, flux_jy=flux_jy, flux_error_jy=np.full(count, ERROR_JY), local_rms_jy=np.full(count, ERROR_JY),
        pb=np.ones(count), edge_distance_deg=np.full(count, 0.8), centre_distance_deg=np.full(count, 0.2),
        blend_group=np.full(count, -1), flags=flags,
    )  # fmt: skip


def write_mosaic(store: Store, products: Path, key: str, mjd: float, flux_jy: float) -> int:
    """Write a mosaic with the flaring source; returns its number."""
    header = fits.Header()
    for axis, kind, value, step in ((1, "RA---SIN", CENTRE[0], -CELL_DEG), (2, "DEC--SIN", CENTRE[1], CELL_DEG)):
        header.update({f"CTYPE{axis}": kind, f"CRPIX{axis}": PIXELS / 2 + 0.5})
        header.update({f"CRVAL{axis}": value, f"CDELT{axis}": step})
    image = ERROR_JY * np.random.default_rng(int(mjd)).standard_normal((PIXELS, PIXELS))
    y, x = np.indices(image.shape)
    image += flux_jy * np.exp(-0.5 * ((x - 62.5) ** 2 + (y - 63.1) ** 2))
    path = products / f"{key}.fits"
    fits.writeto(path, image.astype(np.float32), header, overwrite=True)
    time_s = mjd_to_unix(mjd)
    with store.database.write() as session:
        job = tables.Job(
            kind=EPOCH.name, key=key, processing=LIVE, priority=0, reference_s=time_s, state=str(State.COMPLETED),
            stage=str(Stage.MEASURE), created_at=time_s, updated_at=time_s,
        )  # fmt: skip
        session.add(job)
        session.flush()
        record = to_plain(replace(MOSAIC, fits_path=path, mjd_start=mjd - 0.02, mjd_end=mjd + 0.02))
        row = tables.MosaicRow(
            job_id=job.id, processing=LIVE, epoch=key, strip=332, reference_s=time_s, rms_jy=0.0002, verdict="good",
            record=record, created_at=time_s,
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id
