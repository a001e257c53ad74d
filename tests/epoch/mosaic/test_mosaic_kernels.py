"""Beams, interpolation and fits of the mosaic stage against plain arithmetic and SciPy."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from tile_images import TileSpec, make_noise

from contimg.epoch.mosaic.beams import beam_covariance, convolve, find_common_beam
from contimg.epoch.mosaic.grid import Window
from contimg.epoch.mosaic.noise import NoiseMap, measure_noise_map
from contimg.epoch.mosaic.reprojection import add_tile, divide
from contimg.epoch.mosaic.sources import fit_beams, solve_offsets
from contimg.tile.image.result import Beam

BEAMS = [Beam(50.0, 30.0, 10.0), Beam(46.0, 33.0, 60.0), Beam(44.0, 28.0, -70.0)]


def gaussian(beam: Beam, cell_arcsec: float, size: int, x: float, y: float) -> np.ndarray:
    inverse = np.linalg.inv(beam_covariance(beam)) * cell_arcsec**2
    dy, dx = np.indices((size, size)) - np.array([y, x])[:, None, None]
    return np.exp(-0.5 * (inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2))


def test_common_beam_holds_every_beam():
    common = find_common_beam(BEAMS)
    for beam in BEAMS:
        assert np.linalg.eigvalsh(beam_covariance(common) - beam_covariance(beam))[0] > -1e-6
    assert common.major_arcsec < 54
    assert find_common_beam(BEAMS[:1] * 3) == BEAMS[0]


def test_common_beam_of_beams_that_are_nearly_alike():
    """The search of radio-beam fails on these, which the tiles of a strip may have."""
    beams = [Beam(28.72, 13.56, -85.2), Beam(28.75, 13.62, -84.8), Beam(28.72, 13.61, -84.9)]
    common = find_common_beam(beams)
    for beam in beams:
        assert np.linalg.eigvalsh(beam_covariance(common) - beam_covariance(beam))[0] > -1e-6
    assert (common.major_arcsec, common.minor_arcsec) == pytest.approx((28.7, 13.6), rel=0.005)
    assert common.angle_deg == pytest.approx(-85.0, abs=0.5)


def test_position_angle_is_from_north_through_east():
    covariance = beam_covariance(Beam(50.0, 30.0, 45.0))
    assert covariance[0, 1] < 0  # pixels run to the west: the long axis points up and to the left
    assert np.sqrt(np.linalg.eigvalsh(covariance) * 8 * np.log(2)) == pytest.approx([30.0, 50.0])


def test_convolution_keeps_the_flux():
    common = find_common_beam(BEAMS)
    source = 0.7 * gaussian(BEAMS[1], 6.0, 201, 98.3, 101.7)
    convolved = convolve(source.astype(np.float32), BEAMS[1], common, 6.0, 2)
    assert convolved == pytest.approx(0.7 * gaussian(common, 6.0, 201, 98.3, 101.7), abs=2e-5)


def test_interpolation_is_a_cubic_spline():
    rng = np.random.default_rng(1)
    image = rng.standard_normal((120, 130)).astype(np.float32)
    pb = np.ones_like(image)
    window = Window(0, 0, 64, 48)
    y, x = np.meshgrid(16.0 * np.arange(5), 16.0 * np.arange(4), indexing="ij")
    coarse = np.stack([20.3 + 0.98 * x + 0.1 * y, 15.7 - 0.1 * x + 0.97 * y])
    flux, weight = np.zeros((64, 48), dtype=np.float32), np.zeros((64, 48), dtype=np.float32)
    noise = NoiseMap(np.full((1, 1), 0.5, dtype=np.float32), 0.0, 64.0)
    add_tile(flux, weight, image, pb, noise, coarse, window, 0.25)
    assert weight == pytest.approx(np.full((64, 48), 4.0))
    rows, columns = np.indices((64, 48))
    positions = [15.7 - 0.1 * columns + 0.97 * rows, 20.3 + 0.98 * columns + 0.1 * rows]
    divide(flux, weight, 0.0)
    assert flux == pytest.approx(map_coordinates(image, positions, order=3, mode="mirror") - 0.25, abs=1e-4)


def test_noise_map_follows_the_noise():
    spec = TileSpec(0.0, 0.0, size=400, rms_jy=1.0)
    image = make_noise(spec, np.random.default_rng(2))
    image[:, 200:] *= 3
    noise = measure_noise_map(image, np.ones_like(image, dtype=bool), spec.beam[0] / spec.cell_arcsec)
    assert np.median(noise.values[:, 0]) == pytest.approx(1.0, rel=0.1)
    assert np.median(noise.values[:, -1]) == pytest.approx(3.0, rel=0.1)


def test_fits_of_many_sources():
    beam, positions = BEAMS[0], np.array([[50.0, 150.0], [60.0, 140.0]])
    image = 1.5 * gaussian(beam, 8.0, 200, 60.4, 49.7) + 0.2 * gaussian(beam, 8.0, 200, 139.6, 150.2) + 0.01
    peak, x, y = fit_beams(image.astype(np.float32), positions, np.full(2, 0.01), beam, 8.0)
    assert peak == pytest.approx([1.5, 0.2], rel=1e-4)
    assert x == pytest.approx([60.4, 139.6], abs=1e-3)
    assert y == pytest.approx([49.7, 150.2], abs=1e-3)


def test_offsets_of_tiles_in_spite_of_an_outlier():
    rng = np.random.default_rng(5)
    true = np.array([0.3, -0.1, 0.0, -0.2])
    source = np.repeat(np.arange(40), 2)
    tile = np.stack([np.arange(40) % 4, (np.arange(40) + 1) % 4], axis=-1).ravel()
    value = rng.normal(0, 5, 40)[source] + true[tile] + rng.normal(0, 0.01, 80)
    value[7] += 3
    offset, covariance, _ = solve_offsets(source, tile, value, np.full(80, 0.01), 4, 1.0)
    assert offset - offset.mean() == pytest.approx(true - true.mean(), abs=0.02)
    assert np.isfinite(covariance).all()
