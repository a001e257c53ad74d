"""Images and tables that are measured or refused, the command, the flags of headers, and an outside judge."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner
from sky_images import RMS_JY, SkyImage, scattered_pixels

from contimg.cli import contimg
from contimg.common.errors import BadInput
from contimg.epoch.photometry.positions import Positions
from contimg.epoch.photometry.products import MeasurementFlag
from contimg.epoch.photometry.run import measure_fluxes
from contimg.sky.catalogue import SIMULATED, CatalogueSources, Provenance, write_catalogue

SKY = SkyImage(shape=(300, 400))
PIXELS = np.array([[100.3, 150.2], [250.7, 90.1]])
FLUX_JY = np.array([0.1, 0.05])


@pytest.fixture(scope="module")
def pixels_jy() -> np.ndarray:
    """Two sources in noise."""
    return SKY.noise() + SKY.sources(PIXELS, FLUX_JY)


@pytest.fixture
def image(tmp_path: Path, pixels_jy: np.ndarray) -> Path:
    return SKY.write(tmp_path / "sky.fits", pixels_jy)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The two sources, and a position outside the image."""
    ra_deg, dec_deg = SKY.wcs.wcs_pix2world(PIXELS, 0).T
    path = tmp_path / "positions.csv"
    path.write_text(f"dec_deg,name,ra_deg\n{dec_deg[0]},A,{ra_deg[0]}\n{dec_deg[1]},B,{ra_deg[1] - 360}\n-20,C,10\n")
    return path


@pytest.mark.parametrize(
    ("cards", "factor"),
    [
        ({"BUNIT": "Jy/beam"}, 1),
        ({"BUNIT": "mJy/beam"}, 1e-3),
        ({"BUNIT": "uJy beam-1"}, 1e-6),
        ({"BUNIT": "JY/BEAM "}, 1),
    ],
)
def test_units(tmp_path: Path, table: Path, pixels_jy: np.ndarray, cards: dict[str, str], factor: float) -> None:
    photometry = measure_fluxes(SKY.write(tmp_path / "unit.fits", pixels_jy / factor, **cards), table)
    assert photometry.flux_jy[:2] == pytest.approx(FLUX_JY, abs=5 * RMS_JY)


@pytest.mark.parametrize(
    ("cards", "words"),
    [({"BUNIT": "K"}, "unit K"), ({"BUNIT": ""}, "unit missing"), ({"BMAJ": 0.0}, "restoring beam"),
     ({"CTYPE1": "GLON-SIN", "CTYPE2": "GLAT-SIN"}, "GLON")],
)  # fmt: skip
def test_image_is_refused(
    tmp_path: Path, table: Path, pixels_jy: np.ndarray, cards: dict[str, object], words: str
) -> None:  # fmt: skip
    with pytest.raises(BadInput, match=words) as refused:
        measure_fluxes(SKY.write(tmp_path / "refused.fits", pixels_jy, **cards), table)
    assert "\n" not in str(refused.value)


def test_blank_image_and_other_shape_are_refused(tmp_path: Path, table: Path, image: Path) -> None:
    blank = SKY.write(tmp_path / "blank.fits", np.full(SKY.shape, np.nan))
    with pytest.raises(BadInput, match="blank"):
        measure_fluxes(blank, table)
    fits.writeto(tmp_path / "sky.pb.fits", np.ones((10, 10)))
    with pytest.raises(BadInput, match=r"sky.pb.fits: has 10 x 10 pixels, the image 400 x 300"):
        measure_fluxes(image, table)


def test_four_axes_and_casa_names(tmp_path: Path, table: Path, pixels_jy: np.ndarray) -> None:
    header = SKY.header()
    header.update({"CTYPE3": "STOKES", "CRVAL3": 1.0, "CTYPE4": "FREQ", "CRVAL4": 1.4e9, "CRPIX4": 1.0, "CDELT4": 1e6})
    fits.writeto(tmp_path / "casa.image.fits", pixels_jy[None, None].astype("f4"), header)
    fits.writeto(tmp_path / "casa.pb.fits", np.full((1, 1, *SKY.shape), 0.5, dtype="f4"), header)
    photometry = measure_fluxes(tmp_path / "casa.image.fits", table)
    assert photometry.flux_jy[:2] == pytest.approx(2 * FLUX_JY, abs=10 * RMS_JY)
    assert photometry.freq_hz == 1.4e9


@pytest.mark.parametrize(
    ("text", "words"),
    [("ra,dec\n1,2\n", "no column ra_deg"), ("ra_deg,dec_deg\n", "no row"), ("", "empty"),
     ("ra_deg,dec_deg\n1,x\n", "x"), ("ra_deg,dec_deg\n1,95\n", "position 1"),
     ("ra_deg,dec_deg\n1,\n", "ra_deg and dec_deg")],
)  # fmt: skip
def test_table_is_refused(tmp_path: Path, image: Path, text: str, words: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=words):
        measure_fluxes(image, path)


