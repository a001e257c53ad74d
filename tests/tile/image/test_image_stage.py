"""The image stage from Measurement Set to product, against sources whose place and flux are known."""

import json
import os
import re

import matplotlib.image
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from casacore.tables import table
from click.testing import CliRunner
from point_source_ms import DEC0, OPTIONS, RA0, SOURCES, START_MJD_S, Source, make_ms, separation_rad

from contimg.cli.tile.stages import image as command
from contimg.common.errors import BadInput, Misconfigured, Transient
from contimg.tile.image import ImageOptions, image
from contimg.tile.image import run as stage
from contimg.tile.image.sources.photometry import measure_source

SMALL = ImageOptions(
    size=256, pixel_arcsec=6.0, padding=1.0, threshold_sigma=1.0, changing_sky=False
)  # no primary beam


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: f"{source.flux_jy}Jy")
def test_sources_have_true_position_and_flux(tile, source):
    measured = measure_source(tile.products.fits, *source.direction())
    assert measured.offset_beams < 0.02
    assert measured.flux_jy == pytest.approx(source.flux_jy, rel=0.01)
    away = separation_rad(source.direction(), (measured.ra_deg, measured.dec_deg))
    assert np.rad2deg(away) * 3600 < 0.5


def test_brightest_pixel_is_at_header_position(tile):
    with fits.open(tile.products.fits) as units:
        picture, wcs = units[0].data[0, 0], WCS(units[0].header).celestial
    y, x = np.unravel_index(picture.argmax(), picture.shape)
    position = wcs.pixel_to_world_values(x, y)
    assert np.rad2deg(separation_rad(position, SOURCES[0].direction())) * 3600 < tile.cell_arcsec
    assert wcs.wcs.radesys == "ICRS"
    assert list(wcs.wcs.ctype) == ["RA---SIN", "DEC--SIN"]
    assert tuple(wcs.wcs.crval) == pytest.approx(np.rad2deg([RA0, DEC0]))


def test_header_has_provenance(tile):
    header = fits.getheader(tile.products.fits)
    assert header["BUNIT"] == "JY/BEAM"
    assert header["BMAJ"] * 3600 == pytest.approx(tile.beam_major_arcsec)
    assert (header["CALSET"], header["CALNAME"], header["CALMJD"]) == ("2026-02-22T20:00:00_3C48", "3C48", 61093.83)
    assert header["GROUP"] == "2026-02-22T23:17:51"
    assert header["MJD-AVG"] * 86400 == pytest.approx(START_MJD_S, abs=0.01)
    assert header["CTYPE3"] == "FREQ"
    assert 1.38e9 < header["CRVAL3"] < 1.43e9
    assert {"CONTIMG", "DUCC0", "RADLER", "CASACORE", "NUMPY", "RMS", "ROBUST", "RESTFRQ"} <= set(header)
    assert "CALWHY" not in header


@pytest.mark.long
def test_pb_corrected_image_has_true_fluxes(tile):
    with fits.open(tile.products.corrected) as corrected, fits.open(tile.products.fits) as apparent:
        with fits.open(tile.products.primary_beam) as beam:
            in_beam = beam[0].data >= 0.05
            expected = apparent[0].data[in_beam] / beam[0].data[in_beam]
        assert corrected[0].data[in_beam] == pytest.approx(expected, rel=1e-5)
        assert np.isnan(corrected[0].data[~in_beam]).all()
        for units in (corrected, apparent):
            assert units[0].verify_checksum() == 1
            assert units[0].verify_datasum() == 1


def test_image_without_grade_before_grading(small_ms, tmp_path, monkeypatch):
    grade, grades = stage.grade_image, []
    monkeypatch.setattr(
        stage, "grade_image", lambda tile_image, limits: grades.append(tile_image.verdict) or grade(tile_image, limits)
    )
    assert image(small_ms, tmp_path / "images", SMALL).verdict
    assert grades == [""]


def test_image_numbers(tile):
    assert tile.calibration_set
    assert (tile.verdict, tile.clean_stopped_by) == ("good", "noise")
    assert tile.unflagged_fraction == 1.0
    assert (tile.hands, tile.missing_subbands, tile.sources_found) == ("XX, YY", (), None)
    assert tile.hand_ratio == pytest.approx(1.0, abs=3 * tile.hand_ratio_error)
    assert tile.hand_ratio_error < 0.01
    assert tile.edge_noise_ratio < 1.5
    header = fits.getheader(tile.fits_path)
    assert (header["SUNDIST"], header["SUNJY"]) == (tile.sun_distance_deg, tile.sun_jy)
    assert 0 < tile.sun_distance_deg < 180
    assert tile.cleaned_jy == pytest.approx(
        sum(measure_source(tile.products.fits, *s.direction()).apparent_jy for s in SOURCES), rel=0.02
    )
    assert tile.dynamic_range == pytest.approx(tile.peak_jy / tile.rms_jy)
    assert [match.source.name for match in tile.matches] == list("abcd")
    assert tile.catalogue_flux_ratio == pytest.approx(1, abs=0.01)
    assert tile.catalogue_offset_arcsec < 0.5
    assert set(tile.seconds) == {"read", "weight", "average", "beam", "clean", "restore", "sources", "hands", "write"}


