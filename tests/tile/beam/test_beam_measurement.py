"""The measured width of beams that the imager does not know, in drawn tile images of a strip."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from click.testing import CliRunner

from contimg.cli import contimg
from contimg.common.errors import BadInput, Misconfigured
from contimg.instrument.beam_table import ALWAYS_MJD, BeamEntry, beam_width, install_entry, read_entries
from contimg.instrument.dsa110 import BAND, primary_beam
from contimg.simulation import SimulateOptions, drift, plan_tiles
from contimg.simulation.beams import mean_power
from contimg.simulation.visibilities import prepare_run
from contimg.tile.beam.measure import measure_beam
from contimg.tile.image.deconvolution.restoring import evaluate_beam
from contimg.tile.image.result import Beam
from contimg.tile.image.sources.matches import CatalogueSource

SIZE, PIXEL_ARCSEC, RMS_JY, BEAM = 1000, 12.0, 5e-4, Beam(48.0, 36.0, 20.0)
SKY = SimulateOptions(groups=5, gap=11, antennas=4, channels=16, sky="counts", faintest_mjy=40, sources=0)


def draw_tiles(directory: Path, rms_jy: float = RMS_JY, **errors: float) -> tuple[list[Path], list[CatalogueSource]]:
    """Images of four tiles with the apparent fluxes that the simulator's beam gives, and the true fluxes."""
    options = SKY.replace(**errors)
    run, paths, catalogue = prepare_run(options), [], {}
    rng = np.random.default_rng(2)
    freqs_hz = np.linspace(BAND.bottom_hz, BAND.top_hz, 9)
    for plan in plan_tiles(options)[1:]:
        step = PIXEL_ARCSEC / 3600
        header = fits.Header({
            "CTYPE1": "RA---SIN", "CRPIX1": SIZE / 2 + 1, "CRVAL1": plan.centre_ra_deg, "CDELT1": -step,
            "CTYPE2": "DEC--SIN", "CRPIX2": SIZE / 2 + 1, "CRVAL2": plan.centre_dec_deg, "CDELT2": step,
            "CRVAL3": BAND.centre_hz, "CDELT3": BAND.top_hz - BAND.bottom_hz, "MJD-AVG": plan.mid_jd - 2400000.5,
            "DATE-AVG": Time(plan.mid_jd, format="jd").isot,
            "EXPTIME": 24 * 12.884902, "RMS": rms_jy, "BMAJ": 48 / 3600, "BMIN": 36 / 3600, "BPA": 20.0,
        })  # fmt: skip
        positions = np.array([[source.ra_deg, source.dec_deg] for source in plan.sources])
        directions = drift.source_directions(*positions.T, plan.times_jd)
        response = mean_power(run.beam, run.array.numbers, directions, plan.apparent_dec_rad, freqs_hz).mean(
            axis=(0, 2)
        )
        flux_jy = np.array([float(source.flux_jy(BAND.centre_hz)) for source in plan.sources])
        image = rms_jy * rng.standard_normal((SIZE, SIZE))
        pixels = np.stack(WCS(header).celestial.all_world2pix(*positions.T, 0), axis=-1)
        for (x, y), apparent_jy in zip(pixels, flux_jy * response, strict=True):
            if 15 < x < SIZE - 15 and 15 < y < SIZE - 15:
                left, low = int(x) - 12, int(y) - 12
                rows, columns = np.indices((25, 25), sparse=True)
                drawn = evaluate_beam(BEAM, PIXEL_ARCSEC, columns + left - x, rows + low - y)
                image[low : low + 25, left : left + 25] += apparent_jy * drawn
        path = directory / f"{plan.index}.fits"
        fits.PrimaryHDU(image[None, None].astype(np.float32), header).writeto(path)
        paths.append(path)
        for source, jy in zip(plan.sources, flux_jy, strict=True):
            catalogue[source.name] = CatalogueSource(source.name, source.ra_deg, source.dec_deg, float(jy))
    return paths, list(catalogue.values())


@pytest.mark.parametrize("width", [0.9, 1.0, 1.15])
def test_width_is_measured_to_two_percent(tmp_path: Path, width: float) -> None:
    paths, _ = draw_tiles(tmp_path, beam_width=width)
    measurement = measure_beam(paths)
    assert measurement.width == pytest.approx(width, abs=0.02)
    assert measurement.width_error < 0.02
    assert abs(measurement.width - width) < 4 * measurement.width_error
    assert measurement.sources >= 5
    assert measurement.images == 4
    assert abs(measurement.east_arcmin) < 4 * max(measurement.east_error_arcmin, 0.3)


