"""Small simulated tiles of the sky of counts: errors of scale and position against the simulator's catalogue."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from contimg.quality.comparison import describe_comparison
from contimg.simulation import SimulateOptions, plan_tiles, simulate_tile
from contimg.simulation.catalogue import write_sky_catalogue
from contimg.sky.catalogue import open_catalogue, write_catalogue
from contimg.sky.catalogue.catalogue import Provenance
from contimg.tile.convert import ConvertOptions, convert
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.sources.forced import compare_fits

pytestmark = pytest.mark.long
SCALE, EAST_ARCSEC, NORTH_ARCSEC = 1.05, 1.2, -1.6  # of the image against the catalogue; 2 arcsec in all
OPTIONS = ImageOptions(size=1400, pixel_arcsec=5.0)
# Offset of the declination from 3C48's, and the number of tiles after its transit.
TILES = {"+16": (-17.0, 8), "RA 0h": (3.0, 259), "near the pole": (49.9, 30)}


def write_wrong_catalogue(path: Path, true: Path) -> Path:
    """Write the simulator's catalogue with fluxes that are too low and positions that are off."""
    catalogue = open_catalogue(true)
    (sources,) = catalogue.batches(100_000)
    ra_deg = sources.ra_deg - EAST_ARCSEC / 3600 / np.cos(np.deg2rad(sources.dec_deg))
    wrong = replace(
        sources, flux_jy=sources.flux_jy / SCALE, ra_deg=ra_deg, dec_deg=sources.dec_deg - NORTH_ARCSEC / 3600,
        is_confused=np.zeros(len(sources), dtype=bool),
    )  # fmt: skip
    provenance = Provenance(
        name="wrong", kind=catalogue.kind, frequency_hz=catalogue.frequency_hz, beam_deg=catalogue.beam_deg,
        flux_limit_jy=catalogue.flux_limit_jy,
    )  # fmt: skip
    return write_catalogue(path, wrong, provenance).path


@pytest.mark.parametrize("name", list(TILES))
def test_errors_of_scale_and_position_are_measured(tmp_path: Path, name: str) -> None:
    offset_deg, gap = TILES[name]
    options = SimulateOptions(
        groups=2, gap=gap, antennas=36, channels=96, sky="counts", faintest_mjy=5.0, sources=0, corrupt=False,
        declination_offset_deg=offset_deg,
    )  # fmt: skip
    plan = plan_tiles(options)[1]
    tile = simulate_tile(plan, options, tmp_path)
    convert(tile.files, tmp_path / "tile.ms", ConvertOptions())
    true = write_sky_catalogue(tmp_path / "sky.catalogue", [plan], options).path
    wrong = write_wrong_catalogue(tmp_path / "wrong.catalogue", true)
    result = image(tmp_path / "tile.ms", tmp_path / "images", OPTIONS, reference_catalogue=wrong)
    assert result.catalogue_matches >= 20
    assert result.catalogue_flux_ratio == pytest.approx(SCALE, abs=0.01)
    measured = result.catalogue_offset_east_arcsec, result.catalogue_offset_north_arcsec
    assert measured == pytest.approx((EAST_ARCSEC, NORTH_ARCSEC), abs=0.3)
    assert result.catalogue_completeness > 0.9
    assert (result.shift_east_arcsec, result.shift_north_arcsec) == pytest.approx((-measured[0], -measured[1]))
    assert fits.getheader(result.fits_path)["ASTSHFTE"] == pytest.approx(-EAST_ARCSEC, abs=0.3)
    assert describe_comparison(result) == "wrong (simulated)"
    corrected, _ = compare_fits(result.fits_path, wrong)
    assert corrected.catalogue_offset_arcsec < 0.1
    # Against the true catalogue the scale is right, and the shift that was wrong shows.
    against_truth, _ = compare_fits(result.fits_path, true)
    assert against_truth.catalogue_flux_ratio == pytest.approx(1.0, abs=0.01)
    assert against_truth.catalogue_offset_arcsec == pytest.approx(2.0, abs=0.3)