def test_previews_show_the_brightest_source_at_its_place(tile):
    picture = matplotlib.image.imread(tile.products.png)
    thumbnail = matplotlib.image.imread(tile.products.thumbnail)
    assert picture.shape[:2] == (1000, 1000)
    assert thumbnail.shape[0] == thumbnail.shape[1] == 256
    y, x = np.unravel_index(thumbnail[..., :3].sum(axis=2).argmax(), thumbnail.shape[:2])
    with fits.open(tile.products.fits) as units:
        row, column = np.unravel_index(units[0].data[0, 0].argmax(), (tile.pixels, tile.pixels))
    # PNG counts rows from the top, FITS from the bottom.
    assert (x, 255 - y) == pytest.approx((column * 256 / tile.pixels, row * 256 / tile.pixels), abs=1.5)


def test_pixels_sample_the_beam(small_ms, tmp_path):
    uniform = ImageOptions(size=256, weighting="uniform", padding=1.0, iterations=50, changing_sky=False)
    tile_image = image(small_ms, tmp_path / "images", uniform)
    assert tile_image.cell_arcsec in (2.0, 2.5, 3.0, 3.5, 4.0)
    assert tile_image.beam_pixels == pytest.approx(tile_image.beam_minor_arcsec / tile_image.cell_arcsec)
    assert 4.0 <= tile_image.beam_pixels < 5.5
    assert fits.getheader(tile_image.products.fits)["BEAMPIX"] == pytest.approx(tile_image.beam_pixels)
    assert not any("pixels wide" in reason for reason in tile_image.verdict_reasons)
    coarse = image(small_ms, tmp_path / "coarse", uniform.replace(pixel_arcsec=6.0))
    assert coarse.cell_arcsec == 6.0
    assert coarse.beam_pixels < 4.0
    assert any("pixels wide" in reason for reason in coarse.verdict_reasons)


def test_noise_alone_has_the_thermal_rms(tmp_path):
    path = make_ms(tmp_path / "noise.ms", antennas=24, times=4, channels=32, sefd_jy=6500.0)
    for robust in (-1.0, 0.5, 2.0):
        tile_image = image(path, tmp_path / "images", ImageOptions(size=512, robust=robust))
        assert tile_image.rms_jy == pytest.approx(tile_image.expected_rms_jy, rel=0.08)


def test_flagged_values_are_ignored(small_ms, tmp_path):
    with table(str(small_ms), ack=False, readonly=False) as main:
        data, flag = main.getcol("DATA"), main.getcol("FLAG")
        data[::7, 3, 0], flag[::7, 3, 0] = 1e6, True
        data[::5, 9, 1] = np.nan
        data[main.getcol("ANTENNA1") == main.getcol("ANTENNA2")] = 1e6
        main.putcol("DATA", data)
        main.putcol("FLAG", flag)
    tile_image = image(small_ms, tmp_path / "images", SMALL)
    assert tile_image.peak_jy == pytest.approx(1.0, rel=0.005)
    assert 0.9 < tile_image.unflagged_fraction < 0.99


def test_all_flagged_is_bad_input_without_files(small_ms, tmp_path):
    with table(str(small_ms), ack=False, readonly=False) as main:
        main.putcol("FLAG", np.ones_like(main.getcol("FLAG")))
    with pytest.raises(BadInput, match=re.escape(str(small_ms))):
        image(small_ms, tmp_path / "images", SMALL)
    assert not (tmp_path / "images").exists()


def test_no_long_baseline_is_bad_input(small_ms, tmp_path):
    with pytest.raises(BadInput, match="min_uv_klambda"):
        image(small_ms, tmp_path / "images", ImageOptions(size=256, min_uv_klambda=100.0))


def test_averaging_must_divide_the_channels(small_ms, tmp_path):
    with pytest.raises(Misconfigured, match="channel_average=5"):
        image(small_ms, tmp_path / "images", ImageOptions(size=256, channel_average=5))


