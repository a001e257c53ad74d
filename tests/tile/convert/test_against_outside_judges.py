"""The converted drift_sim tile against what came from elsewhere: pyuvsim, pyuvdata, astropy, CASA, WSClean."""

import json
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from casacore.tables import table
from pyuvdata import UVData

from contimg.formats.ms.info import read_ms_info
from contimg.formats.uvh5.header import read_header
from contimg.instrument import coordinates as geometry
from contimg.instrument.bundled_data import casa_environment
from contimg.instrument.dsa110 import C_M_S, HEIGHT_M, LATITUDE_DEG, LONGITUDE_DEG


def direction_cosines(ra_deg, dec_deg, centre_rad):
    ra, dec = np.deg2rad([ra_deg, dec_deg])
    away = ra - centre_rad[0]
    l = np.cos(dec) * np.sin(away)  # noqa: E741
    m = np.sin(dec) * np.cos(centre_rad[1]) - np.cos(dec) * np.sin(centre_rad[1]) * np.cos(away)
    return np.array([l, m, np.sqrt(1 - l * l - m * m) - 1])


def fitted_fluxes(ms, sources):
    """Least squares of point sources at known places to DATA: complex fluxes, shape (sources, correlations)."""
    with table(str(ms), ack=False) as main:
        cross = main.getcol("ANTENNA1") != main.getcol("ANTENNA2")
        data, uvw = main.getcol("DATA")[cross], main.getcol("UVW")[cross]
    description = read_ms_info(ms)
    turns = 2j * np.pi / C_M_S * description.freqs_hz
    waves = [
        np.exp((uvw @ direction_cosines(ra, dec, description.phase_centre_rad))[:, None] * turns).ravel()
        for ra, dec, _ in sources
    ]
    return np.linalg.lstsq(np.stack(waves, axis=1), data.reshape(-1, data.shape[-1]).astype(complex), rcond=None)[0]


def test_fitted_fluxes(drift_sim_ms, drift_sim_sources):
    fluxes = fitted_fluxes(drift_sim_ms.path, drift_sim_sources)
    truth = np.array([flux for *_, flux in drift_sim_sources])[:, None]
    assert np.abs(fluxes.real / truth - 1).max() < 0.005
    assert np.abs(fluxes.imag / truth).max() < 0.01  # no phase left over: the geometry is the sky's


def test_meridian_at_zenith():
    site = geometry.Site(np.deg2rad(LONGITUDE_DEG), np.deg2rad(LATITUDE_DEG), HEIGHT_M)
    zenith = geometry.meridian_icrs(site, np.array([2460923.641147]), site.latitude_rad)[0]
    known = SkyCoord(276.80037288, 37.21421524, unit="deg")
    assert SkyCoord(*zenith, unit="rad").separation(known).arcsec < 0.5


def astropy_axes(time_mjd_s, ra_rad, dec_rad, step_rad=1e-3):
    """u, v, w unit vectors in ITRF by way of astropy's AltAz: the second implementation."""
    place = EarthLocation.from_geodetic(LONGITUDE_DEG, LATITUDE_DEG, HEIGHT_M)
    frame = AltAz(obstime=Time(time_mjd_s / 86400, format="mjd", scale="utc"), location=place, pressure=0)
    east, north = np.deg2rad([LONGITUDE_DEG, LATITUDE_DEG])
    to_itrf = np.array([
        [-np.sin(east), -np.sin(north) * np.cos(east), np.cos(north) * np.cos(east)],
        [np.cos(east), -np.sin(north) * np.sin(east), np.cos(north) * np.sin(east)],
        [0.0, np.cos(north), np.sin(north)],
    ])  # fmt: skip
    apparent = SkyCoord(ra_rad, np.array([dec_rad - step_rad, dec_rad, dec_rad + step_rad]), unit="rad").transform_to(
        frame
    )
    az, alt = apparent.az.rad, apparent.alt.rad
    south, w, to_north = (to_itrf @ [np.cos(alt) * np.sin(az), np.cos(alt) * np.cos(az), np.sin(alt)]).T
    v = to_north - south
    v -= (v @ w) * w
    v /= np.linalg.norm(v)
    return np.stack([np.cross(v, w), v, w])


def test_uvw_equal_astropy(drift_sim_ms):
    """Every row within 0.1 mm of the antenna table's baseline on astropy's axes."""
    description = read_ms_info(drift_sim_ms.path)
    axes = {time: astropy_axes(time, *description.phase_centre_rad) for time in description.times_mjd_s}
    positions = description.antenna_positions_m
    with table(str(drift_sim_ms.path), ack=False) as main:
        rows = zip(*(main.getcol(name) for name in ("TIME", "ANTENNA1", "ANTENNA2", "UVW")), strict=True)
        for time, a1, a2, uvw in rows:
            assert np.abs(axes[time] @ (positions[a1] - positions[a2]) - uvw).max() < 1e-4


def test_uvw_equal_pyuvdata(drift_sim_ms, drift_sim_files):
    """The delay w within 0.1 mm. pyuvdata takes north from a point half a degree south: 7e-6 rad in u and v."""
    uvdata = UVData.from_file([str(drift_sim_files[0])], file_type="uvh5", run_check=False)
    uvdata.phase(
        lon=np.deg2rad(drift_sim_ms.ra_deg), lat=np.deg2rad(drift_sim_ms.dec_deg), cat_name="tile", phase_frame="icrs"
    )
    uvdata.set_uvws_from_antenna_positions()
    stamps = np.round((uvdata.time_array - 2400000.5) * 86400)
    reference = dict(
        zip(zip(stamps, uvdata.ant_1_array, uvdata.ant_2_array, strict=True), uvdata.uvw_array, strict=True)
    )
    with table(str(drift_sim_ms.path), ack=False) as main:
        rows = zip(*(main.getcol(name) for name in ("TIME", "ANTENNA1", "ANTENNA2", "UVW")), strict=True)
        for time, a1, a2, uvw in rows:
            # A Measurement Set's uvw is antenna 1 minus antenna 2, UVH5's antenna 2 minus antenna 1.
            apart = np.abs(reference[round(time), a1, a2] + uvw)
            assert apart[2] < 1e-4
            assert apart.max() < 1e-5 * np.linalg.norm(uvw) + 1e-4


