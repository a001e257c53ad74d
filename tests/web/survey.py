"""Two nights of images that drift across right ascension 0h, with a gap, missing subbands and every grade."""

from dataclasses import dataclass, replace
from pathlib import Path

from flask.testing import FlaskClient
from observing_night import CADENCE_S, SECONDS, Night, paint, write_fits

from contimg.formats.uvh5.grouping import seconds_of
from contimg.quality.antennas import AntennaNumbers, AntennaState
from contimg.store import RunFigures, Stage, Store
from contimg.tile.products import CalibratedMS, TileImage

FIRST_S = 1771799400.0  # 2026-02-22T22:30:00Z
TILES = 24
FIRST_AFTER_GAP, GAP_TILES = 10, 6
RA_STEP_DEG = 360 * CADENCE_S / 86164.1
FIRST_RA_DEG = 352.0
REASON = "noise 9.41 mJy/beam is 6.3 times what is expected"


@dataclass(frozen=True)
class Survey:
    """One panel for the tests of a module, over two nights of images that nothing changes."""

    url: str
    client: FlaskClient
    store: Store


def observe(night: Night) -> None:
    """Write the images of `TILES` tiles; the clock ends a week after the last."""
    images = night.output / "images"
    paint(images / "shared.png", 256, 1)
    for n in range(TILES):
        time_s = FIRST_S + CADENCE_S * (n + (GAP_TILES if n >= FIRST_AFTER_GAP else 0))
        night.at = time_s + 330
        group = night.files(range(16) if n % 10 else range(14), at=time_s)
        if n % 10 == 0:  # files are late until the timeout makes the group pending
            night.at += 3600
            night.store.files.check_timeouts()
        _image(night, group, n, images)
    night.at = FIRST_S + 7 * 86400


def _image(night: Night, group: str, n: int, images: Path) -> None:
    mjd = 40587.0 + (seconds_of(group) + CADENCE_S / 2) / 86400
    ra_deg = (FIRST_RA_DEG + RA_STEP_DEG * (n + (GAP_TILES if n >= FIRST_AFTER_GAP else 0))) % 360
    grade = "bad" if n % 11 == 5 else "suspect" if n % 4 == 1 else "good"
    calibrated = None if grade == "bad" else "3C48_2026-02-22"
    ms = night._measurement_set(group, mjd)
    missing = () if n % 10 else (14, 15)
    products = {
        Stage.CONVERT: replace(ms, ra_deg=ra_deg, missing_subbands=missing),
        Stage.CALIBRATE: CalibratedMS(
            calibrated,
            None if calibrated else "no set is valid",
            0.05 + 0.01 * (n % 7),
            antenna_numbers=_antennas(n),
        ),
        Stage.IMAGE: _tile_image(group, n, images, mjd, ra_deg, grade, calibrated),
    }
    for stage, product in products.items():
        lease = night.claim(group, stage)
        night.at += SECONDS[stage]
        night.store.leases.commit(lease, [product], RunFigures(SECONDS[stage], 1, 1, 1))


def _tile_image(
    group: str, n: int, images: Path, mjd: float, ra_deg: float, grade: str, calibrated: str | None
) -> TileImage:
    fits = images / f"{group}.fits"
    write_fits(fits, n, 32)
    write_fits(fits.with_name(f"{group}.pbcor.fits"), n + 100, 32)
    rms_jy = 0.0021 * (1 + 0.05 * (n % 6)) * (4.5 if grade == "bad" else 1.0)
    return TileImage(
        fits_path=fits, beam_fits_path=None, png_path=images / "shared.png", thumbnail_path=images / "shared.png",
        rms_jy=rms_jy, expected_rms_jy=0.0015, peak_jy=0.4, dynamic_range=0.4 / rms_jy, beam_major_arcsec=19.6,
        beam_minor_arcsec=15.8, beam_angle_deg=-12.0, ra_deg=ra_deg, dec_deg=33.16, mjd=mjd, freq_hz=1.405e9,
        pixels=32, cell_arcsec=200.0, calibration_set=calibrated, calibration_note=None if calibrated else "none",
        verdict=grade, verdict_reasons=() if grade == "good" else (REASON,), unflagged_fraction=0.9,
        missing_subbands=() if n % 10 else (14, 15), catalogue_flux_ratio=0.9 + 0.03 * (n % 7) if calibrated else None,
        catalogue_matches=9,
    )  # fmt: skip


def _antennas(n: int) -> tuple[AntennaNumbers, ...]:
    """Antenna 23 is dead in tiles 3 to 8, 71 crossed from tile 12 on, 38 has no solution for Y, 1 is flagged."""
    states = {("23", letter): AntennaState.DEAD for letter in "XY" if 3 <= n < 9}
    states |= {("71", letter): AntennaState.CROSSED for letter in "XY" if n >= 12}
    states |= {("38", "Y"): AntennaState.UNSOLVED}
    return tuple(
        AntennaNumbers(
            name, letter, states.get((name, letter), AntennaState.GOOD), 0.4 if name == "1" else 0.03,
            "a reason" if (name, letter) in states else None,
        )
        for name in ("1", "23", "38", "71", "103")
        for letter in "XY"
    )  # fmt: skip
