"""Fluxes at fixed positions against injected ones: bias, errors, blends, edges, the sphere."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from sky_images import BEAM, RMS_JY, SkyImage, scattered_pixels

from contimg.epoch.photometry.options import MeasureOptions
from contimg.epoch.photometry.positions import Positions
from contimg.epoch.photometry.products import MeasurementFlag, Photometry
from contimg.epoch.photometry.run import measure_fluxes

SNR = (0, 3, 10, 30, 100)


def measure(sky: SkyImage, path: Path, pixels: np.ndarray, options: MeasureOptions | None = None) -> Photometry:
    ra_deg, dec_deg = sky.wcs.wcs_pix2world(np.atleast_2d(pixels), 0).T
    return measure_fluxes(path, Positions.of(ra_deg, dec_deg), options)


@pytest.fixture(scope="module")
def injected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Photometry, np.ndarray]:
    """Fluxes at 2,000 positions, and the true ones over the noise."""
    sky = SkyImage(shape=(1200, 2000))
    pixels = scattered_pixels(sky.shape, 34)
    snr = np.resize(SNR, len(pixels)).astype(float)
    image = sky.noise() + sky.sources(pixels, snr * RMS_JY)
    path = sky.write(tmp_path_factory.mktemp("fluxes") / "sky.fits", image)
    return measure(sky, path, pixels), snr


@pytest.mark.parametrize("level", SNR)
def test_fluxes_are_unbiased(injected: tuple[Photometry, np.ndarray], level: int) -> None:
    photometry, snr = injected
    excess_jy = (photometry.flux_jy - level * RMS_JY)[snr == level]
    uncertainty_jy = excess_jy.std() / np.sqrt(excess_jy.size)
    limit_jy = 0.01 * level * RMS_JY if level >= 10 else 0.1 * np.median(photometry.flux_error_jy)
    assert uncertainty_jy < 0.7 * limit_jy, "enough sources to see such a bias"
    assert abs(excess_jy.mean()) < limit_jy


def test_pulls_have_unit_width(injected: tuple[Photometry, np.ndarray]) -> None:
    photometry, snr = injected
    pulls = (photometry.flux_jy - snr * RMS_JY) / photometry.flux_error_jy
    assert pulls.std() == pytest.approx(1, abs=0.1)
    for level in (0, 100):
        assert pulls[snr == level].std() == pytest.approx(1, abs=0.12)


def test_detections_and_limits(injected: tuple[Photometry, np.ndarray]) -> None:
    photometry, snr = injected
    assert photometry.is_detected[snr >= 10].all()
    assert photometry.is_detected[snr == 0].mean() < 0.01
    assert photometry.limit_jy == pytest.approx(3 * photometry.flux_error_jy)
    assert (photometry.mjd, photometry.freq_hz) == (pytest.approx(61093.1 + 309 / 2 / 86400), 1.405e9)
    assert photometry.is_usable.all()
    assert (photometry.blend_group == -1).all()


@pytest.mark.parametrize("separation", [1.0, 0.7])
def test_pairs_are_fitted_together(tmp_path: Path, separation: float) -> None:
    """Pairs at a part of a beam along either axis and of 1:3 in flux."""
    sky = SkyImage(shape=(700, 1000))
    first = scattered_pixels(sky.shape, 50)
    angle = np.deg2rad(BEAM[2] + 90 * (np.arange(len(first)) % 2))
    width = np.where(np.arange(len(first)) % 2, BEAM[1], BEAM[0]) / sky.cell_arcsec
    second = first + separation * (width * np.stack([-np.sin(angle), np.cos(angle)])).T
    faint_jy, bright_jy = 60 * RMS_JY, 180 * RMS_JY
    pixels = np.concatenate([first, second])
    flux_jy = np.repeat([bright_jy, faint_jy], len(first))
    path = sky.write(tmp_path / "pairs.fits", sky.noise() + sky.sources(pixels, flux_jy))
    photometry = measure(sky, path, pixels)
    ratio = photometry.flux_jy / flux_jy
    assert np.bincount(photometry.blend_group).tolist() == [2] * len(first)
    assert ((photometry.flags & MeasurementFlag.BLENDED) != 0).all()
    pulls = (photometry.flux_jy - flux_jy) / photometry.flux_error_jy
    assert pulls.std() == pytest.approx(1, abs=0.12)
    assert np.abs(ratio[: len(first)] - 1).max() < 0.05
    assert abs(np.median(ratio[len(first) :]) - 1) < 0.01
    assert np.abs(ratio[len(first) :] - 1).std() < 0.05


def test_same_position_twice_has_the_whole_flux(tmp_path: Path) -> None:
    sky = SkyImage()
    pixels = np.array([[300.2, 200.4], [300.3, 200.3], [100.0, 400.0]])
    flux_jy = np.array([0.1, 0.0, 0.05])
    path = sky.write(tmp_path / "twice.fits", sky.noise() + sky.sources(pixels, flux_jy))
    photometry = measure(sky, path, pixels)
    assert photometry.flux_jy == pytest.approx([0.1, 0.1, 0.05], abs=8e-4)
    assert photometry.blend_group.tolist() == [0, 0, -1]


@pytest.mark.long
def test_large_groups_are_fitted_in_parts(tmp_path: Path) -> None:
    """A lattice of 400 positions, each within 1.5 beams of the next."""
    sky = SkyImage()
    steps = 100 + 5.0 * np.arange(20)
    pixels = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    flux_jy = np.random.default_rng(2).uniform(0.05, 0.1, len(pixels))
    path = sky.write(tmp_path / "lattice.fits", sky.noise() + sky.sources(pixels, flux_jy))
    photometry = measure(sky, path, pixels)
    assert photometry.flux_jy == pytest.approx(flux_jy, rel=0.05)
    assert set(photometry.blend_group) == {0}


@pytest.mark.parametrize(
    ("centre_deg", "projection"),
    [((0.0, 16.0), "ZEA"), ((0.0, 16.0), "SIN"), ((77.0, 89.95), "SIN"), ((0.0, 0.0), "CAR")],
)
def test_sphere_has_no_border(tmp_path: Path, centre_deg: tuple[float, float], projection: str) -> None:
    """Sources around right ascension 0h and the pole; a position on the other side of the sky is outside."""
    sky = SkyImage(centre_deg=centre_deg, projection=projection)
    pixels = scattered_pixels(sky.shape, 150)
    flux_jy = np.linspace(0.02, 0.1, len(pixels))
    path = sky.write(tmp_path / "border.fits", sky.noise() + sky.sources(pixels, flux_jy))
    ra_deg, dec_deg = sky.wcs.wcs_pix2world(pixels, 0).T
    assert np.ptp(ra_deg % 360) > 180
    antipode = (centre_deg[0] + 180.0, -centre_deg[1])
    positions = Positions.of([*(ra_deg % 360), antipode[0]], [*dec_deg, antipode[1]])
    photometry = measure_fluxes(path, positions)
    assert photometry.flux_jy[:-1] == pytest.approx(flux_jy, abs=1e-3)
    assert photometry.flags.tolist() == [0] * len(pixels) + [int(MeasurementFlag.OUTSIDE)]
    assert photometry.centre_distance_deg[-1] == pytest.approx(180, abs=0.1)


def test_edges_and_blank_pixels(tmp_path: Path) -> None:
    sky = SkyImage()
    pixels = np.array([[400.0, 300.0], [1.0, 300.0], [150.0, 100.0], [121.0, 500.0], [-3.0, 100.0], [112.0, 503.0]])
    image = sky.noise() + sky.sources(pixels, np.full(6, 0.1))
    image[80:120, 130:170] = np.nan  # around the third
    image[400:, 100:119] = np.nan  # two pixels from the fourth, seven from the sixth inside
    photometry = measure(sky, sky.write(tmp_path / "edges.fits", image), pixels)
    hard = MeasurementFlag.HARD
    flags = [MeasurementFlag(int(value)) for value in photometry.flags]
    assert flags[0] == MeasurementFlag(0)
    assert flags[1] == flags[3] == MeasurementFlag.EDGE
    assert [flag & hard for flag in flags[2:]] == [
        MeasurementFlag.NO_DATA, MeasurementFlag(0), MeasurementFlag.OUTSIDE, MeasurementFlag.NO_DATA,
    ]  # fmt: skip
    assert photometry.flux_jy[[0, 1, 3]] == pytest.approx(0.1, abs=1.5e-3)
    assert np.isnan(photometry.flux_jy[[2, 4, 5]]).all()
    distances = photometry.edge_distance_deg * 3600 / sky.cell_arcsec
    assert distances == pytest.approx([np.hypot(231, 181), 1.5, 0, 2.5, 0, 0], abs=0.51)


def test_primary_beam_divides_flux_error_and_noise(tmp_path: Path) -> None:
    sky = SkyImage()
    x = np.arange(sky.shape[1])
    pb = np.broadcast_to(np.clip(1 - x / 900, 0, 1), sky.shape)
    pixels = np.array([[100.25, 300.0], [450.5, 300.0], [700.0, 300.0]])
    path = sky.write(tmp_path / "tile.fits", sky.noise() + pb * sky.sources(pixels, np.full(3, 0.1)))
    sky.write(tmp_path / "tile.pb.fits", pb)
    photometry = measure(sky, path, pixels)
    expected = 1 - pixels[:, 0] / 900
    assert photometry.pb == pytest.approx(expected, rel=1e-5)
    assert photometry.flux_jy == pytest.approx(0.1, abs=3e-3)
    assert photometry.local_rms_jy == pytest.approx(RMS_JY / expected, rel=0.15)
    assert photometry.flux_error_jy * expected == pytest.approx(photometry.flux_error_jy[0] * expected[0], rel=0.15)
    assert photometry.flags.tolist() == [0, 0, int(MeasurementFlag.LOW_PB)]


def test_noise_map_beside_the_image_is_used(tmp_path: Path) -> None:
    """Noise that rises to the east: each position has the error of its own part of the image."""
    sky = SkyImage(shape=(600, 1600))
    factor = np.where(np.arange(1600) < 800, 3.0, 1.0)[None, :]
    path = sky.write(tmp_path / "mosaic.fits", sky.noise() * factor)
    pixels = scattered_pixels(sky.shape, 60)
    measured = measure(sky, path, pixels)
    sky.write(tmp_path / "mosaic.rms.fits", np.broadcast_to(factor * RMS_JY, sky.shape))
    mapped = measure(sky, path, pixels)
    expected_jy = RMS_JY * np.where(pixels[:, 0] < 799.5, 3.0, 1.0)
    assert mapped.local_rms_jy == pytest.approx(expected_jy)
    far = np.abs(pixels[:, 0] - 800) > 100
    assert measured.local_rms_jy[far] == pytest.approx(expected_jy[far], rel=0.2)
    for photometry in (measured, mapped):
        assert (photometry.flux_jy / photometry.flux_error_jy).std() == pytest.approx(1, abs=0.12)
    assert (measured.flags & MeasurementFlag.NOISY).any() == False  # noqa: E712


def test_beam_is_turned_and_scaled_with_the_pixels(tmp_path: Path) -> None:
    """Pixels of 4 by 9 arcsec that are turned by 30 degrees: the form of the beam follows from its two axes."""
    angle, steps = np.deg2rad(30), np.diag([-4.0, 9.0]) / 3600
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ steps
    y, x = np.mgrid[:300, :300].astype(float)
    east, north = np.tensordot(matrix * 3600, np.stack([x - 150.3, y - 149.8]), axes=1)
    turn = np.deg2rad(BEAM[2])
    along, across = east * np.sin(turn) + north * np.cos(turn), east * np.cos(turn) - north * np.sin(turn)
    image = 0.1 * 2.0 ** (-4 * ((along / BEAM[0]) ** 2 + (across / BEAM[1]) ** 2))
    image += 1e-5 * np.random.default_rng(1).standard_normal(image.shape)
    header = SkyImage().header()
    for axis in (1, 2):
        del header[f"CDELT{axis}"]
        header.update({f"CD{axis}_1": matrix[axis - 1, 0], f"CD{axis}_2": matrix[axis - 1, 1], f"CRPIX{axis}": 151.0})
    path = tmp_path / "turned.fits"
    fits.writeto(path, image, header)
    offset_deg = matrix @ [0.3, -0.2]
    dec_deg = 30 + offset_deg[1]
    photometry = measure_fluxes(path, Positions.of(150 + offset_deg[0] / np.cos(np.deg2rad(dec_deg)), dec_deg))
    assert photometry.flux_jy == pytest.approx(0.1, rel=1e-3)