def test_visibilities_equal_pyuvdata(drift_sim_ms, drift_sim_files):
    """Fringe-stop undone and phased by pyuvdata: every value equal to float32 accuracy of the phase."""
    subband = 5
    uvdata = UVData.from_file([str(drift_sim_files[subband])], file_type="uvh5", run_check=False)
    w_old = uvdata.uvw_array[:, 2].astype(np.float64)
    header_freqs = uvdata.freq_array
    uvdata.data_array *= np.exp(2j * np.pi * w_old[:, None] * header_freqs / C_M_S)[:, :, None]
    uvdata.set_uvws_from_antenna_positions()
    uvdata.phase(
        lon=np.deg2rad(drift_sim_ms.ra_deg), lat=np.deg2rad(drift_sim_ms.dec_deg), cat_name="tile", phase_frame="icrs"
    )
    expected = np.conj(uvdata.data_array[:, ::-1])
    description = read_ms_info(drift_sim_ms.path)
    first = int(np.argmin(np.abs(description.freqs_hz - header_freqs.min())))
    with table(str(drift_sim_ms.path), ack=False) as main:
        ours = main.getcol("DATA")[:, first : first + 48]
        order = {key: row for row, key in enumerate(zip(main.getcol("TIME").round().astype(int),
                 main.getcol("ANTENNA1"), main.getcol("ANTENNA2"), strict=True))}  # fmt: skip
    stamps = np.round((uvdata.time_array - 2400000.5) * 86400).astype(int)
    rows = [order[key] for key in zip(stamps, uvdata.ant_1_array, uvdata.ant_2_array, strict=True)]
    # The files' uvw are float32, 0.1 mm at 2 km: a phase of 3e-3 at 1.4 GHz.
    assert np.abs(ours[rows] - expected).max() < 5e-3 * np.abs(expected).max()


def test_pyuvdata_reads_ms(drift_sim_ms):
    read = UVData.from_file(str(drift_sim_ms.path), file_type="ms")
    assert (read.Nblts, read.Nfreqs, read.Npols) == (216, 768, 2)
    assert read.freq_array[0] < read.freq_array[-1]
    assert read.phase_center_catalog[0]["cat_frame"] == "icrs"


def test_phase_centre_is_meridian_at_mid_tile(drift_sim_ms, drift_sim_files):
    header = read_header(drift_sim_files[0])
    place = EarthLocation.from_geodetic(LONGITUDE_DEG, LATITUDE_DEG, HEIGHT_M)
    middle = Time(0.5 * (header.times_jd[0] + header.times_jd[-1]), format="jd", scale="utc")
    south = (90 - LATITUDE_DEG + np.rad2deg(header.phasing.declination_rad)) * u.deg
    meridian = SkyCoord(180 * u.deg, south, frame=AltAz(obstime=middle, location=place, pressure=0)).icrs
    assert meridian.separation(SkyCoord(drift_sim_ms.ra_deg, drift_sim_ms.dec_deg, unit="deg")).arcsec < 0.5


CASA_SCRIPT = """
import json, sys
from casatools import msmetadata, ms
md = msmetadata(); md.open(sys.argv[1])
apparent = dict(spws=md.nspw(), antennas=md.nantennas(), fields=md.fieldnames(),
            widths=[float(md.chanwidths(0).min()), float(md.chanwidths(0).max())], rows=int(md.nrows()),
            bandwidth=float(md.bandwidths()[0]), observatory=md.observatorynames())
md.close()
tool = ms(); tool.open(sys.argv[1]); listing = tool.summary(); tool.close()
apparent["beginning"] = listing["BeginTime"]
print(json.dumps(apparent))
"""


def test_casatools_reads_ms(drift_sim_ms, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CASA_SCRIPT, str(drift_sim_ms.path)],
        env=casa_environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["spws"], summary["rows"], summary["antennas"]) == (1, 216, 117)
    assert summary["widths"] == [pytest.approx(244140.625)] * 2
    assert summary["bandwidth"] == pytest.approx(187.5e6)
    assert summary["observatory"] == ["OVRO_MMA"]
    assert summary["beginning"] == pytest.approx(drift_sim_ms.mjd_start, abs=1e-6)


@pytest.mark.judge("wsclean")
def test_wsclean_source_position(drift_sim_ms, drift_sim_sources, tmp_path):
    subprocess.run(
        ["wsclean", "-quiet", "-j", "2", "-name", str(tmp_path / "dirty"), "-size", "2048", "2048", "-scale", "3asec",
         "-weight", "uniform", "-channels-out", "1", "-data-column", "DATA", str(drift_sim_ms.path)],
        cwd=tmp_path, check=True, timeout=200, capture_output=True,
    )  # fmt: skip
    with fits.open(tmp_path / "dirty-dirty.fits") as opened:
        image, wcs = opened[0].data[0, 0], WCS(opened[0].header).celestial
    peak = np.unravel_index(np.argmax(image), image.shape)
    ra, dec, flux = drift_sim_sources[0]
    position = wcs.pixel_to_world(peak[1], peak[0])
    assert position.separation(SkyCoord(ra, dec, unit="deg")).arcsec < 5
    assert image[peak] == pytest.approx(flux, rel=0.15)  # eight antennas: the others' sidelobes lie on top
