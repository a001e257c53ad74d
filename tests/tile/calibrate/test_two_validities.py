"""Validity of bandpass and gains: class and age of a tile's calibration, borrowed sets, gains between two sets."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from casacore.tables import table
from small_ms import copied

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.columns import read_calibration_record
from contimg.formats.ms.info import read_ms_info
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.calibrate.selection import describe_calibration, select_caltable_set, select_second_set

APPLY_ONLY = CalibrateOptions(solve=False, flag=False)


@pytest.fixture(scope="module")
def new(calibrated):
    return calibrated.done.new_set


@pytest.fixture(scope="module")
def tile(calibrated):
    return read_ms_info(calibrated.truth.path)


@pytest.fixture
def make_set(new, tmp_path):
    """Write the solved set as of another time, its gains turned by the phases of a linear drift."""

    def make(name, hours, deg_per_hour=0.0):
        directory = tmp_path / "sets" / name
        shutil.copytree(new.directory, directory)
        times = ("mjd", "valid_from_mjd", "valid_to_mjd", "gains_valid_from_mjd", "gains_valid_to_mjd")
        shifted = {key: getattr(new, key) + hours / 24 for key in times}
        moved = replace(new, name=name, directory=directory, **shifted)
        for path in moved.paths:
            with table(str(path), readonly=False, ack=False) as main:
                main.putcol("TIME", main.getcol("TIME") + 3600 * hours)
        with (
            table(str(moved.paths[-1]), readonly=False, ack=False) as main,
            table(str(moved.paths[-1] / "ANTENNA"), ack=False) as antenna,
        ):
            is_reference = np.array(antenna.getcol("NAME"))[main.getcol("ANTENNA1")] == new.reference_antenna
            rates = np.where(is_reference, 0.0, np.sin(main.getcol("ANTENNA1") + 1.0))
            turn = np.exp(1j * np.deg2rad(deg_per_hour * hours * rates))
            main.putcol("CPARAM", (main.getcol("CPARAM") * turn[:, None, None]).astype(np.complex64))
        moved.write()
        return CaltableSet.read(directory)

    return make


def corrected(path):
    with table(str(path), ack=False) as main:
        return np.where(main.getcol("FLAG"), 0, main.getcol("CORRECTED_DATA")), read_calibration_record(
            main, "CORRECTED_DATA"
        )


@pytest.mark.parametrize(
    ("hours", "expected", "suspect"),
    [(-0.5, "same transit", False), (-6, "same day", False), (9, "same day", False), (-40, "borrowed", True)],
)
def test_class_and_age_follow_the_set(calibrated, make_set, tmp_path, hours, expected, suspect):
    path = copied(calibrated.truth, tmp_path).path
    done = calibrate(path, [make_set("other", hours)], tmp_path / "calibration", APPLY_ONLY)
    record = corrected(path)[1]
    assert (done.calibration_set, done.calibration_class, record["calibration_class"]) == ("other", expected, expected)
    assert done.bandpass_age_h == pytest.approx(-hours, abs=0.05)
    assert done.gain_age_h == record["gain_age_h"] == pytest.approx(-hours, abs=0.05)
    assert done.gain_snr > 10
    assert (record["grade"] == "suspect") == suspect
    assert any("borrowed" in reason for reason in record["reasons"]) == suspect


def test_tile_of_the_transit_has_the_phase_scatter_of_its_set(calibrated):
    """Phases by the minute are measured, and not applied: their rms costs flux."""
    done = calibrated.done
    assert done.calibration_class == "same transit"
    assert done.phase_residual_deg == done.new_set.quality["phase_scatter_deg"]
    assert 0 < done.flux_loss_fraction < 0.03


def test_set_is_borrowed_only_where_none_is_valid(make_set, tile):
    old, older, valid = make_set("old", -40), make_set("older", -100), make_set("valid", -20)
    assert select_caltable_set([old], tile)[0] is None
    assert select_caltable_set([older, old], tile, borrow_days=3)[0] == old
    assert select_caltable_set([older], tile, borrow_days=3)[0] is None
    assert select_caltable_set([old, replace(valid, grade="suspect")], tile, borrow_days=3)[0].name == "valid"


def test_set_of_earlier_version_is_calibrated_as_before(new, tile, tmp_path):
    """Its description has one validity, of 12 hours; it is applied within it, as of the same day."""
    directory = tmp_path / "earlier"
    shutil.copytree(new.directory, directory)
    values = json.loads((directory / "set.json").read_text())
    del values["gains_valid_from_mjd"], values["gains_valid_to_mjd"]
    values |= {"valid_from_mjd": values["mjd"] - 0.5, "valid_to_mjd": values["mjd"] + 0.5, "name": "earlier"}
    (directory / "set.json").write_text(json.dumps(values))
    earlier = CaltableSet.read(directory)
    assert earlier.gains_valid_to_mjd == pytest.approx(earlier.mjd + 1 / 24)
    later = replace(tile, times_mjd_s=tile.times_mjd_s + 11 * 3600)
    assert select_caltable_set([earlier], later)[0] == earlier
    assert describe_calibration(earlier, None, later, 1.0).calibration_class == "same day"
    assert select_caltable_set([earlier], replace(tile, times_mjd_s=tile.times_mjd_s + 13 * 3600))[0] is None


def test_second_set_is_good_valid_and_on_the_other_side(make_set, tile):
    first = make_set("first", -3)
    candidates = [make_set("before", -5), make_set("later", 8), make_set("nearest", 4), make_set("invalid", 30)]
    candidates.append(replace(make_set("doubtful", 2), grade="suspect"))
    assert select_second_set(candidates, first, tile).name == "nearest"
    assert select_second_set(candidates[:1], first, tile) is None
    assert select_second_set(candidates, replace(first, grade="suspect"), tile) is None
    assert select_second_set(candidates, replace(first, name=tile.name), tile) is None


def test_gains_of_two_sets_are_interpolated(calibrated, make_set, tmp_path):
    """Phases that drift by 5 deg an hour: between two sets they are right to a degree, not by the nearest alone."""
    truth, options = calibrated.truth, APPLY_ONLY
    steady, early, late = make_set("steady", -0.2), make_set("early", -3, 5.0), make_set("late", 6, 5.0)
    errors_deg = {}
    data = {}
    for name, sets in {"true": [steady], "nearest": [early], "both": [early, late]}.items():
        path = copied(truth, tmp_path / name).path
        done = calibrate(path, sets, tmp_path / name / "calibration", options)
        data[name], record = corrected(path)
        error = np.angle(data[name] * np.conj(data["true"]))[data["true"] != 0]
        errors_deg[name] = np.rad2deg(np.sqrt(np.mean(error**2)))
    assert (done.calibration_set, done.second_set) == ("early", "late")
    assert record["second_set"] == "late"
    assert "late" in done.calibration_note
    assert errors_deg["nearest"] > 10
    assert errors_deg["both"] < 1
