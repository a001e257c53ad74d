"""The HiPS of mosaics: fluxes, weights and coverage, read by astropy-healpix, mocpy and reproject."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy_healpix import HEALPix
from mocpy import MOC
from PIL import Image
from sky_mosaics import SOURCES, true_flux, write_mosaic

from contimg.common.errors import BadInput
from contimg.epoch.hips import add_mosaic, read_properties, remove_mosaic, update_survey
from contimg.epoch.hips.geometry import choose_order, pixel_arcsec

ORDER = 3


def pixel_values(hips: Path, ra_deg: np.ndarray, dec_deg: np.ndarray, unit: int | str = 0) -> np.ndarray:
    """Values of the HiPS at directions, by the nested pixels of astropy-healpix."""
    pixels = HEALPix(512 << ORDER, order="nested").lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg)
    values = np.full(pixels.size, np.nan)
    for npix in np.unique(pixels // 512**2):
        path = hips / f"Norder{ORDER}" / "Dir0" / f"Npix{npix}.fits"
        chosen = pixels // 512**2 == npix
        if path.exists():
            bits = pixels[chosen] % 512**2
            x, y = (sum(((bits >> (2 * bit + axis)) & 1) << bit for bit in range(9)) for axis in (0, 1))
            values[chosen] = fits.getdata(path, unit)[511 - x, y]
    return values


def centres(ra_deg: np.ndarray, dec_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions of the centres of the pixels that hold directions."""
    grid = HEALPix(512 << ORDER, order="nested")
    lon, lat = grid.healpix_to_lonlat(grid.lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg))
    return lon.deg, lat.deg


