"""The mosaic stage on whole strips: fluxes, positions, noise, sizes, headers, files."""

import tracemalloc
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from tile_images import FREQ_HZ, SMALL, airy, measure_truth, random_sky, strip, write_strip

from contimg.common.errors import Transient
from contimg.common.files.staging import guarded_renames
from contimg.epoch.mosaic import make_mosaic
from contimg.formats.records import to_plain
from contimg.sky.catalogue import SURVEY, CatalogueSources, Provenance, write_catalogue


def test_fluxes_positions_and_noise(hour):
    sky, specs, paths, mosaic = hour
    truth = measure_truth(mosaic.fits_path, sky, (paths[2], mosaic.members[2].rms_jy))
    assert truth.sources > 40
    assert truth.ratio == pytest.approx(1, abs=0.01)
    assert truth.rms < 0.02
    assert truth.offset_beams < 0.1
    # At +16 deg a tile has moved by half of the primary beam before the next one: the sum gains less.
    assert truth.depth_gain > (1.4 if specs[0].dec_deg < 30 else 1.5)
    assert mosaic.rms_jy == pytest.approx(mosaic.expected_rms_jy, rel=0.1)
    assert mosaic.flux_seam is not None
    assert mosaic.flux_seam < 0.005
    assert mosaic.verdict == "good", mosaic.verdict_reasons


def test_no_trend_with_the_distance_from_a_tile(hour):
    sky, specs, _, mosaic = hour
    truth = measure_truth(mosaic.fits_path, sky)
    distance = np.min(
        [
            np.hypot(((truth.ra_deg - spec.ra_deg + 180) % 360 - 180) * np.cos(np.deg2rad(spec.dec_deg)),
                     truth.dec_deg - spec.dec_deg)
            for spec in specs
        ],
        axis=0,
    )  # fmt: skip
    near, far = truth.flux_ratio[distance < 0.8], truth.flux_ratio[distance > 1.0]
    assert np.median(far) == pytest.approx(np.median(near), abs=0.01)


def test_shifts_and_levels_are_measured(hour):
    _, specs, _, mosaic = hour
    east = np.array([member.east_arcsec for member in mosaic.members])
    north = np.array([member.north_arcsec for member in mosaic.members])
    true_east, true_north = -np.array([spec.shift_arcsec for spec in specs]).T
    limit = 0.05 * mosaic.beam_minor_arcsec
    assert east - east.mean() == pytest.approx(true_east - true_east.mean(), abs=limit)
    assert north - north.mean() == pytest.approx(true_north - true_north.mean(), abs=limit)
    # The level is in Jy per beam, so that it grows with the beam it is convolved to.
    level = np.array([member.background_jy for member in mosaic.members])
    assert level == pytest.approx([spec.background_jy for spec in specs], abs=1e-4)


def test_the_grid_is_minimal(hour):
    _, specs, _, mosaic = hour
    span_deg = 4 * 1.2908 * np.cos(np.deg2rad(specs[0].dec_deg)) + 512 * 24 / 3600
    assert mosaic.width_pixels * mosaic.cell_arcsec / 3600 == pytest.approx(span_deg, rel=0.05)
    data = np.squeeze(fits.getdata(mosaic.fits_path))
    assert data.shape == (mosaic.height_pixels, mosaic.width_pixels)
    for edge in (data[0], data[-1], data[:, 0], data[:, -1]):
        assert np.isfinite(edge).any()


def test_header_has_members_and_astropy_reads_it(hour):
    _, _, paths, mosaic = hour
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in (mosaic.fits_path, mosaic.weight_fits_path, mosaic.rms_fits_path):
            with fits.open(path, checksum=True) as units:
                units.verify("exception")
                assert units[0].data.shape[:2] == (1, 1)
                WCS(units[0].header)
    header = fits.getheader(mosaic.fits_path)
    assert [header[f"MEMB{number:03d}"] for number in range(1, 6)] == [path.name for path in paths]
    assert sum(header[f"MWGT{number:03d}"] for number in range(1, 6)) == pytest.approx(1)
    assert header["MEAS002"] == pytest.approx(mosaic.members[1].east_arcsec)
    assert (header["PBCUT"], header["VERDICT"], header["BUNIT"]) == (0.1, "good", "JY/BEAM")
    assert header["BMAJ"] * 3600 == pytest.approx(mosaic.beam_major_arcsec)
    assert header["RESTFRQ"] == pytest.approx(FREQ_HZ, rel=0.01)
    assert header["RADIOBM"]
    assert to_plain(mosaic)["members"][0]["name"] == paths[0].name
    frequency = fits.getdata(mosaic.weight_fits_path, "FREQUENCY")
    assert np.nanmax(frequency) <= FREQ_HZ
    assert np.nanmin(frequency) > 0.98 * FREQ_HZ