def test_pointing_offset_and_ellipse_with_catalogue(tmp_path: Path) -> None:
    paths, catalogue = draw_tiles(tmp_path, beam_ellipticity=0.08, beam_width=1.05, pointing_east_arcmin=6.0)
    measurement = measure_beam(paths, catalogue)
    assert measurement.width == pytest.approx(1.05, abs=0.03)
    assert measurement.ellipticity == pytest.approx(0.08, abs=0.03)
    assert measurement.east_arcmin == pytest.approx(6.0, abs=1.5)


def test_installed_width_rights_fluxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured, installed by the command, and used: the response inside half power is right to 5 %."""
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))
    paths, _ = draw_tiles(tmp_path, beam_width=1.15)
    offset_rad = np.deg2rad([0.0, 0.5, 1.0, 1.4])
    true = primary_beam(offset_rad / 1.15, BAND.centre_hz)
    assert np.abs(true / primary_beam(offset_rad, BAND.centre_hz) - 1).max() > 0.13
    runner = CliRunner()
    shown = runner.invoke(contimg, ["beam", "show"])
    assert "Airy" in shown.output
    measured = runner.invoke(contimg, ["beam", "measure", "--out", str(tmp_path), *map(str, paths)])
    assert measured.exit_code == 0, measured.output
    assert (tmp_path / "primary_beam.png").stat().st_size > 10_000
    arguments = ["beam", "install", str(tmp_path / "primary_beam.json"), "--from-mjd", "61000"]
    installed = runner.invoke(contimg, arguments)
    assert installed.exit_code == 0, installed.output
    np.testing.assert_allclose(primary_beam(offset_rad, BAND.centre_hz, mjd=61094.0), true, rtol=0.05)
    np.testing.assert_allclose(primary_beam(offset_rad, BAND.centre_hz), true, rtol=0.05)
    before = primary_beam(offset_rad, BAND.centre_hz, mjd=60999.0)
    assert before[2] < 0.95 * true[2]
    # Dishes of another telescope keep their Airy disk.
    foreign = primary_beam(offset_rad / 5, BAND.centre_hz, 25.0, mjd=61094.0)
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "none"))
    np.testing.assert_array_equal(foreign, primary_beam(offset_rad / 5, BAND.centre_hz, 25.0))
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))
    (entry,) = json.loads(runner.invoke(contimg, ["beam", "show", "--json"]).output)
    assert entry["width"] == pytest.approx(1.15, abs=0.02)


def test_newest_entry_that_covers_time_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path))
    assert beam_width(60000.0) == 1.0
    for width, valid in ((1.1, ALWAYS_MJD), (1.2, (61000.0, 62000.0))):
        install_entry(BeamEntry(width, 0.01, *valid, 61000.0, 5, 20))
    assert [beam_width(60000.0), beam_width(61500.0), beam_width(62500.0), beam_width()] == [1.1, 1.2, 1.1, 1.2]
    assert len(read_entries()) == 2
    with pytest.raises(BadInput, match=r"3\.000"):
        install_entry(BeamEntry(3.0, 0.01, *ALWAYS_MJD, 61000.0, 5, 20))
    with pytest.raises(BadInput, match="validity"):
        install_entry(BeamEntry(1.1, 0.01, 61000.0, 61000.0, 61000.0, 5, 20))
    (tmp_path / "primary_beam.json").write_text('{"entries": [{"width": 9}]}')
    with pytest.raises(Misconfigured, match=r"primary_beam\.json"):
        beam_width()


def test_images_that_cannot_measure_beam(tmp_path: Path) -> None:
    paths, _ = draw_tiles(tmp_path)
    with pytest.raises(BadInput, match="two or more"):
        measure_beam(paths[:1])
    with fits.open(paths[1], mode="update") as units:
        units[0].header["CRVAL2"] += 1.0
    with pytest.raises(BadInput, match="strip"):
        measure_beam(paths)
    (tmp_path / "empty").mkdir()
    empty, _ = draw_tiles(tmp_path / "empty", rms_jy=0.1)
    with pytest.raises(BadInput, match="limit 3"):
        measure_beam(empty)
