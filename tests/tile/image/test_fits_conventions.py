"""The header's conventions, judged by FITS' own verification, by wcslib's fixes and by CASA in a process of its own."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from point_source_ms import DEC0, RA0, SOURCES, START_MJD_S, separation_rad

from contimg.instrument import dsa110 as telescope
from contimg.instrument.bundled_data import casa_environment
from contimg.tile.image.fits_image import write_fits, write_pb_corrected

CASA = textwrap.dedent("""
    import json, math, sys, casatools, casatasks
    path, places = sys.argv[1], json.loads(sys.argv[2])
    casatasks.importfits(fitsimage=path, imagename="opened.image")
    image = casatools.image()
    image.open("opened.image")
    sky, beam, unit = image.coordsys(), image.restoringbeam(), image.brightnessunit()
    peak = image.statistics()["maxpos"]
    reference, per_deg = sky.referencevalue()["numeric"], {"deg": 1.0, "rad": math.pi / 180}
    world = lambda place: [one * per_deg[unit] for one, unit in zip(place, sky.units())] + list(reference[2:])
    print(json.dumps({
        "shape": image.shape().tolist(), "unit": unit, "axes": sky.names(), "frame": sky.referencecode("direction"),
        "pixels": [[float(x) for x in sky.topixel(world(place))["numeric"][:2]] for place in places],
        "peak": [int(x) for x in peak[:2]],
        "beam": [beam["major"]["value"], beam["minor"]["value"], beam["positionangle"]["value"]],
        "freq_hz": sky.referencevalue(type="spectral")["numeric"].tolist(), "epoch": sky.epoch()["m0"]["value"],
        "telescope": sky.telescope(), "object": image.miscinfo().get("object", ""),
    }))
""")


@pytest.fixture(scope="module")
def opened(tile, tmp_path_factory):
    """What CASA says of the tile's image."""
    scratch = tmp_path_factory.mktemp("casa")
    places = json.dumps([source.direction() for source in SOURCES])
    done = subprocess.run(
        [sys.executable, "-c", CASA, str(tile.products.fits), places],
        cwd=scratch, env=casa_environment(scratch / "home"), check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
def test_casa_agrees_on_source_positions(tile, opened):
    wcs = WCS(fits.getheader(tile.products.fits)).celestial
    ours = [wcs.all_world2pix(*source.direction(), 0) for source in SOURCES]
    assert np.abs(np.array(opened["pixels"]) - ours).max() < 1e-3
    assert np.hypot(*(np.array(opened["peak"]) - opened["pixels"][0])) < 1.0


def test_casa_reads_beam_axes_frame_and_epoch(tile, opened):
    assert opened["shape"] == [tile.pixels, tile.pixels, 1, 1]
    assert sorted(opened["axes"]) == ["Declination", "Frequency", "Right Ascension", "Stokes"]
    assert (opened["frame"], opened["unit"], opened["telescope"]) == (["ICRS"], "Jy/beam", telescope.NAME)
    assert opened["beam"] == pytest.approx(
        [tile.beam_major_arcsec, tile.beam_minor_arcsec, tile.beam_angle_deg], abs=1e-3
    )
    assert opened["freq_hz"] == pytest.approx([tile.freq_hz])
    assert opened["epoch"] * 86400 == pytest.approx(tile.start_mjd_s, abs=0.01)


@pytest.mark.parametrize("name", ["fits", "primary_beam", "corrected"])
def test_fits_files_follow_standard(tile, name):
    with fits.open(getattr(tile.products, name), checksum=True) as units:
        units.verify("exception")
        unit = units[0]
        assert (unit.verify_checksum(), unit.verify_datasum()) == (1, 1)
        assert unit.header["BITPIX"] == -32
        wcs = WCS(unit.header, fix=False)
    fixes = {fix for fix in wcs.wcs.fix().values() if fix != "No change" and not fix.startswith("Set ")}
    assert not fixes, "wcslib fills in what follows from other keywords (it says `Set`), and mends nothing"
    assert wcs.naxis == 4
    assert [wcs.wcs.lng, wcs.wcs.lat, wcs.wcs.spec] == [0, 1, 2]
    assert np.rad2deg(separation_rad(wcs.celestial.wcs.crval, np.rad2deg([RA0, DEC0]))) * 3600 < 1e-3


def test_checksum_detects_changed_pixel(tile, tmp_path):
    """The checksums above can fail."""
    copy = tmp_path / "copy.fits"
    raw = bytearray(tile.products.fits.read_bytes())
    raw[-4000] ^= 1
    copy.write_bytes(bytes(raw))
    with fits.open(copy) as units:
        assert units[0].verify_datasum() == 0


def test_header_times_and_band(tile):
    header = fits.getheader(tile.products.fits)
    start_mjd_s = Time(header["DATE-OBS"], scale="utc").mjd * 86400
    assert header["TIMESYS"] == "UTC"
    # Six integrations whose middles lie three apart: the first begins eight before the middle of all.
    assert start_mjd_s == pytest.approx(START_MJD_S - 8 * telescope.INTEGRATION_S, abs=0.01)
    assert header["MJD-OBS"] * 86400 == pytest.approx(start_mjd_s, abs=1e-2)
    low, high = (header["CRVAL3"] + side * header["CDELT3"] / 2 for side in (-1, 1))
    assert (low, high) == pytest.approx((telescope.BAND.bottom_hz, telescope.BAND.top_hz), rel=2e-3)
    assert header["CUNIT3"] == "Hz"


def test_writing_does_not_change_image(tile, tmp_path):
    """Others draw and write from the same memory meanwhile: nobody may touch it, not even for an instant."""
    picture = np.random.default_rng(4).normal(size=(64, 64)).astype(np.float32)
    picture.setflags(write=False)
    header = fits.getheader(tile.products.fits)
    write_fits(tmp_path / "a.fits", picture, header)
    write_pb_corrected(tmp_path / "b.fits", picture, np.broadcast_to(np.float32(0.5), picture.shape), header)
    assert np.array_equal(fits.getdata(tmp_path / "a.fits")[0, 0], picture)
    assert np.array_equal(fits.getdata(tmp_path / "b.fits")[0, 0], 2 * picture)