def test_weights_and_blank_pixels(hour):
    _, specs, _, mosaic = hour
    flux, weight, rms = (
        np.squeeze(fits.getdata(path)) for path in (mosaic.fits_path, mosaic.weight_fits_path, mosaic.rms_fits_path)
    )
    used = weight > 0
    assert (np.isfinite(flux) == used).all()
    assert (np.isfinite(rms) == used).all()
    assert weight[used].min() >= mosaic.weight_cutoff
    wcs = WCS(fits.getheader(mosaic.fits_path)).celestial
    centre = specs[2]
    x, y = np.rint(wcs.wcs_world2pix(centre.ra_deg, centre.dec_deg, 0)).astype(int)
    distances = [np.deg2rad(abs((spec.ra_deg - centre.ra_deg + 180) % 360 - 180)) * np.cos(np.deg2rad(spec.dec_deg))
                 for spec in specs]  # fmt: skip
    expected = sum(
        float(airy(np.array(distance))) ** 2 / member.rms_jy**2
        for distance, member in zip(distances, mosaic.members, strict=True)
    )
    assert weight[y, x] == pytest.approx(expected, rel=0.2)
    assert np.median(rms[used] * np.sqrt(weight[used])) == pytest.approx(1, abs=0.1)


def test_completeness_and_fluxes_against_a_catalogue(hour, tmp_path):
    sky, _, paths, _ = hour
    names = [f"s{number}" for number in range(sky.flux_jy.size)]
    sources = CatalogueSources.of(FREQ_HZ, names, sky.ra_deg, sky.dec_deg, sky.flux_jy)
    provenance = Provenance(name="list", kind=SURVEY, frequency_hz=FREQ_HZ, beam_deg=15 / 3600, flux_limit_jy=1e-3)
    catalogue = write_catalogue(tmp_path / "list.catalogue", sources, provenance).path
    mosaic = make_mosaic(paths, tmp_path / "m.fits", reference_catalogue=catalogue)
    assert mosaic.catalogue_completeness == 1.0
    assert mosaic.catalogue_flux_ratio == pytest.approx(1, abs=0.02)
    assert fits.getheader(mosaic.fits_path)["CATCOMPL"] == 1.0


def test_same_images_give_the_same_bits(small_tiles, tmp_path):
    first = make_mosaic(small_tiles, tmp_path / "a" / "m.fits")
    second = make_mosaic(small_tiles[::-1], tmp_path / "b" / "m.fits")
    for name in ("m.fits", "m.weight.fits", "m.rms.fits"):
        headers = [fits.getheader(tmp_path / directory / name) for directory in "ab"]
        for header in headers:
            del header["CHECKSUM"]  # of the whole header, with the date in a comment
        assert list(headers[0].items()) == list(headers[1].items())
        assert fits.getdata(tmp_path / "a" / name).tobytes() == fits.getdata(tmp_path / "b" / name).tobytes()
    assert [member.name for member in first.members] == [member.name for member in second.members]


def test_a_failed_rename_leaves_no_mosaic(small_tiles, tmp_path):
    renames = []

    @contextmanager
    def lost_lease():
        renames.append(1)
        if len(renames) == 6:
            raise Transient("the lease is lost")
        yield

    output = tmp_path / "products" / "m.fits"
    with guarded_renames(lost_lease), pytest.raises(Transient):
        make_mosaic(small_tiles, output)
    assert not output.exists()
    assert not list(output.parent.glob("*.writing-*"))


@pytest.mark.long
def test_memory_does_not_grow_with_the_tiles(tmp_path, small_sky):
    specs = [replace(spec, seed=number) for number, spec in enumerate(strip(80.0, 20.0, 2, **SMALL) * 4)]
    paths = write_strip(tmp_path, specs, small_sky)
    peaks = []
    make_mosaic(paths[:2], tmp_path / "m.fits")  # imports and compiles
    for count in (2, 8):
        tracemalloc.start()
        make_mosaic(paths[:count], tmp_path / "m.fits")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.15 * peaks[0]


@pytest.mark.long
def test_a_miscalibrated_tile_is_graded(tmp_path):
    specs = strip(80.0, 20.0, 4)
    specs[1] = replace(specs[1], scale=1.3)
    sky = random_sky(80.0, 20.0, 7.5, 3.2, 250)
    mosaic = make_mosaic(write_strip(tmp_path, specs, sky), tmp_path / "m.fits")
    scales = [member.flux_scale for member in mosaic.members]
    assert scales[1] / np.mean([scales[0], scales[2]]) == pytest.approx(1.3, abs=0.03)
    assert mosaic.verdict == "suspect"
    assert mosaic.flux_step > 0.05
    pair = next(pair for pair in mosaic.overlaps if pair.first == "tile01.fits" and pair.second == "tile02.fits")
    assert pair.flux_ratio == pytest.approx(1.3, abs=0.04)


@pytest.mark.long
def test_the_overlaps_measure_the_primary_beam(tmp_path):
    specs = [replace(spec, pb_width=1.08, rms_jy=1e-4) for spec in strip(80.0, 60.0, 4)]
    sky = random_sky(80.0, 60.0, 5.5, 3.2, 250)
    mosaic = make_mosaic(write_strip(tmp_path, specs, sky), tmp_path / "m.fits")
    first = mosaic.beam_profile[0]
    assert len(mosaic.beam_profile) >= 4
    for entry in mosaic.beam_profile:
        radii = np.deg2rad([entry.radius_deg, first.radius_deg])
        true = airy(radii, 1.08) / airy(radii)
        # The flux scales of the strip's ends take up a part of the deviation.
        assert entry.deviation == pytest.approx(true[0] / true[1] - 1, abs=max(0.03, 4 * entry.error), rel=0.2)
    assert mosaic.beam_deviation > 0.05