def mosaic_directions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Directions of a mosaic's pixels with a weight, two pixels or more from a blank one."""
    weight, header = fits.getdata(path.with_name(f"{path.stem}.weight.fits"))[0, 0], fits.getheader(path)
    inner = weight > 0
    for shift in (-2, 2):
        for axis in (0, 1):
            inner = inner & (np.roll(weight, shift, axis) > 0)
    y, x = np.nonzero(inner)
    ra, dec = WCS(header).celestial.wcs_pix2world(x, y, 0)
    return centres(ra, dec)


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A HiPS of two mosaics that overlap, across right ascension 0h, and their files."""
    directory = tmp_path_factory.mktemp("sky")
    first = write_mosaic(directory / "first.fits")
    second = write_mosaic(directory / "second.fits", 2.0, scale=1.1, peak_weight=3e7)
    assert add_mosaic(directory / "hips", first)
    assert add_mosaic(directory / "hips", second)
    return directory / "hips", first, second


def test_fluxes_are_those_of_the_sky(tmp_path: Path) -> None:
    mosaic = write_mosaic(tmp_path / "first.fits")
    add_mosaic(tmp_path / "hips", mosaic)
    ra, dec = mosaic_directions(mosaic)
    values, weights = pixel_values(tmp_path / "hips", ra, dec), pixel_values(tmp_path / "hips", ra, dec, "WEIGHT")
    assert np.abs(values - true_flux(ra, dec)).max() < 5e-4  # of 1 Jy
    assert weights.min() > 0
    for ra_deg, dec_deg, peak_jy in SOURCES:
        near = np.hypot((ra - ra_deg + 180) % 360 - 180, dec - dec_deg) < 0.05
        assert values[near].max() == pytest.approx(peak_jy, rel=0.03), "half a pixel from the peak"


def test_tiles_equal_those_of_reproject(sky: tuple[Path, Path, Path], tmp_path: Path) -> None:
    reproject_hips = pytest.importorskip("reproject.hips")
    from reproject import reproject_interp

    mosaic = write_mosaic(tmp_path / "one.fits")
    add_mosaic(tmp_path / "hips", mosaic)
    image = np.nan_to_num(fits.getdata(mosaic)[0, 0].astype(np.float32))  # it fills all with NaN otherwise
    reproject_hips.reproject_to_hips(
        (image, WCS(fits.getheader(mosaic)).celestial), coord_system_out="equatorial", level=ORDER, order="bicubic",
        reproject_function=reproject_interp, output_directory=tmp_path / "judge",
    )  # fmt: skip
    own = sorted(path.relative_to(tmp_path / "hips") for path in (tmp_path / "hips").rglob("Npix*.fits"))
    compared = 0
    for path in own:
        tile, judge = fits.getdata(tmp_path / "hips" / path), fits.getdata(tmp_path / "judge" / path)
        inner = np.isfinite(tile) & np.isfinite(judge)
        if path.parts[0] == f"Norder{ORDER}":  # at the edge the judge's spline runs into zeros
            np.testing.assert_allclose(tile[inner], judge[inner], atol=1e-5)
            compared += int(inner.sum())
    assert compared > 20000
    assert {path.parts[0] for path in own} == {f"Norder{order}" for order in range(ORDER + 1)}


def test_overlapping_mosaics_are_weighted(sky: tuple[Path, Path, Path]) -> None:
    hips, first, second = sky
    both = np.array([[0.9, 16.0], [1.1, 15.9], [0.6, 16.5]]).T
    ra, dec = centres(*both)
    weights = []
    for path in (first, second):
        wcs = WCS(fits.getheader(path)).celestial
        x, y = np.rint(wcs.wcs_world2pix(np.stack([ra, dec], axis=-1), 0)).astype(int).T
        weights.append(fits.getdata(path.with_name(f"{path.stem}.weight.fits"))[0, 0, y, x])
    scale = (weights[0] + 1.1 * weights[1]) / (weights[0] + weights[1])
    np.testing.assert_allclose(pixel_values(hips, ra, dec), scale * true_flux(ra, dec), rtol=5e-3, atol=2e-5)
    np.testing.assert_allclose(pixel_values(hips, ra, dec, "WEIGHT"), np.sum(weights, axis=0), rtol=0.03)


def test_no_step_at_the_border_of_a_mosaic(tmp_path: Path) -> None:
    """Along a line into the overlap the ratio to the sky goes from 1.1 to less without a step above 1 %."""
    for name, ra_deg, scale in (("a", 0.0, 1.0), ("b", 2.0, 1.1)):
        add_mosaic(tmp_path / "hips", write_mosaic(tmp_path / f"{name}.fits", ra_deg, scale=scale))
    ra, dec = centres(np.arange(0.0, 2.0, 0.01), np.full(200, 16.4))
    flux = true_flux(ra, dec)
    bright = flux > 1e-3
    ratio = pixel_values(tmp_path / "hips", ra, dec)[bright] / flux[bright]
    assert bright.sum() > 20
    assert np.abs(np.diff(ratio)).max() < 0.01


def test_moc_covers_the_mosaics(sky: tuple[Path, Path, Path]) -> None:
    hips, first, second = sky
    moc = MOC.from_fits(hips / "Moc.fits")
    for path in (first, second):
        ra, dec = mosaic_directions(path)
        assert moc.contains_skycoords(SkyCoord(ra, dec, unit=u.deg)).all()
    assert not moc.contains_skycoords(SkyCoord([180.0, 0.0, 5.5], [16.2, 20.0, 16.2], unit=u.deg)).any()
    pixels = sum(np.isfinite(fits.getdata(path)).sum() for path in hips.glob(f"Norder{ORDER}/*/*.fits"))
    assert moc.sky_fraction == pytest.approx(pixels / (12 * 4 ** (ORDER + 9)), rel=0.1)
    properties = read_properties(hips)
    assert float(properties["moc_sky_fraction"]) == pytest.approx(moc.sky_fraction, rel=1e-4)
    assert (properties["hips_order"], properties["hips_frame"]) == ("3", "equatorial")
    assert properties["t_min"] == "61093.100000"


def test_pictures_are_transparent_where_blank(sky: tuple[Path, Path, Path]) -> None:
    hips = sky[0]
    for path in hips.glob("Norder*/*/*.png"):
        picture, tile = np.array(Image.open(path)), fits.getdata(path.with_suffix(".fits"))
        np.testing.assert_array_equal(picture[..., 3] > 0, np.isfinite(tile[::-1]))
    allsky = fits.getdata(hips / "Norder3" / "Allsky.fits")
    assert (allsky.shape, Image.open(hips / "Norder3" / "Allsky.png").size) == ((1856, 1728), (1728, 1856))
    npix = int(HEALPix(8, order="nested").lonlat_to_healpix(0.3 * u.deg, 16.4 * u.deg))
    row, column = divmod(npix, 27)
    cell = allsky[::-1][64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
    assert np.isfinite(cell).sum() == np.isfinite(allsky).sum() - sum(
        np.isfinite(allsky[::-1][64 * (n // 27) : 64 * (n // 27) + 64, 64 * (n % 27) : 64 * (n % 27) + 64]).sum()
        for n in range(768)
        if n != npix
    )
    assert np.nanmax(cell) > 0.1


def test_same_mosaic_changes_nothing(sky: tuple[Path, Path, Path]) -> None:
    hips, first, _ = sky
    before = {path: path.stat().st_mtime_ns for path in hips.rglob("Npix*")}
    assert add_mosaic(hips, first) is False
    write_mosaic(first)  # the same pixels, another time
    assert add_mosaic(hips, first) is False
    assert before == {path: path.stat().st_mtime_ns for path in hips.rglob("Npix*")}


def test_remade_mosaic_replaces_its_part(tmp_path: Path) -> None:
    first, second = tmp_path / "first.fits", tmp_path / "second.fits"
    write_mosaic(first, scale=5.0)
    write_mosaic(second, 2.0)
    for path in (first, second):
        add_mosaic(tmp_path / "hips", path)
    write_mosaic(first, ra_deg=0.1, scale=1.0)  # also elsewhere
    assert add_mosaic(tmp_path / "hips", first)
    add_mosaic(tmp_path / "fresh", second)
    add_mosaic(tmp_path / "fresh", first)
    assert_same(tmp_path / "hips", tmp_path / "fresh")
    assert remove_mosaic(tmp_path / "hips", "first")
    assert not remove_mosaic(tmp_path / "hips", "first")
    add_mosaic(tmp_path / "alone", second)
    assert_same(tmp_path / "hips", tmp_path / "alone")


def test_pixels_of_a_deleted_mosaic_stay_beside_one_that_is_made_again(tmp_path: Path) -> None:
    """Retention deletes the second, then the first is made again: the HiPS is that of the second and the new first."""
    first, second = write_mosaic(tmp_path / "first.fits", scale=5.0), write_mosaic(tmp_path / "second.fits", 2.0)
    hips = tmp_path / "hips"
    update_survey(hips, {"first": first, "second": second})
    add_mosaic(tmp_path / "fresh", second)
    links = hips / "members"
    assert (links / "second.fits").samefile(second)
    for path in (second, second.with_name("second.weight.fits")):
        path.unlink()
    update_survey(hips, {"first": first})
    assert not (links / "second.fits").exists(), "the space of a deleted mosaic is free"
    assert not (links / "second.weight.fits").exists()
    (tmp_path / "new").mkdir()
    write_mosaic(tmp_path / "new" / "first.fits", ra_deg=0.1, scale=1.0)
    for name in ("first.fits", "first.weight.fits"):
        (tmp_path / "new" / name).replace(tmp_path / name)
    assert update_survey(hips, {"first": first}).added == ("first",)
    add_mosaic(tmp_path / "fresh", first)
    assert_same(hips, tmp_path / "fresh")
    assert (links / "first.fits").samefile(first)
    assert update_survey(hips, {}, {"first"}).removed == ("first",)
    assert not list(links.glob("first*"))
    tile = next(hips.glob(f"Norder{ORDER}/Dir0/*.fits"))
    assert fits.getdata(tile, "MOSAICS")["NAME"].tolist() == ["second"]


def assert_same(hips: Path, expected: Path) -> None:
    """Compare tiles, previews and MOC of two HiPS."""
    tiles = {path.relative_to(hips) for path in hips.rglob("N*/**/*.fits")}
    assert tiles == {path.relative_to(expected) for path in expected.rglob("N*/**/*.fits")}
    for path in tiles:
        np.testing.assert_allclose(fits.getdata(hips / path), fits.getdata(expected / path), rtol=1e-5, atol=1e-7)
    assert MOC.from_fits(hips / "Moc.fits") == MOC.from_fits(expected / "Moc.fits")


def test_update_follows_the_grades(tmp_path: Path) -> None:
    paths = {name: write_mosaic(tmp_path / f"{name}.fits", ra) for name, ra in (("a", 0.0), ("b", 2.0))}
    hips = tmp_path / "hips"
    changes = update_survey(hips, {**paths, "c": tmp_path / "c.fits"})
    assert (changes.added, changes.removed, changes.mosaics, changes.order) == (("a", "b"), (), 2, ORDER)
    assert list(changes.unusable) == ["c"]
    assert update_survey(hips, paths).added == ()
    assert update_survey(hips, {"b": paths["b"]}).mosaics == 2, "one that was deleted for its age stays"
    changes = update_survey(hips, {"b": paths["b"]}, {"a"})
    assert (changes.removed, changes.mosaics) == (("a",), 1)
    rebuilt = update_survey(hips, {"a": paths["a"]}, rebuild=True)
    assert (rebuilt.directory, rebuilt.added, rebuilt.mosaics) == (hips, ("a",), 1)
    assert not list(tmp_path.glob("hips.*"))


CHILD = """
import os, sys
from pathlib import Path
from contimg.epoch.hips import add_mosaic
left = int(sys.argv[3])
def count(event, args):
    global left
    if event == "os.rename":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
