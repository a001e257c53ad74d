"""Tiles six hours after the transit, on simulated nights whose gains drift: fluxes, positions and noise by default."""

from dataclasses import dataclass
from functools import cache, partial

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
WALK = {"phase_walk_deg": 10.0, "amplitude_walk": 0.05}
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

    def observe(seed, *, has_sky_gains=True, catalogue_factor=1.0, field_factors=None, **errors):
        scratch = tmp_path_factory.mktemp("night")
        options = SimulateOptions(groups=2, gap=69, antennas=24, channels=48, sources=8, seed=seed, **errors)
        tiles = list(simulate(options, scratch / "raw"))
        paths = [convert(tile.files, scratch / f"{tile.plan.group}.ms", ConvertOptions()).path for tile in tiles]
        target = tiles[1].plan.sources
        factors = dict(zip([source.name for source in target], field_factors or [1.0] * len(target), strict=True))
        catalogue = {source.name: source for tile in tiles for source in tile.plan.sources}.values()
        path = scratch / "sky.catalogue"
        positions = [np.array([getattr(source, name) for source in catalogue]) for name in ("ra_deg", "dec_deg")]
        flux_jy = [
            catalogue_factor * factors.get(source.name, 1.0) * float(source.flux_jy(BAND.centre_hz))
            for source in catalogue
        ]
        columns = CatalogueSources.of(BAND.centre_hz, [source.name for source in catalogue], *positions, flux_jy)
        write_catalogue(path, columns, Provenance(
            name="sky", kind=SIMULATED, frequency_hz=BAND.centre_hz, beam_deg=0.005, flux_limit_jy=0.001,
        ))  # fmt: skip
        chosen = CalibrateOptions(flag=False, catalogue=str(path), sky_gains=has_sky_gains)
        transit = calibrate(paths[0], [], scratch / "calibration", chosen).new_set
        assert isinstance(transit, CaltableSet)
        assert transit.quality["catalogue_flux_ratio"] == pytest.approx(catalogue_factor, rel=1e-3)
        done = calibrate(paths[1], [transit], scratch / "calibration", chosen)
        picture = image(paths[1], scratch / "images", PICTURED)
        ratios, offsets = [], []
        for source in target:
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
    """Observe a night without errors, by the caltable set alone."""
    return cache(partial(night, has_sky_gains=False))


def check_targets(tile, still):
    """Check the limits of tiles six hours from the transit."""
    assert tile.calibration_class == CalibrationClass.SKY_MODEL
    assert tile.flux_ratio == pytest.approx(still.flux_ratio, rel=0.02)
    assert tile.offset_beams < 0.1
    assert tile.rms_jy < 1.2 * still.rms_jy


def test_linear_drift(night, quiet):
    """Without the gains from the sky 0.68 of the flux is left, at 1.8 times the noise."""
    check_targets(night(202, phase_drift_deg_per_hour=5.0), quiet(202))


@pytest.mark.parametrize("seed", [203, 205])
def test_random_walk(night, quiet, seed):
    """The mean amplitude walks too, here by 1 and 6 % of the flux, and is taken from the catalogue."""
    check_targets(night(seed, **WALK), quiet(seed))


def test_catalogue_wrong_everywhere_keeps_the_flux_scale(night, quiet):
    """Every flux of the catalogue is wrong by 30 %: the set has measured it on the calibrator."""
    check_targets(night(205, catalogue_factor=1.3, **WALK), quiet(205))


def test_field_wrong_in_the_catalogue_keeps_the_flux_scale(night, quiet):
    """The fluxes of the field are wrong by 30 %, the calibrator's is right."""
    tile = night(202, field_factors=[1.3] * 8, phase_drift_deg_per_hour=5.0)
    check_targets(tile, quiet(202))


def test_nothing_gets_worse_without_drift(night, quiet):
    tile = night(202)
    assert tile.flux_ratio == pytest.approx(quiet(202).flux_ratio, rel=0.01)
    assert tile.rms_jy < 1.01 * quiet(202).rms_jy
