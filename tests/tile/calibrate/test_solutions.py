"""Tables of several times and of delays: applied as CASA's applycal applies them, whoever made them."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table
from small_ms import FREQS, TIMES, make_ms, random_gains
from test_import_tables import split

from contimg.common.errors import BadInput
from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.info import read_ms_info
from contimg.quality.caltables import SolutionLimits
from contimg.tile.calibrate.apply import apply_caltable_set, compute_inverse_gains_in_time
from contimg.tile.calibrate.import_tables import import_set
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.solve import casa

NAME = "2026-02-22T23:17:51"
LIMITS = SolutionLimits(reject_flagged=0.9)
SOLVED_ON = (24.0, 33.4, lambda f: 16.0 + 0 * f)  # at the centre: CASA needs no model


def column(path, name):
    with table(str(path), ack=False) as main:
        return main.getcol(name)


def edit(path, name, change):
    with table(str(path), readonly=False, ack=False) as main:
        values = main.getcol(name)
        change(values, main.getcol("TIME"), main.getcol("ANTENNA1"))
        main.putcol(name, values)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A tile whose antennas drift, and CASA's tables of it: delays every 52 s, gains every 26 s, two bandpasses."""
    scratch = tmp_path_factory.mktemp("night")
    path = make_ms(scratch / f"{NAME}.ms", sources=[SOLVED_ON], gains=random_gains(), noise=0.2).path
    rng = np.random.default_rng(4)
    walk = np.cumsum(rng.normal(scale=0.015, size=(TIMES, 14)), axis=0)
    grown = np.exp(1j * walk + 0.3 * walk[:, ::-1])

    def drift(data, times, first):
        second, when = column(path, "ANTENNA2"), np.searchsorted(np.unique(times), times)
        data *= (grown[when, first] * grown[when, second].conj())[:, None, None]

    edit(path, "DATA", drift)
    names = {kind: str(scratch / f"night.{kind}") for kind in "KGB"}
    common = {"vis": str(path), "refant": "103"}
    solve = [
        casa.Task("gaincal", {**common, "caltable": names["K"], "gaintype": "K", "solint": "52s"}),
        casa.Task("gaincal", {**common, "caltable": names["G"], "solint": "26s", "gaintable": [names["K"]]}),
        casa.Task(
            "bandpass", {**common, "caltable": names["B"], "solint": "52s", "gaintable": [names["K"], names["G"]]}
        ),
    ]
    casa.run(solve, scratch, scratch / "casa.log", 120)

    def fail(which, *slots):
        def change(flags, times, first):
            flags[np.isin(first, slots) & (times == np.unique(times)[which])] = True

        return change

    edit(names["G"], "FLAG", fail(1, 3, 4))
    edit(names["K"], "FLAG", fail(0, 6))
    edit(names["B"], "FLAG", fail(1, 8))
    edit(names["B"], "FLAG", lambda flags, times, first: flags.__setitem__((first == 9, slice(20, 30)), True))
    reference_path = scratch / "applycal.ms"
    shutil.copytree(path, reference_path)
    arguments = {
        "vis": str(reference_path), "gaintable": [names["K"], names["B"], names["G"]],
        "interp": ["linear", "linear,linearflag", "linear"], "calwt": [False], "flagbackup": False,
        "applymode": "calflag",
    }  # fmt: skip
    casa.run([casa.Task("applycal", arguments)], scratch, scratch / "casa.log", 120)
    return path, reference_path, names


def imported(night, scratch):
    paths = [Path(path) for path in night[2].values()]
    return import_set(paths, "night", scratch / "sets", CalibrateOptions(), LIMITS, dec_deg=33.4)


@pytest.mark.long
def test_imported_set_of_several_times_and_delays_equals_applycal(night, tmp_path):
    path, reference_path, _ = night
    caltable_set = imported(night, tmp_path)
    assert [path.suffix for path in caltable_set.paths] == [".bcal", ".gcal", ".kcal"]
    ours = tmp_path / path.name
    shutil.copytree(path, ours)
    apply_caltable_set(caltable_set, read_ms_info(ours))
    good, their_good = ~column(ours, "FLAG"), ~column(reference_path, "FLAG")
    assert np.array_equal(good, their_good)
    assert 0.05 < 1 - good.mean() < 0.7
    data, reference = column(ours, "CORRECTED_DATA"), column(reference_path, "CORRECTED_DATA")
    assert np.abs(data - reference)[good].max() < 1e-5 * np.abs(reference[good]).max()


def test_validity_of_imported_set(night, tmp_path):
    caltable_set, tile = imported(night, tmp_path), read_ms_info(night[0])
    assert caltable_set.valid_to_mjd - caltable_set.valid_from_mjd == pytest.approx(2 + 80 / 86400, abs=20 / 86400)
    assert caltable_set.mjd == pytest.approx(tile.mid_mjd_s / 86400, abs=1e-4)
    assert set(caltable_set.quality["tables"]) == {"night.bcal", "night.gcal", "night.kcal"}
    assert caltable_set.quality["gain_snr"] > 10


def test_windows_in_any_order_have_their_times(night, tmp_path):
    tile = read_ms_info(night[0])
    whole = imported(night, tmp_path / "whole")
    split(whole.paths[0], tmp_path / "b", (2, 0, 3, 1), bandpass=True)
    split(whole.paths[1], tmp_path / "g", (1, 3, 0, 2), bandpass=False)
    parts = [tmp_path / "g", whole.paths[2], tmp_path / "b"]
    caltable_set = import_set(parts, "parts", tmp_path, CalibrateOptions(), LIMITS)
    ours, expected = compute_inverse_gains_in_time(caltable_set, tile), compute_inverse_gains_in_time(whole, tile)
    assert ours.shape == (TIMES, 14, FREQS.size, 2)
    assert np.array_equal(ours, expected, equal_nan=True)
    with table(str(caltable_set.paths[1]), readonly=False, ack=False) as main:
        rows = np.flatnonzero(
            (main.getcol("SPECTRAL_WINDOW_ID") == 2) & (main.getcol("TIME") == main.getcol("TIME")[0])
        )
        main.removerows(rows)
    with pytest.raises(BadInput, match=re.escape(str(caltable_set.paths[1]))):
        read_solutions(caltable_set.paths[1])
