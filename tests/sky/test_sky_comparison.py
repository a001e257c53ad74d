"""Images drawn from a list of sources, with errors of scale, position and depth, against the catalogue of the list."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from contimg.common.errors import Misconfigured
from contimg.sky.catalogue import SURVEY, CatalogueSources, Provenance, write_catalogue
from contimg.sky.comparison.astrometry import PositionOptions, shift_header, with_shift
from contimg.sky.comparison.compare import compare_sources
from contimg.sky.comparison.matching import Measurements, find_blended, match_sources
from contimg.sky.comparison.result import SkyComparison
from contimg.sky.comparison.statistics import compute_weighted_median
from contimg.tile.image.sources.forced import compare_fits, compare_image

SIDE, CELL_DEG = 900, 8 / 3600
MAJOR_DEG, MINOR_DEG, ANGLE_DEG = 44 / 3600, 30 / 3600, 25.0
FREQUENCY_HZ, CATALOGUE_HZ, INDEX = 1.405e9, 3.0e9, -0.8
RMS_JY = 0.0005
CENTRES = {"ordinary": (150.0, 37.0), "RA 0h": (359.9, 16.0), "pole": (80.0, 89.7)}


class Field:
    """Sources on a jittered lattice, so that most are isolated, and the image that shows them."""

    def __init__(self, centre: tuple[float, float], seed: int = 4) -> None:
        rng = np.random.default_rng(seed)
        steps = np.linspace(-0.85, 0.85, 15)
        east, north = (values.ravel() + rng.uniform(-0.02, 0.02, 225) for values in np.meshgrid(steps, steps))
        middle = SkyCoord(*centre, unit="deg")
        angle, radius = np.arctan2(east, north) * units.rad, np.hypot(east, north) * units.deg
        self.sky = middle.directional_offset_by(angle, radius)
        self.flux_jy = 0.002 * (400.0 ** rng.random(225))  # 2 to 800 mJy
        self.header = fits.Header()
        axes = (("RA---SIN", centre[0], -CELL_DEG), ("DEC--SIN", centre[1], CELL_DEG))
        for axis, (kind, value, step) in enumerate(axes, 1):
            self.header.update({f"CTYPE{axis}": kind, f"CRVAL{axis}": value, f"CDELT{axis}": step})
            self.header.update({f"CRPIX{axis}": SIDE // 2 + 1.0, f"CUNIT{axis}": "deg"})
        self.header.update({"CTYPE3": "FREQ", "CRVAL3": FREQUENCY_HZ, "CDELT3": 1.0, "CRPIX3": 1.0, "NAXIS": 3})
        self.header.update({"BMAJ": MAJOR_DEG, "BMIN": MINOR_DEG, "BPA": ANGLE_DEG, "RADESYS": "ICRS"})
        noise = gaussian_filter(rng.standard_normal((SIDE, SIDE)), MINOR_DEG / CELL_DEG / 2.355)
        self.noise = RMS_JY * noise / noise.std()
        y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
        self.pb = np.exp(-4 * np.log(2) * (np.hypot(x, y) * CELL_DEG / 2.7) ** 2)

    def draw(self, scale: float = 1.0, east_arcsec: float = 0.0, north_arcsec: float = 0.0) -> NDArray[np.float64]:
        """The apparent image with fluxes times a scale and everything shifted."""
        image = self.noise.copy()
        x0, y0 = WCS(self.header).celestial.world_to_pixel(self.sky)
        x0, y0 = x0 - east_arcsec / 3600 / CELL_DEG, y0 + north_arcsec / 3600 / CELL_DEG
        turn = np.deg2rad(ANGLE_DEG)
        for x, y, flux in zip(x0, y0, self.flux_jy, strict=True):
            left, low = int(x) - 20, int(y) - 20
            box = slice(max(0, low), min(SIDE, low + 41)), slice(max(0, left), min(SIDE, left + 41))
            rows, columns = np.mgrid[box]
            west, north = (columns - x) * CELL_DEG, (rows - y) * CELL_DEG
            along, across = north * np.cos(turn) - west * np.sin(turn), north * np.sin(turn) + west * np.cos(turn)
            response = np.exp(-4 * np.log(2) * ((along / MAJOR_DEG) ** 2 + (across / MINOR_DEG) ** 2))
            image[box] += scale * flux * self.pb[round(y), round(x)] * response
        return image

    def sources(self, **changes: object) -> CatalogueSources:
        """The list as a survey at another frequency has it."""
        names = [f"s{number}" for number in range(225)]
        flux_jy = self.flux_jy * (CATALOGUE_HZ / FREQUENCY_HZ) ** INDEX
        columns = {"spectral_index": INDEX, "position_error_deg": 0.2 / 3600, "flux_error_jy": 0.01 * flux_jy}
        return CatalogueSources.of(
            CATALOGUE_HZ, names, self.sky.ra.deg, self.sky.dec.deg, flux_jy, **{**columns, **changes}
        )  # fmt: skip

    def write(self, path, **changes: object):
        provenance = Provenance(
            name=path.stem, kind=SURVEY, frequency_hz=CATALOGUE_HZ, beam_deg=15 / 3600, flux_limit_jy=0.001
        )
        return write_catalogue(path, self.sources(**changes), provenance).path


@pytest.fixture(scope="module", params=CENTRES)
def field(request) -> Field:
    return Field(CENTRES[request.param])


@pytest.fixture(scope="module")
def catalogue(field, tmp_path_factory):
    return field.write(tmp_path_factory.mktemp("sky") / "list.catalogue")


@pytest.mark.parametrize("scale", [0.95, 1.0, 1.05])
def test_scale_error_is_measured(field, catalogue, scale):
    result, matched = compare_image(field.draw(scale), field.pb, field.header, catalogue)
    assert result.catalogue_matches >= 60
    assert result.catalogue_flux_ratio == pytest.approx(scale, abs=0.01)
    assert 0 < result.catalogue_flux_error < 0.01
    assert abs(result.catalogue_flux_ratio - scale) < 4 * result.catalogue_flux_error
    assert result.catalogue_offset_arcsec < 0.3
    for row in (*result.catalogue_flux_by_snr, *result.catalogue_flux_by_radius):
        assert row["flux_ratio"] == pytest.approx(scale, abs=max(0.03, 4 * row["error"])), row
    assert result.catalogue_completeness == 1.0
    assert matched.is_compared.sum() == result.catalogue_matches


@pytest.mark.parametrize(("east", "north"), [(2.0, 0.0), (-1.2, 1.6)])
def test_offset_is_measured_and_corrected_once(field, catalogue, east, north):
    image, header = field.draw(1.0, east, north), field.header.copy()
    result, _ = compare_image(image, field.pb, header, catalogue)
    measured = result.catalogue_offset_east_arcsec, result.catalogue_offset_north_arcsec
    assert measured == pytest.approx((east, north), abs=0.3)
    assert result.catalogue_offset_error_arcsec < 0.2
    shifted = with_shift(result, MINOR_DEG * 3600, PositionOptions())
    assert (shifted.shift_east_arcsec, shifted.shift_north_arcsec) == pytest.approx((-east, -north), abs=0.3)
    assert shift_header(header, shifted.shift_east_arcsec, shifted.shift_north_arcsec)
    again, _ = compare_image(image, field.pb, header, catalogue)
    assert again.catalogue_offset_arcsec < 0.05
    before = header.copy()
    assert not shift_header(header, 5.0, 5.0)
    assert header == before
    assert with_shift(again, MINOR_DEG * 3600, PositionOptions()) == again
    assert [row["offset_east_arcsec"] for row in result.catalogue_offset_field] == pytest.approx([east] * 9, abs=0.8)


def test_faint_sources_of_a_shallow_catalogue_do_not_bias():
    """Near its limit a catalogue holds sources that errors made too bright; they are left out."""
    rng = np.random.default_rng(3)
    true_jy = 0.003 / rng.random(4000)
    listed_jy, error_jy = true_jy + rng.normal(0, 0.002, 4000), np.full(4000, 0.002)
    is_listed = listed_jy > 0.005
    assert np.median(true_jy[is_listed] / listed_jy[is_listed]) < 0.97
    ra_deg, dec_deg = rng.uniform(0, 40, 4000), rng.uniform(0, 40, 4000)
    sources = CatalogueSources.of(
        FREQUENCY_HZ, ["s"] * 4000, ra_deg, dec_deg, listed_jy, flux_error_jy=error_jy, is_isolated=True
    )[is_listed]
    zero = np.zeros(is_listed.sum())
    measured = Measurements(
        true_jy[is_listed], zero + 1e-4, zero + 1, zero, zero, ra_deg[is_listed], dec_deg[is_listed]
    )
    matched = match_sources(measured, sources, FREQUENCY_HZ, 0.005, (40.0, 30.0))
    assert compare_sources(matched, "shallow").catalogue_flux_ratio == pytest.approx(1, abs=0.01)


def test_missing_sources_lower_completeness(field, catalogue):
    chosen = field.flux_jy > 0.05
    missing = Field((0.0, 0.0))
    missing.__dict__.update(field.__dict__)
    missing.flux_jy = np.where(chosen & (np.arange(225) % 2 == 0), 0.0, field.flux_jy)
    result, _ = compare_image(missing.draw(), field.pb, field.header, catalogue)
    kept = (missing.flux_jy > 0)[chosen].mean()
    assert result.catalogue_completeness < 0.95
    bright = next(row for row in result.catalogue_completeness_by_flux if row["flux_jy"] == 0.05)
    assert bright["detected"] == pytest.approx(kept, abs=0.1)


def test_primary_beam_error_shows_outside(field, catalogue):
    wrong = field.pb**0.8
    result, _ = compare_image(field.draw(), wrong, field.header, catalogue)
    ratios = [row["flux_ratio"] for row in result.catalogue_flux_by_radius]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 0.93


def test_rotation_shows_in_the_field_of_offsets(field, catalogue):
    turned = field.header.copy()
    angle = np.deg2rad(5 / 3600 / 0.85 * 57.3)  # 5 arcsec at the edge
    turned.update({"PC1_1": np.cos(angle), "PC1_2": np.sin(angle), "PC2_1": -np.sin(angle), "PC2_2": np.cos(angle)})
    result, _ = compare_image(field.draw(), field.pb, turned, catalogue)
    assert result.catalogue_offset_arcsec < 0.5
    assert 1.5 < result.catalogue_distortion_arcsec < 6


def test_blank_image_is_not_compared(field, catalogue):
    result, _ = compare_image(np.full((SIDE, SIDE), np.nan), field.pb, field.header, catalogue)
    assert (result.catalogue_matches, result.catalogue_flux_ratio) == (0, None)


def test_fits_file_without_primary_beam_has_true_fluxes(tmp_path):
    field = Field(CENTRES["RA 0h"])
    path = tmp_path / "mosaic.fits"
    fits.writeto(path, (field.draw(1.05) / field.pb).astype(np.float32)[None], field.header)
    reference = field.write(tmp_path / "list.catalogue")
    result, _ = compare_fits(path, reference)
    assert result.catalogue_flux_ratio == pytest.approx(1.05, abs=0.01)
    with_map, _ = compare_fits(path, reference, rms_map=RMS_JY / field.pb)
    assert with_map.catalogue_matches >= result.catalogue_matches * 0.8
    with pytest.raises(Misconfigured):
        compare_fits(path, tmp_path / "absent.catalogue")


def test_small_offset_is_not_corrected():
    measured = SkyComparison(
        catalogue_matches=40, catalogue_offset_arcsec=5.0, catalogue_offset_east_arcsec=3.0,
        catalogue_offset_north_arcsec=4.0, catalogue_offset_error_arcsec=0.5,
    )  # fmt: skip
    assert with_shift(measured, 30.0, PositionOptions()).shift_north_arcsec == -4.0
    for change in (
        {"catalogue_offset_error_arcsec": 1.2},
        {"catalogue_matches": 19},
        {"catalogue_offset_arcsec": None},
    ):
        assert with_shift(replace(measured, **change), 30.0, PositionOptions()).shift_east_arcsec is None
    for options in (PositionOptions(correct_beams=0.3), PositionOptions(correct_positions=False)):
        assert with_shift(measured, 30.0, options).shift_east_arcsec is None


def test_neighbours_within_the_image_beam_are_blended():
    arcsec = 1 / 3600
    ra = np.array([0.0, 40 * arcsec, 10.0, 359.99999, 20.0, 20.0 + 80 * arcsec])
    flux = np.array([1.0, 0.5, 1.0, 0.001, 1.0, 0.2])
    assert find_blended(ra, np.zeros(6), flux, 45 * arcsec).tolist() == [True, True, False, True, False, True]


def test_weighted_median_has_the_scatter_of_repeats():
    rng = np.random.default_rng(1)
    errors = rng.uniform(0.5, 3.0, 60)
    results = np.array(
        [compute_weighted_median(2 + 1.5 * errors * rng.standard_normal(60), errors) for _ in range(800)]
    )
    assert results[:, 0].mean() == pytest.approx(2, abs=0.03)
    assert results[:, 1].mean() == pytest.approx(results[:, 0].std(), rel=0.12)
    assert compute_weighted_median([1.0, 1.0, 1.0, 9.0, 1.0], np.ones(5))[0] == pytest.approx(1.0)
