"""Tables that come from elsewhere: several windows in any order, channels up or down."""

import re
import shutil

import numpy as np
import pytest
from casacore.tables import table
from click.testing import CliRunner

from contimg.cli import contimg
from contimg.common.errors import BadInput, Misconfigured
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.info import read_ms_info
from contimg.quality.caltables import SolutionLimits
from contimg.tile.calibrate.apply import compute_inverse_gains
from contimg.tile.calibrate.import_tables import import_set
from contimg.tile.calibrate.options import CalibrateOptions

WINDOWS = 4


def split(source, target, order, bandpass):
    """The same table in WINDOWS windows, in the given order, their channels descending."""
    shutil.copytree(source, target)
    with table(str(target), readonly=False, ack=False) as main:
        rows = main.nrows()
        kept = {name: main.getcol(name) for name in main.colnames() if main.iscelldefined(name, 0)}
        main.removerows(range(rows))
        wide = [name for name in ("CPARAM", "PARAMERR", "FLAG", "SNR", "DATA_FRACTION") if name in kept]
        main.addrows(rows * WINDOWS)
        size = kept["CPARAM"].shape[1] // WINDOWS
        for index, window in enumerate(order):
            part = slice(window * size, (window + 1) * size)
            for name, values in kept.items():
                cut = values[:, part][:, ::-1] if bandpass and name in wide else values
                if name == "SPECTRAL_WINDOW_ID":
                    cut = np.full_like(values, index)
                main.putcol(name, cut, index * rows, rows)
    with table(f"{target}::SPECTRAL_WINDOW", readonly=False, ack=False) as windows:
        freqs, width = windows.getcell("CHAN_FREQ", 0), 244140.625
        whole = {name: windows.getcell(name, 0) for name in windows.colnames() if windows.iscelldefined(name, 0)}
        windows.addrows(WINDOWS - 1)
        band = 1.38e9 + width * np.arange(192).reshape(WINDOWS, -1)
        for index, window in enumerate(order):
            for name, value in whole.items():
                windows.putcell(name, index, value)
            window_hz = band[window][::-1] if bandpass else np.array([band[window].mean()])
            step = np.full(window_hz.size, -width if bandpass else width * band.shape[1])
            windows.putcell("NUM_CHAN", index, window_hz.size)
            windows.putcell("CHAN_FREQ", index, window_hz)
            for name in ("CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"):
                windows.putcell(name, index, step)
    assert freqs.size in (1, 192)


@pytest.fixture
def foreign(calibrated, tmp_path):
    new = calibrated.done.new_set
    split(new.paths[0], tmp_path / "night.b", (2, 0, 3, 1), bandpass=True)
    split(new.paths[1], tmp_path / "night.g", (1, 3, 0, 2), bandpass=False)
    return tmp_path / "night.b", tmp_path / "night.g"


def test_windows_in_any_order_are_one_band(calibrated, foreign):
    for ours, foreign_path in zip(calibrated.done.new_set.paths, foreign, strict=True):
        plain, read = read_solutions(ours), read_solutions(foreign_path)
        gains = np.broadcast_to(plain.gains[0], (14, 192, 2))
        if read.freqs_hz.size == 192:
            assert np.array_equal(read.gains[0], gains)
            assert np.array_equal(read.freqs_hz, plain.freqs_hz)
        else:
            assert np.array_equal(np.repeat(read.gains[0], 48, axis=1), gains)


def test_imported_set_applies_like_its_origin(calibrated, foreign, tmp_path):
    imported = import_set(foreign, "night", tmp_path / "sets", CalibrateOptions(), SolutionLimits())
    new, tile = calibrated.done.new_set, read_ms_info(calibrated.truth.path)
    assert np.array_equal(compute_inverse_gains(imported, tile), compute_inverse_gains(new, tile))
    assert (imported.antennas, imported.first_freq_hz, imported.channels) == (new.antennas, new.first_freq_hz, 192)
    assert (imported.grade, imported.reference_antenna) == ("good", "103")
    assert imported.mjd == pytest.approx(new.mjd, abs=1e-3)
    assert imported.dec_deg == pytest.approx(33.4)
    assert CaltableSet.read(tmp_path / "sets" / "night").name == "night"


def test_refused_import_leaves_nothing(calibrated, foreign, tmp_path):
    bandpass, gains = foreign
    for paths in ([gains], [bandpass, bandpass], [tmp_path / "nowhere"]):
        with pytest.raises(BadInput, match=re.escape(str(paths[-1]))):
            import_set(paths, "x", tmp_path / "sets", CalibrateOptions(), SolutionLimits())
    with table(str(bandpass), readonly=False, ack=False) as main:
        main.putcol("SNR", np.ones_like(main.getcol("SNR")))
    with pytest.raises(BadInput, match=r"\brejected\b.*\bbcal\b.*\b1\.0\b"):
        import_set([bandpass], "x", tmp_path / "sets", CalibrateOptions(), SolutionLimits())
    assert not list((tmp_path / "sets").glob("*"))


NAME = "2026-02-22T23:17:51"


def test_registry_commands(foreign, tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CONTIMG_OUTPUT_DIR", str(tmp_path / "out"))

    def run(*words):
        result = CliRunner().invoke(contimg, ["calibrations", *map(str, words)], standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.output

    with pytest.raises(Misconfigured, match="no store"):
        run("list")
    line = run("import", *foreign, "--name", "night", "--calibrator", "3C48")
    assert run("list") == line
    for word in ("night", "2026-02-22 23:20Z", "3C48", "+33.40", "good"):
        assert word in line
    shown = run("show", "night")
    for word in ("bandpass_snr", "night.bcal", "outliers", "waterfall.png", "103"):
        assert word in shown
    assert re.search(r"\bretired\b.*\brain\b", run("retire", "night", "--reason", "rain"))
    assert re.search(r"\bretired\b.*\brain\b", run("list"))
    for command in ("show", "retire"):
        with pytest.raises(BadInput, match="nobody"):
            run(command, "nobody")