@pytest.mark.parametrize(
    ("note", "reason", "grade"),
    [
        (None, "DATA", "suspect"),
        ({}, "DATA", "suspect"),
        ({"set": None, "reason": "no calibrator within 12 h"}, "no calibrator within 12 h", "bad"),
    ],
)
def test_uncalibrated_image_states_reason(tmp_path, note, reason, grade):
    path = make_ms(tmp_path / "tile.ms", (Source(0, 0, 1.0),), antennas=12, times=2, channels=8, corrected=note)
    tile_image = image(path, tmp_path, SMALL)
    assert not tile_image.calibration_set
    assert reason in tile_image.calibration.reason
    assert tile_image.verdict == grade
    header = fits.getheader(tile_image.products.fits)
    assert header["CALSET"] == "none"
    assert reason in header["CALWHY"]


def test_corrected_data_with_damaged_keyword(small_ms, tmp_path):
    path = make_ms(tmp_path / "tile.ms", (Source(0, 0, 1.0),), antennas=12, times=2, channels=8, corrected={"set": "s"})
    with table(str(path), ack=False, readonly=False) as main:
        main.putcol("CORRECTED_DATA", 3 * main.getcol("DATA"))
    assert image(path, tmp_path, SMALL).peak_jy == pytest.approx(3.0 * 0.98, rel=0.03)
    with table(str(path), ack=False, readonly=False) as main:
        main.putcolkeyword("CORRECTED_DATA", "CONTIMG_CALIBRATION", "{half")
    with pytest.raises(BadInput, match="CONTIMG_CALIBRATION"):
        image(path, tmp_path, SMALL)


def test_cross_hands_alone_give_no_stokes_i(small_ms, tmp_path):
    with table(f"{small_ms}::POLARIZATION", ack=False, readonly=False) as polarization:
        polarization.putcell("CORR_TYPE", 0, np.array([10, 11]))
    with pytest.raises(BadInput, match=r"\bXX\b.*\bYY\b"):
        image(small_ms, tmp_path, SMALL)


def test_failed_write_leaves_no_files(small_ms, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("contimg.tile.image.writing.write_thumbnail", full)
    with pytest.raises(Transient, match="No space left"):
        image(small_ms, tmp_path / "images", SMALL)
    assert not list((tmp_path / "images").iterdir())


def test_second_image_replaces_first(small_ms, tmp_path):
    first = image(small_ms, tmp_path / "images", SMALL)
    second = image(small_ms, tmp_path / "images", SMALL)
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == [
        "small.fits",
        "small.pb.fits",
        "small.pbcor.fits",
        "small.png",
        "small.subtracted.csv",
        "small.thumb.png",
        "small.zoom.png",
    ]
    assert second.peak_jy == pytest.approx(first.peak_jy, rel=1e-5)


def test_leftovers_of_killed_runs_are_removed(small_ms, tmp_path):
    old, young, foreign = (tmp_path / f"{name}.fits.writing-00" for name in ("small", "small.pb", "another"))
    for path in (old, young, foreign):
        path.write_bytes(b"half")
    for path in (old, foreign):
        os.utime(path, (1e9, 1e9))
    image(small_ms, tmp_path, SMALL)
    assert not old.exists()
    assert young.exists()
    assert foreign.exists()


def test_random_phases_are_graded_bad(small_ms, tmp_path):
    with table(str(small_ms), ack=False, readonly=False) as main:
        data = main.getcol("DATA")
        turns = np.random.default_rng(2).random(data.shape)
        main.putcol("DATA", (1e10 * np.exp(2j * np.pi * turns)).astype(np.complex64))
    assert image(small_ms, tmp_path / "images", SMALL).verdict == "bad"


def test_zero_data_are_graded_bad(tmp_path):
    path = make_ms(tmp_path / "zero.ms", antennas=12, times=2, channels=8)
    tile_image = image(path, tmp_path, SMALL)
    assert tile_image.verdict == "bad"
    assert tile_image.iterations == 0


def test_clean_prints_nothing(small_ms, tmp_path, capfd):
    image(small_ms, tmp_path / "images", SMALL)
    assert capfd.readouterr().out == ""


def test_command_prints_paths_and_numbers(tile_ms, tmp_path):
    ran = CliRunner().invoke(
        command, [str(tile_ms), "--directory", str(tmp_path), "--size", "512", "--iterations", "100"]
    )
    assert ran.exit_code == 0, ran.output
    assert str(tmp_path / "2026-02-22T23:17:51.fits") in ran.output
    assert "2026-02-22T20:00:00_3C48" in ran.output
    assert (tmp_path / "2026-02-22T23:17:51.png").exists()


def test_invalid_options_are_refused():
    with pytest.raises(Misconfigured, match=r"\bsize=255\b"):
        ImageOptions(size=255)
    with pytest.raises(Misconfigured, match=r"threshold_sigma=4\b.*mask_sigma=3\b"):
        ImageOptions(mask_sigma=3.0, threshold_sigma=4.0)
    assert json.dumps(OPTIONS.__dict__)
