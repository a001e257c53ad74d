"""Gridding of tiles onto a common tangent plane against sums over visibilities, and the command on small tiles."""

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from point_source_ms import Source, direction_cosines, make_ms

from contimg.cli import contimg
from contimg.common.errors import BadInput
from contimg.epoch.joint.gridding import JointBands, JointTile, make_plane
from contimg.epoch.joint.members import read_members, select_members
from contimg.epoch.mosaic import MosaicOptions
from contimg.tile.image import ImageOptions

SIDE = 192
C_M_S = 299792458.0
IMAGING = ImageOptions(size=150, padding=1.25, pixel_arcsec=12.0, average=False, threads=1, smearing_percent=5.0)
SOURCE = Source(0.1, -0.07, 1.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A Measurement Set of one source, without noise and primary beam."""
    path = tmp_path_factory.mktemp("joint") / "small.ms"
    record = {"set": "2026-02-22T20:00:00_3C48", "calibrator": "3C48", "grade": "good"}
    return make_ms(path, (SOURCE,), antennas=12, times=3, channels=16, airy=False, corrected=record)


@pytest.fixture
def phased(small, tmp_path):
    """The source's tile and another one 5 degrees to the east, on one plane: visibilities as read, tile, plane."""
    (member,), omitted = select_members([small], MosaicOptions())
    assert not omitted
    (tmp_path / "a").mkdir()
    (sampled,), _ = read_members([member], IMAGING, tmp_path / "a")
    centre = member.ms.phase_centre_rad + np.deg2rad([5.0, 0.0])
    eastern = replace(sampled, member=replace(member, ms=replace(member.ms, phase_centre_rad=centre)))
    plane = make_plane([sampled, eastern], SIDE, 10.0)
    visibilities = sampled.gridder.visibilities.stokes_i.copy()
    tile = JointTile.of(sampled, plane, plane.grid.windows[0], True, -0.7)
    return visibilities, sampled, tile, plane


def test_dirty_image_is_the_sum_over_visibilities(phased):
    visibilities, sampled, tile, plane = phased
    image = tile.residual(np.zeros((SIDE, SIDE), np.float32))
    data = sampled.gridder.visibilities
    for row, column in ((96, 96), (3, 180), (150, 20)):
        pixel = [column + tile.window.column, row + tile.window.row]
        ra, dec = plane.grid.wcs.wcs_pix2world([pixel], 0)[0]
        delay_s = data.uvw_m @ direction_cosines(ra, dec) / C_M_S
        phases = np.exp(-2j * np.pi * delay_s[:, None] * data.freqs_hz)
        expected = float(np.sum(tile.weights * (visibilities * phases).real) / tile.total_weight)
        assert image[row, column] == pytest.approx(expected, abs=3e-3)
    y, x = np.unravel_index(image.argmax(), image.shape)
    expected = plane.grid.wcs.wcs_world2pix([SOURCE.direction()], 0)[0] - [tile.window.column, tile.window.row]
    assert np.hypot(x - expected[0], y - expected[1]) < 0.8


def test_prediction_is_adjoint_to_gridding(phased):
    _, _, tile, _ = phased
    rng = np.random.default_rng(1)
    model = np.zeros((SIDE, SIDE), np.float32)
    model[rng.integers(0, SIDE, 5), rng.integers(0, SIDE, 5)] = 1.0
    plain = replace(tile, modes=())
    predicted = plain.predict(model)
    image = plain.residual(np.zeros_like(model))
    left = float(np.sum(tile.weights * (predicted.conj() * tile.stokes_i).real, dtype=np.float64))
    assert float(np.sum(model * image)) * tile.total_weight == pytest.approx(left, rel=5e-3)


def test_point_spread_function_is_that_at_the_tile(phased):
    _, _, tile, _ = phased
    model = np.zeros((SIDE, SIDE), np.float32)
    model[SIDE // 2, SIDE // 2] = 1.0
    plain = replace(tile, modes=())
    exact = replace(plain, stokes_i=plain.predict(model)).residual(np.zeros_like(model))
    psf = tile.psf()
    assert psf[SIDE // 2, SIDE // 2] == pytest.approx(1.0, abs=1e-3)
    assert np.abs(psf - exact)[64:129, 64:129].max() < 0.02


def test_noise_of_the_sum_is_flat(phased):
    """Two tiles with noise alone, of which the second one has twice the noise, at the same place."""
    _, _, tile, plane = phased
    rng = np.random.default_rng(2)
    tiles = []
    for noise_jy in (1.0, 2.0):
        sigma = noise_jy / np.sqrt(np.sum(tile.weights**2)) * tile.total_weight
        noise = sigma * rng.standard_normal((*tile.stokes_i.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
        tiles.append(replace(tile, stokes_i=noise, noise_jy=noise_jy))
    bands = JointBands(tiles, plane.grid.shape)
    assert bands.noise_jy == pytest.approx(1 / np.sqrt(1.25), rel=0.01)  # the primary beam is 1 at the centre
    image = bands.dirty()[0][tile.window.slices]
    assert image[40:-40, 40:-40].std() == pytest.approx(bands.noise_jy, rel=0.15)
    assert image[:30].std() == pytest.approx(bands.noise_jy, rel=0.25)


def test_command_deconvolves_and_names_what_it_leaves_out(small, tmp_path, monkeypatch):
    for name, value in (("SIZE", "150"), ("PADDING", "1.25"), ("PIXEL_ARCSEC", "12"), ("ITERATIONS", "2000")):
        monkeypatch.setenv(f"CONTIMG_IMAGE_{name}", value)
    output, missing = tmp_path / "joint.fits", tmp_path / "none.ms"
    result = CliRunner().invoke(contimg, ["mosaic", "--joint", "--json", str(output), str(small), str(missing)])
    assert result.exit_code == 0, result.stderr
    assert f"left out {missing}: not a Measurement Set" in result.stderr
    record = json.loads(result.stdout)
    assert [member["name"] for member in record["members"]] == ["small.ms"]
    assert record["omitted"][0]["fits_path"] == str(missing)
    header = fits.getheader(output)
    assert header["JOINT"] is True
    assert header["MEMB001"] == "small.ms"
    assert header["CTYPE1"] == "RA---SIN"
    assert record["sources"][0]["flux_jy"] == pytest.approx(1.0, abs=0.1)  # the beam that is applied is not in the data
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "joint.fits", "joint.png", "joint.rms.fits", "joint.thumb.png", "joint.weight.fits"
    ]  # fmt: skip
    refused = CliRunner().invoke(contimg, ["mosaic", "--joint", str(tmp_path / "x.fits"), str(missing)])
    assert isinstance(refused.exception, BadInput)
    monkeypatch.setenv("CONTIMG_IMAGE_BAND_PARTS", "4")
    refused = CliRunner().invoke(contimg, ["mosaic", "--joint", str(tmp_path / "x.fits"), str(small)])
    assert "band_parts" in str(refused.exception)
