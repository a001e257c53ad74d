"""Input of the mosaic stage that is wrong: the file is named, and the mosaic goes on without it where it can."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from tile_images import DISH_M, SMALL, airy, strip, tile_wcs, write_tile

from contimg.cli import contimg
from contimg.common.errors import BadFile, BadInput
from contimg.epoch.mosaic import MosaicOptions, make_mosaic, run
from contimg.epoch.mosaic.grid import make_grid
from contimg.epoch.mosaic.members import read_pixels, read_tile_header


def _set(**cards):
    def damage(path, sky):
        for keyword, value in cards.items():
            fits.setval(path, keyword, value=value)

    return damage


def _delete(*keywords):
    def damage(path, sky):
        with fits.open(path, mode="update") as units:
            for keyword in keywords:
                del units[0].header[keyword]

    return damage


def _blank(path, sky):
    with fits.open(path, mode="update") as units:
        units[0].data[:] = np.nan


def _pb_of(path):
    return path.with_name(f"{path.stem}.pb.fits")


def _shrink_pb(path, sky):
    fits.PrimaryHDU(fits.getdata(_pb_of(path))[..., :100], fits.getheader(_pb_of(path))).writeto(
        _pb_of(path), overwrite=True
    )


def _move(path, sky):
    write_tile(path, strip(80.0, 22.0, 1, **SMALL)[0], sky, 1)


def _truncate(path, sky):
    path.write_bytes(path.read_bytes()[:30000])


CASES = {
    "unit": (_set(BUNIT="K"), "K"),
    "no_beam": (_delete("BMAJ"), "BMAJ"),
    "no_frequency": (_delete("CTYPE3", "CUNIT3"), "frequency"),
    "coordinates": (_set(CUNIT3="m/s"), "coordinates"),
    "other_frequency": (_set(CRVAL3=1.7e9), "1700.00 MHz"),
    "other_strip": (_move, "declination 21.99 deg"),
    "graded_bad": (_set(VERDICT="bad"), "graded bad"),
    "all_blank": (_blank, "blank"),
    "no_pb": (lambda path, sky: _pb_of(path).unlink(), "no_pb.pb.fits"),
    "pb_size": (_shrink_pb, "100 x 192"),
    "no_file": (lambda path, sky: path.unlink(), "does not exist"),
    "no_fits": (lambda path, sky: path.write_text("a log"), "FITS"),
    "truncated": (_truncate, "FITS"),
}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_bad_tiles_are_left_out_and_named(small_tiles, small_sky, tmp_path):
    spec = strip(80.0, 20.0, 3, **SMALL)[1]
    bad = {name: write_tile(tmp_path / f"{name}.fits", spec, small_sky) for name in CASES}
    for name, (damage, _) in CASES.items():
        damage(bad[name], small_sky)
    mosaic = make_mosaic([*bad.values(), *small_tiles], tmp_path / "m.fits")
    assert [member.name for member in mosaic.members] == [path.name for path in small_tiles]
    reasons = {omitted.fits_path.stem: omitted.reason for omitted in mosaic.omitted}
    assert reasons.keys() == CASES.keys()
    for name, (_, text) in CASES.items():
        assert text in reasons[name], name
        assert "\n" not in reasons[name]
    header = fits.getheader(mosaic.fits_path)
    assert {header[f"OMIT{number:03d}"] for number in range(1, len(CASES) + 1)} == {f"{name}.fits" for name in CASES}


def test_a_tile_that_is_deleted_meanwhile(small_tiles):
    options = MosaicOptions()
    tile = read_tile_header(small_tiles[0], options)
    small_tiles[0].unlink()
    with pytest.raises(BadFile, match=r"tile00\.fits"):
        read_pixels(tile, options)


def test_mosaic_goes_on_without_a_tile_deleted_between_both_passes(small_tiles, tmp_path, monkeypatch):
    def delete_tile(*arguments):
        small_tiles[1].unlink()
        return make_grid(*arguments)

    monkeypatch.setattr(run, "make_grid", delete_tile)
    mosaic = make_mosaic(small_tiles, tmp_path / "m.fits")
    assert [member.name for member in mosaic.members] == ["tile00.fits", "tile02.fits"]
    assert [(omitted.fits_path, omitted.reason) for omitted in mosaic.omitted] == [
        (small_tiles[1], "was deleted meanwhile")
    ]


def test_one_tile_is_suspect(small_tiles, tmp_path):
    mosaic = make_mosaic(small_tiles[:1], tmp_path / "m.fits")
    assert (mosaic.member_count, mosaic.verdict, mosaic.shared_sources) == (1, "suspect", 0)
    assert mosaic.qa_png_path is None


def test_no_usable_tile_writes_nothing(small_tiles, tmp_path):
    for path in small_tiles:
        fits.setval(path, "VERDICT", value="bad")
    with pytest.raises(BadInput, match=r"tile00\.fits"):
        make_mosaic(small_tiles, tmp_path / "m.fits")
    assert not list(tmp_path.glob("m.*"))


def test_a_tile_of_another_part_of_the_sky_is_named(small_tiles, small_sky, tmp_path):
    far = write_tile(tmp_path / "far.fits", strip(200.0, 20.0, 1, **SMALL)[0], small_sky)
    with pytest.raises(BadInput, match=r"far\.fits"):
        make_mosaic([*small_tiles, far], tmp_path / "m.fits")


def test_images_without_a_primary_beam_take_an_airy_disk(tmp_path, small_sky):
    spec = replace(strip(80.0, 20.0, 1, **SMALL)[0], background_jy=0.0)
    path = write_tile(tmp_path / "tile.fits", spec, small_sky)
    (tmp_path / "tile.pb.fits").unlink()
    options = MosaicOptions(dish_diameter_m=DISH_M)
    _, pb = read_pixels(read_tile_header(path, options), options)
    row, column = 40, 120
    position = np.deg2rad(tile_wcs(spec).wcs_pix2world([[column, row], [96, 96]], 0))
    cosine = np.sin(position[0, 1]) * np.sin(position[1, 1]) + np.cos(position[0, 1]) * np.cos(position[1, 1]) * np.cos(
        position[0, 0] - position[1, 0]
    )
    assert pb[row, column] == pytest.approx(airy(np.arccos(cosine)), abs=0.01)


def test_command_names_what_it_leaves_out(small_tiles, tmp_path):
    fits.setval(small_tiles[2], "BUNIT", value="K")
    output = tmp_path / "m.fits"
    result = CliRunner().invoke(contimg, ["mosaic", str(output), *map(str, sorted(tmp_path.glob("tile*.fits")))])
    assert result.exit_code == 0, result.stderr
    assert f"{small_tiles[2]}: unit K" in result.stderr
    assert output.exists()
    assert "tile00.fits" in result.stdout
    refused = CliRunner().invoke(contimg, ["mosaic", str(tmp_path / "none.fits"), str(small_tiles[2])])
    assert isinstance(refused.exception, BadInput)