sys.addaudithook(count)
add_mosaic(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("renames", [4, *(pytest.param(count, marks=pytest.mark.long) for count in (1, 2, 7, 9, 12))])
def test_killed_update_is_completed(tmp_path: Path, renames: int) -> None:
    """A kill before the n-th rename, while a mosaic that moved replaces its part."""
    first, second = write_mosaic(tmp_path / "first.fits", 0.0), write_mosaic(tmp_path / "second.fits", 2.0)
    for path in (first, second):
        add_mosaic(tmp_path / "hips", path)
    write_mosaic(first, 0.1, 17.0)
    command = [sys.executable, "-c", CHILD, str(tmp_path / "hips"), str(first), str(renames)]
    assert subprocess.run(command, check=False, env=os.environ).returncode == -signal.SIGKILL
    assert not json.loads((tmp_path / "hips" / "members" / "first.json").read_text())["is_complete"]
    assert add_mosaic(tmp_path / "hips", first)
    for path in (second, first):
        add_mosaic(tmp_path / "fresh", path)
    assert_same(tmp_path / "hips", tmp_path / "fresh")
    assert not list((tmp_path / "hips").rglob("*.writing-*"))


def test_unusable_mosaic_is_named(tmp_path: Path) -> None:
    mosaic = write_mosaic(tmp_path / "first.fits")
    (tmp_path / "first.weight.fits").write_bytes(b"no FITS")
    with pytest.raises(BadInput, match=r"first\.weight\.fits"):
        add_mosaic(tmp_path / "hips", mosaic)
    with pytest.raises(BadInput, match=r"gone\.fits"):
        add_mosaic(tmp_path / "hips", tmp_path / "gone.fits")


@pytest.mark.parametrize("cell_arcsec", [2.0, 4.5, 6.0, 12.0, 24.0])
def test_order_fits_the_pixels(cell_arcsec: float) -> None:
    assert 0.7 < pixel_arcsec(choose_order(cell_arcsec)) / cell_arcsec < 1.42
