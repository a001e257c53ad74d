"""The image against catalogues of its own sources, true and falsified."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from point_source_ms import OPTIONS, SOURCES

from contimg.common.errors import Misconfigured
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.sources.catalogue import match_catalogue, read_catalogue
from contimg.tile.image.sources.matches import (
    CatalogueSource,
    Match,
    compute_faint_flux_ratio,
    compute_flux_ratio,
    compute_offset_arcsec,
)


def pictures(tile):
    with fits.open(tile.products.fits) as image_units, fits.open(tile.products.primary_beam) as pb_units:
        return image_units[0].data[0, 0].copy(), pb_units[0].data[0, 0].copy(), image_units[0].header.copy()


@pytest.fixture(params=["csv", "fits"])
def catalogue(request, tmp_path):
    """The tile's sources 6 arcsec too far north and a third brighter than they are, and one outside the image."""
    rows = [(f"s{k}", *source.direction(), source.flux_jy * 4 / 3) for k, source in enumerate(SOURCES)]
    rows = [(name, ra, dec + 6 / 3600, flux) for name, ra, dec, flux in [*rows, ("far", 200.0, -10.0, 5.0)]]
    table = Table(rows=rows, names=["name", "RAJ2000", "DEJ2000", "S20"])
    path = tmp_path / f"catalogue.{request.param}"
    table.write(path, format="ascii.csv" if request.param == "csv" else "fits")
    return ImageOptions(catalogue=str(path), catalogue_ra="RAJ2000", catalogue_dec="DEJ2000", catalogue_flux="S20")


def test_offset_and_flux_ratio_match_catalogue_errors(tile, catalogue):
    matches = match_catalogue(read_catalogue(catalogue, tile.freq_hz), *pictures(tile), tile.rms_jy)
    assert len(matches) == len(SOURCES)
    assert compute_flux_ratio(matches) == pytest.approx(0.75, rel=0.01)
    assert compute_offset_arcsec(matches) == pytest.approx(6, abs=0.3)
    assert matches[0].source.name == "s0"


def test_faint_and_attenuated_sources_are_left_out(tile, catalogue):
    picture, beam, header = pictures(tile)
    assert not match_catalogue(read_catalogue(catalogue, tile.freq_hz), picture, beam, header, 1.0)
    assert not match_catalogue(read_catalogue(catalogue, tile.freq_hz), picture, beam * 0.1, header, tile.rms_jy)


@pytest.mark.long
def test_displaced_tile_is_suspect(tile_ms, tmp_path, catalogue):
    rows = Table.read(catalogue.catalogue, format="ascii.csv" if catalogue.catalogue.endswith("csv") else "fits")
    rows["DEJ2000"] += 14 / 3600
    moved = tmp_path / "moved.fits"
    rows.write(moved)
    options = OPTIONS.replace(**{k: v for k, v in vars(catalogue).items() if k.startswith("catalogue")})
    tile_image = image(tile_ms, tmp_path, options.replace(catalogue=str(moved)))
    assert tile_image.verdict == "suspect"
    assert any("catalogue" in reason for reason in tile_image.verdict_reasons)
    header = fits.getheader(tile_image.products.fits)
    assert header["CATMATCH"] == len(SOURCES)
    assert header["CATOFFS"] == pytest.approx(20, abs=0.5)
    assert header["CATFLUX"] == pytest.approx(0.75, rel=0.01)


def test_default_catalogue_is_flux_calibrators(tile):
    sources = read_catalogue(ImageOptions(), 1.405e9)
    by_name = {source.name: source for source in sources}
    assert by_name["3C286"].flux_jy == pytest.approx(15.057, rel=0.01)
    assert (by_name["3C48"].ra_deg, by_name["3C48"].dec_deg) == pytest.approx((24.42208, 33.15976), abs=1e-4)
    assert np.isfinite([source.flux_jy for source in sources]).all()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name,ra_deg,dec_deg\na,1,2\n", "flux_jy"),
        ("ra_deg,dec_deg,flux_jy\n1,x,2\n", "could not convert"),
        (None, r"list\.csv"),
    ],
)
def test_unreadable_catalogue_is_named(tmp_path, text, named):
    path = tmp_path / "list.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Misconfigured, match=named):
        read_catalogue(ImageOptions(catalogue=str(path)), 1.4e9)


def test_flux_ratio_of_faint_sources_over_bright():
    def match(snr: float, ratio: float) -> Match:
        source = CatalogueSource("", 0.0, 0.0, 0.002 * snr)  # at half power, in a noise of 1 mJy
        return Match(source, 0.001 * snr * ratio, 0.002 * snr * ratio, 0.5, 0.0, 0.0)

    faint, bright = [match(snr, 0.72) for snr in (8, 10, 12, 20, 24)], [match(snr, 0.9) for snr in (26, 50, 70, 90, 99)]
    assert compute_faint_flux_ratio([*faint, *bright, match(5, 0.1)], 0.001) == pytest.approx(0.8)
    assert compute_faint_flux_ratio([*faint[1:], *bright], 0.001) is None
    assert compute_faint_flux_ratio([*faint, *bright[1:]], 0.001) is None
