"""A joint deconvolution of three simulated tiles against the truth, the mosaic of their images, and WSClean."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.epoch.joint import make_joint_mosaic
from contimg.epoch.mosaic import Mosaic, make_mosaic
from contimg.epoch.mosaic.sources import fit_beams
from contimg.formats.ms.info import read_ms_info
from contimg.instrument.bundled_data import casa_environment
from contimg.instrument.coordinates import separation_rad
from contimg.instrument.dsa110 import DISH_DIAMETER_M, primary_beam
from contimg.simulation import SimulateOptions, plan_tiles, simulate_tile
from contimg.tile.convert import ConvertOptions, convert
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.result import Beam

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
SIMULATION = SimulateOptions(
    groups=4,
    antennas=24,
    channels=48,
    integrations=8,
    sources=4,
    corrupt=False,
    smearing=False,
    declination_offset_deg=-17.0,
)
IMAGING = ImageOptions(size=1200, pixel_arcsec=6.0)
PHASESHIFT = """
import sys, casatasks
centre, *paths = sys.argv[1:]
for path in paths:
    casatasks.phaseshift(vis=path, outputvis=path.replace(".ms", ".shifted.ms"), phasecenter=centre, datacolumn="data")
"""


@dataclass(frozen=True)
class Epoch:
    """Three tiles: their Measurement Sets, both mosaics, and the named sources with their true fluxes."""

    measurement_sets: list[Path]
    image_domain: Mosaic
    joint: Mosaic
    positions_deg: NDArray[np.float64]
    flux_jy: NDArray[np.float64]


@pytest.fixture(scope="module")
def epoch(tmp_path_factory) -> Epoch:
    directory = tmp_path_factory.mktemp("joint")
    plans = plan_tiles(SIMULATION)[1:]
    paths = []
    for plan in plans:
        paths.append(directory / f"{plan.group}.ms")
        convert(simulate_tile(plan, SIMULATION, directory / "files").files, paths[-1], ConvertOptions())
    images = [image(path, directory / "images", IMAGING).fits_path for path in paths]
    image_domain = make_mosaic(images, directory / "images.fits")
    joint = make_joint_mosaic(paths, directory / "joint.fits", IMAGING)
    sources = {source.name: source for plan in plans for source in plan.sources if not source.name.startswith("3C")}
    positions_deg = np.array([[source.ra_deg, source.dec_deg] for source in sources.values()])
    flux_jy = np.array([float(source.flux_jy(joint.freq_hz)) for source in sources.values()])
    return Epoch(paths, image_domain, joint, positions_deg, flux_jy)


def measure_jy(path: Path, positions_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Peaks of the restoring beam at positions; NaN outside the image and where it is blank."""
    header, pixels = fits.getheader(path), fits.getdata(path)
    pixels = np.array(pixels.reshape(pixels.shape[-2:]), dtype=np.float32)
    x, y = WCS(header).celestial.wcs_world2pix(*positions_deg.T, 0)
    inside = (x > 9) & (y > 9) & (x < pixels.shape[1] - 10) & (y < pixels.shape[0] - 10)
    peaks_jy = np.full(x.size, np.nan)
    beam = Beam(header["BMAJ"] * 3600, header["BMIN"] * 3600, header["BPA"])
    cell_arcsec = abs(header["CDELT2"]) * 3600
    rows = np.stack([y[inside], x[inside]])
    peaks_jy[inside] = fit_beams(pixels, rows, np.zeros(inside.sum()), beam, cell_arcsec)[0]
    return peaks_jy


