"""Tiles six hours after the transit, on simulated nights whose gains drift: fluxes, positions and noise by default."""

from dataclasses import dataclass

import numpy as np
import pytest

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.instrument.dsa110 import BAND
from contimg.quality.calibration import CalibrationClass
from contimg.simulation import SimulateOptions, simulate
from contimg.sky.catalogue import SIMULATED, CatalogueSources, Provenance, write_catalogue
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.convert import ConvertOptions, convert
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.sources.photometry import measure_source

PICTURED = ImageOptions(size=1200, pixel_arcsec=6.0, padding=1.1, changing_sky=False)
pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class Night:
    """Flux over the truth, offset in beams and noise of a tile, and what calibrated it."""

    flux_ratio: float
    offset_beams: float
    rms_jy: float
    calibration_class: str | None


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Simulate a transit and a tile six hours after it, with these errors; calibrate and image the second."""

    def observe(*, has_catalogue=True, catalogue_factor=1.0, **errors):
        scratch = tmp_path_factory.mktemp("night")
        options = SimulateOptions(groups=2, gap=69, antennas=24, channels=48, sources=8, **errors)
        tiles = list(simulate(options, scratch / "raw"))
        paths = [convert(tile.files, scratch / f"{tile.plan.group}.ms", ConvertOptions()).path for tile in tiles]
        flags = {"flag": False}
        transit = calibrate(paths[0], [], scratch / "calibration", CalibrateOptions(**flags)).new_set
        assert isinstance(transit, CaltableSet)
        sources = tiles[1].plan.sources
        path = scratch / "sky.catalogue"
        positions = [np.array([getattr(source, name) for source in sources]) for name in ("ra_deg", "dec_deg")]
        flux_jy = [catalogue_factor * float(source.flux_jy(BAND.centre_hz)) for source in sources]
        columns = CatalogueSources.of(BAND.centre_hz, [source.name for source in sources], *positions, flux_jy)
        write_catalogue(path, columns, Provenance(
            name="sky", kind=SIMULATED, frequency_hz=BAND.centre_hz, beam_deg=0.005, flux_limit_jy=0.001,
        ))  # fmt: skip
        chosen = CalibrateOptions(**flags, catalogue=str(path), sky_gains=has_catalogue)
        done = calibrate(paths[1], [transit], scratch / "calibration", chosen)
        picture = image(paths[1], scratch / "images", PICTURED)
        ratios, offsets = [], []
        for source in sources:
            measured = measure_source(picture.fits_path, source.ra_deg, source.dec_deg)
            true_jy = float(source.flux_jy(picture.freq_hz))
            if measured.apparent_jy > 30 * picture.rms_jy:
                ratios.append(measured.flux_jy / true_jy)
                east = (measured.ra_deg - source.ra_deg) * np.cos(np.deg2rad(source.dec_deg))
                offsets.append(3600 * np.hypot(east, measured.dec_deg - source.dec_deg) / picture.beam_minor_arcsec)
        assert len(ratios) >= 4
        return Night(float(np.median(ratios)), float(np.median(offsets)), picture.rms_jy, done.calibration_class)

    return observe


@pytest.fixture(scope="module")
def quiet(night):
    """A night without errors, by the caltable set alone."""
    return night(has_catalogue=False)


def test_linear_drift(night, quiet):
    """Without the gains from the sky 0.63 of the flux is left, at 3.4 times the noise."""
    tile = night(phase_drift_deg_per_hour=5.0)
    assert tile.calibration_class == CalibrationClass.SKY_MODEL
    assert tile.flux_ratio == pytest.approx(quiet.flux_ratio, rel=0.02)
    assert tile.offset_beams < 0.1
    assert tile.rms_jy < 1.2 * quiet.rms_jy


def test_random_walk(night, quiet):
    """The mean amplitude walks too, here by 4.1 % of the flux, and is taken from the catalogue."""
    tile = night(phase_walk_deg=10.0, amplitude_walk=0.05)
    assert tile.calibration_class == CalibrationClass.SKY_MODEL
    assert tile.flux_ratio == pytest.approx(quiet.flux_ratio, rel=0.02)
    assert tile.offset_beams < 0.1
    assert tile.rms_jy < 1.2 * quiet.rms_jy


def test_wrong_catalogue_keeps_the_flux_scale(night, quiet):
    """Every flux of the catalogue is wrong by 30 %."""
    tile = night(catalogue_factor=1.3, phase_drift_deg_per_hour=5.0)
    assert tile.calibration_class == CalibrationClass.SKY_MODEL
    assert tile.flux_ratio == pytest.approx(quiet.flux_ratio, rel=0.02)


def test_nothing_gets_worse_without_drift(night, quiet):
    tile = night()
    assert tile.flux_ratio == pytest.approx(quiet.flux_ratio, rel=0.01)
    assert tile.rms_jy < 1.01 * quiet.rms_jy
