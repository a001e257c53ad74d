"""Measurement Sets that other programs wrote or changed: understood, rows left out, or refused with the reason."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc, table

from contimg.common.errors import BadInput
from contimg.formats.ms.info import read_ms_info
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.calibrate.selection import select_calibrators
from contimg.tile.calibrate.solve.sky_model import make_sky_model
from contimg.tile.calibrate.solve.solving_data import read_solving_data
from contimg.tile.convert import convert
from contimg.tile.flag.run import flag
from contimg.tile.image import ImageOptions, image

BAD_ROWS = slice(5, None, 9)


@pytest.fixture(scope="module")
def converted(drift_sim_files, tmp_path_factory) -> Path:
    return convert(drift_sim_files, tmp_path_factory.mktemp("converted") / "2026-02-22T23:17:51.ms").path


@pytest.fixture
def ms(converted, tmp_path) -> Path:
    return Path(shutil.copytree(converted, tmp_path / converted.name))


def edit(path, column, value, row=0):
    with table(str(path), readonly=False, ack=False) as main:
        main.putcell(column, row, value)


def edit_rows(path, column, value, rows=BAD_ROWS):
    with table(str(path), readonly=False, ack=False) as main:
        values = main.getcol(column)
        values[rows] = value
        main.putcol(column, values)


def set_frame(path, frame):
    with table(str(path / "FIELD"), readonly=False, ack=False) as field:
        field.putcolkeyword("PHASE_DIR", "MEASINFO", {"type": "direction", "Ref": frame})


def set_frame_by_row(path, code):
    """As CASA writes it where the frame of a field may differ from that of others."""
    with table(str(path / "FIELD"), readonly=False, ack=False) as field:
        field.addcols(maketabdesc(makescacoldesc("PhaseDir_Ref", 0)))
        field.putcol("PhaseDir_Ref", np.array([code]))
        reference = {"VarRefCol": "PhaseDir_Ref", "TabRefTypes": ["J2000", "B1950"], "TabRefCodes": np.array([0, 4])}
        field.putcolkeyword("PHASE_DIR", "MEASINFO", {"type": "direction", **reference})


def add_field(path, offset_rad):
    """Give the second half of the rows to a second field."""
    with table(str(path / "FIELD"), readonly=False, ack=False) as field:
        field.addrows(1)
        for column in ("PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR"):
            field.putcell(column, 1, field.getcell(column, 0) + offset_rad)
    with table(str(path), ack=False) as main:
        rows = main.nrows()
    edit_rows(path, "FIELD_ID", 1, slice(rows // 2, None))


def add_window(path):
    for name, columns in {"SPECTRAL_WINDOW": ("CHAN_FREQ", "CHAN_WIDTH"), "DATA_DESCRIPTION": ()}.items():
        with table(str(path / name), readonly=False, ack=False) as subtable:
            subtable.addrows(1)
            for column in columns:
                subtable.putcell(column, 1, subtable.getcell(column, 0))
    edit(path / "DATA_DESCRIPTION", "SPECTRAL_WINDOW_ID", 1, row=1)
    edit_rows(path, "DATA_DESC_ID", 1, slice(0, 10))


def widen_flags(path):
    with table(str(path), readonly=False, ack=False) as main:
        shape = (main.getcell("FLAG", 0).shape[0] + 1, 2)
        main.removecols(["FLAG"])
        main.addcols(maketabdesc(makearrcoldesc("FLAG", False, valuetype="boolean", shape=list(shape))))
        main.putcol("FLAG", np.zeros((main.nrows(), *shape), dtype=bool))


REFUSED = {
    "two fields": (lambda ms: add_field(ms, 0.02), "2 fields"),
    "B1950": (lambda ms: set_frame(ms, "B1950"), "B1950"),
    "galactic": (lambda ms: set_frame(ms, "GALACTIC"), "GALACTIC"),
    "B1950 of one row": (lambda ms: set_frame_by_row(ms, 4), "B1950"),
    "moving field": (lambda ms: edit(ms / "FIELD", "PHASE_DIR", np.array([[0.4, 0.6], [1e-5, 0.0]])), "PHASE_DIR"),
    "field is no number": (lambda ms: edit(ms / "FIELD", "PHASE_DIR", np.array([[np.nan, 0.6]])), "PHASE_DIR"),
    "field without row": (lambda ms: edit_rows(ms, "FIELD_ID", 3), "FIELD"),
    "two windows": (add_window, "2 spectral windows"),
    "unknown correlation": (lambda ms: edit(ms / "POLARIZATION", "CORR_TYPE", np.array([9, 77])), "77"),
    "times": (lambda ms: edit_rows(ms, "TIME", np.nan), "TIME"),
    "interval": (lambda ms: edit_rows(ms, "INTERVAL", 0.0, slice(None)), "INTERVAL"),
    "frequency": (
        lambda ms: edit(ms / "SPECTRAL_WINDOW", "CHAN_FREQ", np.full(768, np.inf)), "CHAN_FREQ",
    ),
    "antenna out of range": (lambda ms: edit_rows(ms, "ANTENNA2", 4000), "4000"),
    "every weight": (lambda ms: edit_rows(ms, "WEIGHT", np.nan, slice(None)), "WEIGHT"),
    "every uvw": (lambda ms: edit_rows(ms, "UVW", np.inf, slice(None)), "UVW"),
    "shape of flags": (widen_flags, "FLAG"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_refused_in_one_line(fault, ms, tmp_path):
    edit, word = REFUSED[fault]
    edit(ms)
    for stage in (
        lambda: calibrate(ms, [], tmp_path / "calibration", CalibrateOptions()),
        lambda: image(ms, tmp_path / "images", ImageOptions()),
    ):
        with pytest.raises(BadInput) as caught:
            stage()
        assert str(ms) in str(caught.value)
        assert word in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "images").exists()


def used_slots(ms):
    with table(str(ms), ack=False) as main:
        return np.unique(main.getcol("ANTENNA1"))


def test_antennas_of_one_name_are_refused(ms):
    first, second = used_slots(ms)[:2]
    with table(str(ms / "ANTENNA"), ack=False) as antenna:
        name = antenna.getcell("NAME", int(first))
    edit(ms / "ANTENNA", "NAME", name, row=int(second))
    with pytest.raises(BadInput, match=f"name {name} more than once"):
        read_ms_info(ms)


def test_unknown_position_is_refused_where_rows_use_it(ms):
    used = used_slots(ms)
    unused = next(slot for slot in range(117) if slot not in used)
    edit(ms / "ANTENNA", "POSITION", np.full(3, np.nan), row=unused)
    assert read_ms_info(ms).rows
    edit(ms / "ANTENNA", "POSITION", np.full(3, np.nan), row=int(used[0]))
    with pytest.raises(BadInput, match="POSITION"):
        read_ms_info(ms)


UNDERSTOOD = {
    "two fields of one centre": lambda ms: add_field(ms, 0.0),
    "one centre, a turn apart": lambda ms: add_field(ms, np.array([[2 * np.pi, 0.0]])),
    "J2000": lambda ms: set_frame(ms, "J2000"),
    "J2000 of one row": lambda ms: set_frame_by_row(ms, 0),
}


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_understood(case, ms, converted):
    UNDERSTOOD[case](ms)
    assert np.array_equal(read_ms_info(ms).phase_centre_rad, read_ms_info(converted).phase_centre_rad)


def test_second_field_alone_gives_its_centre(ms, converted):
    add_field(ms, 0.02)
    edit_rows(ms, "FIELD_ID", 1, slice(None))
    expected = read_ms_info(converted).phase_centre_rad + 0.02
    assert read_ms_info(ms).phase_centre_rad == pytest.approx(expected, abs=1e-12)


def test_unused_window_and_field_are_ignored(ms):
    add_window(ms)
    add_field(ms, 0.02)
    for column in ("FIELD_ID", "DATA_DESC_ID"):
        edit_rows(ms, column, 0, slice(None))
    assert read_ms_info(ms).freqs_hz.size == 768


@pytest.mark.parametrize("codes", [[1, 4], [1, 2], [10, 11]], ids=["I V", "I Q", "XY YX"])
def test_correlations_that_cannot_be_calibrated(codes, ms, tmp_path):
    edit(ms / "POLARIZATION", "CORR_TYPE", np.array(codes))
    with pytest.raises(BadInput, match="products of receptors"):
        calibrate(ms, [], tmp_path / "calibration", CalibrateOptions())


def test_measurement_set_without_data_is_refused(ms):
    with table(str(ms), readonly=False, ack=False) as main:
        main.renamecol("DATA", "CORRECTED_DATA")
    with pytest.raises(BadInput, match="DATA"):
        flag(read_ms_info(ms))


def test_pointing_that_is_no_number_is_left_out(ms, converted):
    with table(str(ms / "POINTING"), readonly=False, ack=False) as pointing:
        directions = pointing.getcol("DIRECTION")
        directions[: len(directions) // 6] = np.nan  # of the first integration
        pointing.putcol("DIRECTION", directions)
    pointing_rad, expected = read_ms_info(ms).pointing_rad, read_ms_info(converted).pointing_rad
    assert np.allclose(pointing_rad[1:], expected[1:], atol=1e-12)
    assert np.array_equal(pointing_rad[0], pointing_rad[1])


def add_weight_spectrum(ms):
    with table(str(ms), readonly=False, ack=False) as main:
        shape = main.getcol("DATA").shape
        main.addcols(
            maketabdesc(makearrcoldesc("WEIGHT_SPECTRUM", 0.0, valuetype="float", shape=list(shape[1:]))),
        )
        main.putcol("WEIGHT_SPECTRUM", np.ones(shape, np.float32))


@pytest.mark.parametrize("shape", [None, (1, 2)], ids=["no cells", "one channel"])
def test_weights_of_other_samples_are_not_used(shape, ms, converted):
    with table(str(ms), readonly=False, ack=False) as main:
        main.addcols(maketabdesc(makearrcoldesc("WEIGHT_SPECTRUM", 0.0, valuetype="float", ndim=2)))
        if shape:
            main.putcol("WEIGHT_SPECTRUM", np.full((main.nrows(), *shape), np.nan, np.float32))
    flag(read_ms_info(ms), search=False)
    with table(str(ms), ack=False) as main, table(str(converted), ack=False) as original:
        assert np.array_equal(main.getcol("FLAG"), original.getcol("FLAG"))


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("column", ["WEIGHT", "UVW", "WEIGHT_SPECTRUM"])
def test_rows_that_are_no_numbers_are_flagged_and_not_solved_on(column, value, ms, converted, tmp_path):
    if column == "WEIGHT_SPECTRUM":
        add_weight_spectrum(ms)
    edit_rows(ms, column, value)
    flag(read_ms_info(ms), search=False)
    with table(str(ms), ack=False) as main:
        flags = main.getcol("FLAG")
    assert flags[BAD_ROWS].all()
    reference = tmp_path / "reference.ms"
    if column == "WEIGHT_SPECTRUM":  # of samples
        shutil.copytree(converted, reference)
        edit_rows(reference, "FLAG_ROW", True)
    else:
        with table(str(converted), ack=False) as main:
            rows = np.arange(main.nrows())
            main.selectrows(np.setdiff1d(rows, rows[BAD_ROWS])).copy(str(reference), deep=True).close()
    flag(read_ms_info(reference), search=False)
    cells = []
    for path in (ms, reference):
        info = read_ms_info(path)
        sources = [source.calibrator for source in select_calibrators(info, 0.1, 1.0)]
        data = read_solving_data(info, make_sky_model(info, sources), 60.0)
        cells.append([data.visibilities, data.weights, data.uvw_m])
    assert all(np.array_equal(*pair) for pair in zip(*cells, strict=True))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_sigma_is_not_used(value, ms, converted):
    edit_rows(ms, "SIGMA", value, slice(None))
    flag(read_ms_info(ms), search=False)
    with table(str(ms), ack=False) as main, table(str(converted), ack=False) as original:
        assert np.array_equal(main.getcol("FLAG"), original.getcol("FLAG"))