@pytest.mark.parametrize(
    ("cards", "flag"),
    [({"CALSET": "none"}, MeasurementFlag.UNCALIBRATED),
     ({"NMEMBERS": 2, "MCAL002": "none"}, MeasurementFlag.UNCALIBRATED),
     ({"VERDICT": "bad"}, MeasurementFlag.BAD_IMAGE), ({"CATOFFS": 15.0}, MeasurementFlag.BAD_POSITIONS),
     ({"CATOFFS": 15.0, "ASTSHFTE": 1.0}, MeasurementFlag(0)), ({"UNFLAG": 0.3}, MeasurementFlag.HIGH_FLAG_FRACTION),
     ({"GROUP": "2026-02-22T03:04:05"}, MeasurementFlag.TILE)],
)  # fmt: skip
def test_flags_of_the_header(
    tmp_path: Path, pixels_jy: np.ndarray, cards: dict[str, object], flag: MeasurementFlag
) -> None:  # fmt: skip
    path = SKY.write(tmp_path / "flagged.fits", pixels_jy, **cards)
    (flags,) = measure_fluxes(path, Positions.of(*SKY.wcs.wcs_pix2world(PIXELS[:1], 0).T)).flags
    assert MeasurementFlag(int(flags)) == flag


def test_sources_of_a_catalogue_in_the_image_are_measured(tmp_path: Path, image: Path) -> None:
    ra_deg, dec_deg = SKY.wcs.wcs_pix2world(np.array([*PIXELS, [-5.0, 100.0], [900.0, 900.0]]), 0).T
    provenance = Provenance(name="few", kind=SIMULATED, frequency_hz=1.4e9, beam_deg=0.01, flux_limit_jy=0.01)
    sources = CatalogueSources.of(1.4e9, ["A", "B", "C", "D"], ra_deg, dec_deg, np.ones(4))
    write_catalogue(tmp_path / "few.catalogue", sources, provenance)
    photometry = measure_fluxes(image, tmp_path / "few.catalogue")
    assert sorted(photometry.source_id) == ["A", "B"]
    assert np.sort(photometry.flux_jy) == pytest.approx(np.sort(FLUX_JY), abs=5 * RMS_JY)


@pytest.mark.parametrize("suffix", [".csv", ".vot", ".fits", ".parquet"])
def test_command_writes_tables(tmp_path: Path, image: Path, table: Path, suffix: str) -> None:
    path = tmp_path / f"fluxes{suffix}"
    result = CliRunner().invoke(contimg, ["photometry", str(image), "--catalogue", str(table), "--out", str(path)])
    assert result.exit_code == 0, result.output
    if suffix == ".parquet":
        rows = pd.read_parquet(path)
    else:
        rows = Table.read(path, format={".csv": "ascii.csv", ".vot": "votable", ".fits": "fits"}[suffix])
    assert {"name", "ra_deg", "dec_deg", "flux_jy", "flux_error_jy", "local_rms_jy", "pb", "flags"} <= set(rows.columns)
    assert [str(name) for name in rows["name"]] == ["A", "B", "C"]
    assert list(rows["flux_jy"][:2]) == pytest.approx(FLUX_JY, abs=5 * RMS_JY)
    assert rows["flags"][2] == MeasurementFlag.OUTSIDE


def test_command_prints_fluxes(image: Path, table: Path) -> None:
    arguments = ["photometry", str(image), "--catalogue", str(table)]
    printed = CliRunner().invoke(contimg, arguments).output
    assert "OUTSIDE" in printed
    rows = json.loads(CliRunner().invoke(contimg, [*arguments, "--json"]).output)
    assert [(row["name"], row["flag_names"]) for row in rows] == [("A", ""), ("B", ""), ("C", "OUTSIDE")]
    assert (rows[2]["flux_jy"], rows[0]["is_detected"]) == (None, True)
    refused = CliRunner().invoke(contimg, [*arguments, "--out", "fluxes.txt"])
    assert isinstance(refused.exception, BadInput)


@pytest.mark.skipif(
    importlib.util.find_spec("bdsf") is None, reason="bdsf is not installed: pip install contimg[sources]"
)
def test_fluxes_agree_with_pybdsf(tmp_path: Path) -> None:
    """Peaks of isolated sources above 60 sigma, at the positions that PyBDSF has."""
    from contimg.tile.image.sources.finding import find_sources

    sky = SkyImage(shape=(500, 700))
    pixels = scattered_pixels(sky.shape, 100)
    values = sky.noise() + sky.sources(pixels, np.linspace(60, 400, len(pixels)) * RMS_JY)
    header = sky.header()
    header.update({"CTYPE3": "FREQ", "CRVAL3": 1.405e9, "CRPIX3": 1.0, "CDELT3": 1e6, "CTYPE4": "STOKES"})
    judged = find_sources(values.astype(np.float32), np.ones(sky.shape, dtype=np.float32), header, 7.0, tmp_path)
    path = sky.write(tmp_path / "judged.fits", values)
    photometry = measure_fluxes(path, Positions.of([s.ra_deg for s in judged], [s.dec_deg for s in judged]))
    assert len(judged) == len(pixels)
    ratio = photometry.flux_jy / [source.peak_jy for source in judged]
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    assert ratio.std() < 0.02
