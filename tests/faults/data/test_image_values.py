"""Values that are no numbers in the columns that the image stage reads: such rows and samples count for nothing."""

import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from casacore.tables import table

sys.path.append(str(Path(__file__).parents[2] / "tile" / "image"))

from point_source_ms import Source, make_ms

from contimg.common.errors import BadInput
from contimg.tile.image import ImageOptions, image

OPTIONS = ImageOptions(size=256, iterations=200, plots=True)
EVERY = 40  # one row in this many is corrupted


def make_sky(path):
    sources = (Source(0.02, -0.03, 2.0), Source(-0.1, 0.08, 0.5))
    return make_ms(path, sources, antennas=16, times=3, channels=16, airy=False, sefd_jy=2000.0)


@pytest.fixture(scope="module")
def without_rows(tmp_path_factory):
    """The image of the same sky without the rows that the tests corrupt."""
    path = make_sky(tmp_path_factory.mktemp("reference") / "sky.ms")
    with table(str(path), ack=False, readonly=False) as main:
        main.removerows(np.arange(5, main.nrows(), EVERY))
    return image(path, path.parent / "images", OPTIONS)


def corrupt(path, column, value, flagged):
    with table(str(path), ack=False, readonly=False) as main:
        rows = np.arange(5, main.nrows(), EVERY)
        cells = main.getcol(column)
        cells[rows] = value
        main.putcol(column, cells)
        if flagged:
            flag = main.getcol("FLAG")
            flag[rows] = True
            main.putcol("FLAG", flag)


@pytest.mark.parametrize(
    ("column", "value", "flagged"),
    [
        ("WEIGHT", np.inf, True),
        ("WEIGHT", np.inf, False),
        ("WEIGHT", np.nan, False),
        ("WEIGHT", -np.inf, False),
        ("WEIGHT", 3e38, False),
        ("UVW", np.nan, False),
        ("UVW", np.inf, True),
        ("UVW", 1e30, False),
        ("DATA", np.nan, False),
        ("DATA", complex(0, np.inf), True),
        ("DATA", 3e38, False),
    ],
)
def test_values_that_are_no_numbers_count_for_nothing(tmp_path, caplog, without_rows, column, value, flagged):
    path = make_sky(tmp_path / "sky.ms")
    corrupt(path, column, value, flagged)
    tile_image = image(path, tmp_path / "images", OPTIONS)
    assert tile_image.peak_jy == pytest.approx(without_rows.peak_jy, rel=1e-3)
    assert tile_image.rms_jy == pytest.approx(without_rows.rms_jy, rel=0.02)
    assert tile_image.expected_rms_jy == pytest.approx(without_rows.expected_rms_jy, rel=1e-3)
    assert np.isfinite(fits.getdata(tile_image.products.fits)).all()
    if column != "DATA" and value != -np.inf:
        assert tile_image.unflagged_fraction == pytest.approx(1 - 1 / EVERY, abs=0.005)
        assert "sky.ms" in caplog.text
        assert f"{column}" in caplog.text


@pytest.mark.parametrize(("column", "value"), [("WEIGHT", np.inf), ("WEIGHT", np.nan), ("UVW", np.nan)])
def test_no_usable_row_is_bad_input(tmp_path, column, value):
    path = make_sky(tmp_path / "sky.ms")
    with table(str(path), ack=False, readonly=False) as main:
        main.putcol(column, np.full_like(main.getcol(column), value))
    with pytest.raises(BadInput, match=r"sky\.ms.*WEIGHT and UVW"):
        image(path, tmp_path / "images", OPTIONS)
    assert not list((tmp_path / "images").glob("*"))


@pytest.mark.parametrize(("column", "value"), [("SIGMA", np.nan), ("SIGMA", np.inf), ("WEIGHT_SPECTRUM", np.nan)])
def test_columns_that_are_not_used(tmp_path, without_rows, column, value):
    path = make_sky(tmp_path / "sky.ms")
    with table(str(path), ack=False, readonly=False) as main:
        main.removerows(np.arange(5, main.nrows(), EVERY))
        if column == "WEIGHT_SPECTRUM":
            from casacore.tables import makearrcoldesc, maketabdesc

            main.addcols(maketabdesc(makearrcoldesc(column, 0.0, valuetype="float", ndim=2)))
            main.putcol(column, np.full(main.getcol("DATA").shape, value, np.float32))
        else:
            main.putcol(column, np.full_like(main.getcol(column), value))
    tile_image = image(path, tmp_path / "images", OPTIONS)
    assert tile_image.peak_jy == pytest.approx(without_rows.peak_jy, rel=1e-6)


def test_stokes_i_in_ms_is_imaged(tmp_path, without_rows):
    path = make_sky(tmp_path / "sky.ms")
    with table(str(path), ack=False, readonly=False) as main:
        main.removerows(np.arange(5, main.nrows(), EVERY))
        data = main.getcol("DATA")
        stokes = np.stack([data.mean(axis=2), (data[..., 0] - data[..., 1]) / 2], axis=2)
        main.putcol("DATA", stokes)
    with table(f"{path}::POLARIZATION", ack=False, readonly=False) as polarization:
        polarization.putcell("CORR_TYPE", 0, np.array([1, 2]))
    tile_image = image(path, tmp_path / "images", OPTIONS)
    assert tile_image.peak_jy == pytest.approx(without_rows.peak_jy, rel=1e-4)
    assert tile_image.rms_jy == pytest.approx(without_rows.rms_jy, rel=1e-3)


@pytest.mark.parametrize("codes", [[2, 3], [10, 11]], ids=["Q, U", "XY, YX"])
def test_correlations_without_stokes_i_are_bad_input(tmp_path, codes):
    path = make_sky(tmp_path / "sky.ms")
    with table(f"{path}::POLARIZATION", ack=False, readonly=False) as polarization:
        polarization.putcell("CORR_TYPE", 0, np.array(codes))
    with pytest.raises(BadInput, match=r"sky\.ms.*Stokes I"):
        image(path, tmp_path / "images", OPTIONS)