def read_weights(mosaic: Mosaic, positions_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights at positions, 1/Jy²; 0 outside."""
    weights = fits.getdata(mosaic.weight_fits_path)[0, 0]
    x, y = np.rint(WCS(fits.getheader(mosaic.weight_fits_path)).celestial.wcs_world2pix(*positions_deg.T, 0)).astype(
        int
    )
    inside = (x >= 0) & (y >= 0) & (x < weights.shape[1]) & (y < weights.shape[0])
    return np.where(inside, weights[y * inside, x * inside], 0.0)


def select_bright(epoch: Epoch) -> NDArray[np.bool_]:
    """Sources above a tenth of the highest weight and 20 times the noise."""
    weights = read_weights(epoch.joint, epoch.positions_deg)
    return (weights > 0.1 * weights.max()) & (epoch.flux_jy * np.sqrt(weights) > 20)


def test_fluxes_are_those_of_the_truth_and_of_the_mosaic_of_images(epoch: Epoch) -> None:
    bright = select_bright(epoch)
    assert np.count_nonzero(bright) >= 6
    measured = measure_jy(epoch.joint.fits_path, epoch.positions_deg)[bright]
    of_images = measure_jy(epoch.image_domain.fits_path, epoch.positions_deg)[bright]
    assert np.median(measured / epoch.flux_jy[bright]) == pytest.approx(1.0, abs=0.02)
    assert np.nanmedian(measured / of_images) == pytest.approx(1.0, abs=0.01)
    assert (
        np.abs(measured / epoch.flux_jy[bright] - 1).max() < 0.15
    )  # sidelobes of 24 antennas under sources of 40 sigma


def test_noise_is_that_of_the_weights_and_below_that_of_the_mosaic_of_images(epoch: Epoch) -> None:
    joint = epoch.joint
    assert joint.rms_jy == pytest.approx(joint.expected_rms_jy, rel=0.25)
    assert joint.rms_jy < 1.1 * epoch.image_domain.rms_jy
    assert joint.member_count == 3
    assert sum(member.weight for member in joint.members) == pytest.approx(1.0)
    assert joint.beam_major_arcsec == pytest.approx(epoch.image_domain.beam_major_arcsec, rel=0.05)


@pytest.mark.judge("wsclean")
def test_wsclean_finds_the_same_fluxes(epoch: Epoch, tmp_path: Path) -> None:
    """WSClean's joint image of the sets that CASA phased to one direction has the mean of the apparent fluxes."""
    centre = f"ICRS {epoch.joint.ra_deg}deg {epoch.joint.dec_deg}deg"
    shifted = [path.with_name(f"{path.stem}.shifted.ms") for path in epoch.measurement_sets]
    subprocess.run(
        [sys.executable, "-c", PHASESHIFT, centre, *map(str, epoch.measurement_sets)], cwd=tmp_path,
        env=casa_environment(tmp_path / "home"), check=True, capture_output=True,
    )  # fmt: skip
    size = [str(length + length % 2) for length in (epoch.joint.width_pixels, epoch.joint.height_pixels)]
    subprocess.run(
        ["wsclean", "-j", "2", "-size", *size, "-scale", "6asec", "-weight", "briggs", "0.5", "-pol", "I",
         "-data-column", "DATA", "-no-update-model-required", "-use-wgridder", "-minuv-l", "1000", "-niter", "20000",
         "-mgain", "0.8", "-auto-threshold", "3", "-name", str(tmp_path / "judge"), *map(str, shifted)],
        check=True, capture_output=True,
    )  # fmt: skip
    bright = select_bright(epoch)
    positions_rad = np.deg2rad(epoch.positions_deg[bright])
    response = np.zeros(len(positions_rad))
    for path in epoch.measurement_sets:
        ms = read_ms_info(path)
        for pointing_rad in ms.pointing_rad:
            separations = separation_rad(positions_rad, pointing_rad)[:, None]
            beams = primary_beam(separations, ms.freqs_hz[None, ::4], DISH_DIAMETER_M, ms.mid_mjd)
            response += beams.mean(axis=1) / len(ms.pointing_rad) / len(epoch.measurement_sets)
    judged = measure_jy(tmp_path / "judge-image.fits", epoch.positions_deg[bright]) / response
    measured = measure_jy(epoch.joint.fits_path, epoch.positions_deg[bright])
    # WSClean takes a source as equally bright in all tiles: its fluxes are 4 % below the truth.
    assert np.nanmedian(measured / judged) == pytest.approx(1.0, abs=0.04)
