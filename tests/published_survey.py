"""A store with mosaics on disk, across right ascension 0h, and the measurements in them."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from epoch_steps import MOSAIC

from contimg.epoch.photometry.products import Photometry
from contimg.formats.records import to_plain
from contimg.instrument.time import mjd_to_unix
from contimg.settings import Settings, load
from contimg.sky.variability.normalisation import Normalisation
from contimg.store import Store, tables
from contimg.store.epochs.mosaics import index_mosaic
from contimg.store.jobs.kinds import EPOCH, LIVE, Stage, State
from contimg.tile.image.result import Beam

EPOCHS, SOURCES = 3, 130  # more sources than a batch has
FIRST_MJD, SIDEREAL_DAY = 61093.25, 0.99726957
CENTRE = (0.0, 16.2)
CELL_ARCSEC, SHAPE = 60.0, (160, 260)  # rows, columns
ERROR_JY = 0.001


@dataclass
class Survey:
    """A store, where its products are, and the keys of the good epochs."""

    state: Path
    products: Path
    store: Store
    good: list[str] = field(default_factory=list)


def build_survey(deployment: Path, epochs: int = EPOCHS) -> Survey:
    """Commit good epochs of consecutive days and a suspect one."""
    config = load(Settings(state_dir=deployment / "state"))
    survey = Survey(deployment / "state", config.output_dir / "mosaics", Store.of(config))
    survey.products.mkdir(parents=True, exist_ok=True)
    for number in range(epochs):
        survey.good.append(add_epoch(survey, number, "good"))
    add_epoch(survey, epochs, "suspect")
    return survey


def add_epoch(survey: Survey, number: int, grade: str, ra_deg: float | None = None, dec_deg: float = CENTRE[1]) -> str:
    """Write the mosaic of an epoch and commit it with its measurements; returns its key."""
    rng = np.random.default_rng(number)
    mjd = FIRST_MJD + number * SIDEREAL_DAY
    key = f"2026-02-{22 + number:02d}_L0000_D+{round(10 * dec_deg):03d}"
    centre = (CENTRE[0] + 0.2 * number) % 360 if ra_deg is None else ra_deg, dec_deg
    path = survey.products / f"{key}.fits"
    _write_images(path, centre, rng)
    mosaic_id = _commit_mosaic(survey.store, key, mjd, path, centre, grade)
    positions = np.random.default_rng(99)
    ra, dec = positions.uniform(-1, 1, SOURCES) % 360, CENTRE[1] + positions.uniform(-0.5, 0.5, SOURCES)
    flux = positions.uniform(0.05, 0.5, SOURCES) + ERROR_JY * rng.standard_normal(SOURCES)
    photometry = Photometry(
        fits_path=path, mjd=mjd, freq_hz=1.405e9, beam=Beam(20.0, 15.0, 10.0), error_scale=1.0,
        calibration_class="same transit", source_id=np.array([f"N{n}" for n in range(SOURCES)]), ra_deg=ra, dec_deg=dec,
        flux_jy=flux, flux_error_jy=np.full(SOURCES, ERROR_JY), local_rms_jy=np.full(SOURCES, ERROR_JY),
        pb=np.ones(SOURCES), edge_distance_deg=np.full(SOURCES, 0.8), centre_distance_deg=np.full(SOURCES, 0.2),
        blend_group=np.full(SOURCES, -1), flags=np.zeros(SOURCES, dtype=np.int64),
    )  # fmt: skip
    normalisation = Normalisation(1.0, 0.001, 0.0, 50, True, "50 references")
    survey.store.sky.commit_measurements(key, mosaic_id, photometry, normalisation, catalogue="nvss")
    return key


def _write_images(path: Path, centre: tuple[float, float], rng: np.random.Generator) -> None:
    """Flux with a source of 0.3 Jy, weights, noise."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---ZEA", "DEC--ZEA"], centre, [SHAPE[1] / 2, SHAPE[0] / 2]
    wcs.wcs.cdelt, wcs.wcs.radesys = [-CELL_ARCSEC / 3600, CELL_ARCSEC / 3600], "ICRS"
    y, x = np.indices(SHAPE)
    flux = ERROR_JY * rng.standard_normal(SHAPE) + 0.3 * np.exp(-0.5 * ((x - 130) ** 2 + (y - 80) ** 2) / 4)
    header = wcs.to_header()
    header.update({"RMS": ERROR_JY, "RESTFRQ": 1.405e9, "MJD-BEG": FIRST_MJD, "MJD-END": FIRST_MJD + 0.04})
    maps = {".fits": flux, ".weight.fits": np.full(SHAPE, ERROR_JY**-2), ".rms.fits": np.full(SHAPE, ERROR_JY)}
    for ending, data in maps.items():
        target = path.with_name(path.name.removesuffix(".fits") + ending)
        fits.PrimaryHDU(data.astype(np.float32), header).writeto(target, overwrite=True)


def _commit_mosaic(
    store: Store, key: str, mjd: float, path: Path, centre: tuple[float, float], grade: str
) -> int:  # fmt: skip
    time_s = mjd_to_unix(mjd)
    paths = {
        "fits_path": path, "weight_fits_path": path.with_suffix(".weight.fits"),
        "rms_fits_path": path.with_suffix(".rms.fits"),
    }  # fmt: skip
    mosaic = replace(
        MOSAIC, **paths, ra_deg=centre[0], dec_deg=centre[1], width_pixels=SHAPE[1], height_pixels=SHAPE[0],
        cell_arcsec=CELL_ARCSEC, mjd_start=mjd - 0.02, mjd_end=mjd + 0.02, verdict=grade,
    )  # fmt: skip
    with store.database.write() as session:
        job = tables.Job(
            kind=EPOCH.name, key=key, processing=LIVE, priority=0, reference_s=time_s, state=str(State.COMPLETED),
            stage=str(Stage.MEASURE), created_at=time_s, updated_at=time_s,
        )  # fmt: skip
        session.add(job)
        session.flush()
        row = tables.MosaicRow(
            job_id=job.id, processing=LIVE, epoch=key, strip=round(10 * centre[1]), reference_s=time_s,
            rms_jy=mosaic.rms_jy, verdict=grade, record=to_plain(mosaic), created_at=time_s,
        )  # fmt: skip
        session.add(row)
        session.flush()
        index_mosaic(session, row)
        return row.id
