"""Twelve tiles of one declination, across right ascension 0h, through broker, producer and workers to one mosaic.

Small: 16 antennas, 48 channels, images of 720² pixels of 10″ with a taper of 40″, sources of the counts down to
10 mJy besides bright ones. The noise of a tile is 2.5 mJy, its beam 84″ x 43″. Therefore the limits are wider than at
full size (`make bench-mosaic`): fluxes 2 % in the median and 3 % rms beyond the noise, seams 2 %, noise 15 % above the
prediction.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from observed_days import Observatory, draw_sources, read_truth

from contimg.epoch.photometry.image import read_restored_image
from contimg.epoch.photometry.options import MeasureOptions
from contimg.epoch.photometry.positions import Positions
from contimg.epoch.photometry.run import measure_image
from contimg.simulation.variables import write_variables
from contimg.sky.comparison.statistics import MAD_TO_SIGMA
from contimg.store import EpochRecord, State, StoredMosaic

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
DATE, TILES = "2026-02-22", 12
GAP = 253  # tiles to local sidereal time 23h30, which the twelve fill up to 0h30
WINDOW = "L2330"
SNR = 20
CENTRE_HZ = 1.405e9


class Strip:
    """The strip that was observed.

    Attributes
    ----------
    observatory : stopped at the end.
    groups : of the target tiles.
    mosaic : of the window that has all of them.
    """

    def __init__(self, observatory: Observatory) -> None:
        tiles = observatory.plan(DATE)
        sources = draw_sources(tiles, 40, 0.1, 0.6, seed=7)
        write_variables(observatory.variables, {source.name: [1.0] for source in sources}, [61093.0], sources)
        self.observatory = observatory
        groups = observatory.simulate(DATE, "--sky", "counts", "--faintest-mjy", "10", "--radius-deg", "2.0")
        self.groups = groups[1:]
        observatory.install_catalogue(sources)
        observatory.start()
        observatory.deliver_with_calibrator(DATE, groups)
        observatory.wait_for_images(groups)
        observatory.wait_for_epochs()
        (epoch,) = [epoch for epoch in self.epochs if WINDOW in epoch.id]
        mosaic = observatory.store.mosaics.mosaic_of(epoch.job_id)
        assert mosaic is not None
        self.mosaic: StoredMosaic = mosaic

    @property
    def epochs(self) -> tuple[EpochRecord, ...]:
        return self.observatory.store.epochs.list_epochs(100).epochs

    @property
    def truth(self) -> dict[str, dict[str, float]]:
        """Sources of all target tiles by name."""
        directory = self.observatory.deployment.root / "telescope" / DATE / "truth"
        sources: dict[str, dict[str, float]] = {}
        for group in self.groups:
            sources |= read_truth(directory / f"{group}.csv")
        return sources


@pytest.fixture(scope="module")
def strip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strip]:
    observatory = Observatory(tmp_path_factory.mktemp("strip") / "strip", GAP, TILES)
    try:
        yield Strip(observatory)
    finally:
        observatory.close()


def test_one_mosaic_has_all_tiles(strip: Strip) -> None:
    assert len(strip.groups) == TILES
    assert {member.fits_path.stem for member in strip.mosaic.members} == set(strip.groups)
    tile_counts = {epoch.id.split("_")[1]: epoch.tile_count for epoch in strip.epochs if epoch.state is State.COMPLETED}
    assert tile_counts == {"L2300": 6, WINDOW: TILES, "L0000": 6}
    assert strip.mosaic.verdict == "good", strip.mosaic.verdict_reasons


def test_mosaic_across_zero_hours_is_of_minimal_size(strip: Strip) -> None:
    """The image is as wide as the strip and the data of its first and last tile."""
    mosaic = strip.mosaic
    tile_deg = next(image.pixels * image.cell_arcsec / 3600 for image in strip.observatory.store.products.images(1))
    first, last = (SkyCoord(member.ra_deg, member.dec_deg, unit="deg")
                   for member in sorted(mosaic.members, key=lambda member: member.mjd)[:: TILES - 1])  # fmt: skip
    assert first.ra.deg > 340
    assert last.ra.deg < 20
    width_deg, height_deg = (
        pixels * mosaic.cell_arcsec / 3600 for pixels in (mosaic.width_pixels, mosaic.height_pixels)
    )
    assert width_deg < first.separation(last).deg + 1.1 * tile_deg
    assert height_deg < 1.3 * tile_deg
    with fits.open(mosaic.fits_path) as file:
        is_valid = np.isfinite(file[0].data.squeeze())
    for axis in (0, 1):
        filled = np.flatnonzero(is_valid.any(axis=axis))
        assert filled[0] <= 2
        assert filled[-1] >= is_valid.shape[1 - axis] - 3


def select_points(truth: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Point sources without another one within two beams."""
    ra_deg, dec_deg = (np.array([source[axis] for source in truth.values()]) for axis in ("ra_deg", "dec_deg"))
    sky = SkyCoord(ra_deg, dec_deg, unit="deg")
    _, distance, _ = sky.match_to_catalog_sky(sky, nthneighbor=2)
    return {
        name: source
        for (name, source), away in zip(truth.items(), distance.arcsec, strict=True)
        if away > 170 and source["major_arcsec"] == 0
    }


def test_fluxes_and_positions_are_the_injected_ones(strip: Strip) -> None:
    mosaic, points = strip.mosaic, select_points(strip.truth)
    ra_deg, dec_deg, flux_jy, index = (
        np.array([source[key] for source in points.values()])
        for key in ("ra_deg", "dec_deg", "flux_jy", "spectral_index")
    )
    image = read_restored_image(mosaic.fits_path)
    photometry = measure_image(image, Positions.of(ra_deg, dec_deg, list(points)), MeasureOptions(), inside_only=True)
    row_of = {name: row for row, name in enumerate(points)}
    rows = np.array([row_of[name] for name in photometry.source_id.tolist()])
    flux_jy, index = flux_jy[rows], index[rows]
    with fits.open(mosaic.weight_fits_path) as file:
        weight, wcs = file[0].data.squeeze() / mosaic.peak_weight, WCS(file[0].header).celestial
    column, row = (np.rint(axis).astype(int) for axis in wcs.wcs_world2pix(photometry.ra_deg, photometry.dec_deg, 0))
    is_bright = (weight[row, column] > 0.1) & (flux_jy > SNR * photometry.flux_error_jy) & photometry.is_usable
    ratio = (photometry.flux_jy / (flux_jy * (photometry.freq_hz / CENTRE_HZ) ** index))[is_bright]
    noise = np.median((photometry.flux_error_jy / flux_jy)[is_bright])
    scatter = np.sqrt(max(0.0, (MAD_TO_SIGMA * np.median(np.abs(ratio - np.median(ratio)))) ** 2 - noise**2))
    assert ratio.size > 30
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    assert scatter < 0.03
    assert mosaic.position_scatter_beams < 0.1
    assert mosaic.flux_seam < 0.02


def test_noise_is_predicted_and_below_that_of_a_tile(strip: Strip) -> None:
    """The images end at 1 degree, so half of the mosaic is of two tiles: its noise is not 1.5 times lower."""
    mosaic = strip.mosaic
    tile_rms_jy = np.median([member.rms_jy for member in mosaic.members])
    assert 0.9 < mosaic.rms_jy / mosaic.expected_rms_jy < 1.15
    assert tile_rms_jy / mosaic.rms_jy > 1.1
