import json
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from casacore.tables import table
from small_ms import FREQS, SOURCES, flux_3c48, make_ms

from contimg.common.errors import BadInput, Transient
from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.info import read_ms_info
from contimg.instrument.bundled_data import casa_environment
from contimg.instrument.calibrators import catalogue
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.selection import select_calibrators
from contimg.tile.calibrate.solve import casa
from contimg.tile.calibrate.solve.reference_antenna import parse_station_number, rank_reference_antennas
from contimg.tile.calibrate.solve.run import _scratch_directory, solve
from contimg.tile.calibrate.solve.sky_model import SkyModel, accumulate, make_sky_model
from contimg.tile.calibrate.solve.solving_data import read_solving_data, split_intervals


def model_of(path, names=("3C48",)):
    tile = read_ms_info(path)
    return tile, make_sky_model(tile, [calibrator for calibrator in catalogue() if calibrator.alias in names])


def sine_projection(ra_0, dec_0, ra, dec):
    """l, m, n - 1 of one direction by spherical trigonometry, shape (1, 3): the geometry of `ft`."""
    east, north = np.cos(dec) * np.sin(ra - ra_0), np.sin(dec) * np.cos(dec_0)
    north -= np.cos(dec) * np.sin(dec_0) * np.cos(ra - ra_0)
    return np.array([[east, north, np.sqrt(1 - east**2 - north**2) - 1]])


def cells(path, *columns):
    with table(str(path), ack=False) as main:
        return [main.getcol(name) for name in columns]


def test_model_equals_the_sky_of_first_principles(tmp_path):
    """One source off the centre, no noise, no gains: V M* / |M|^2 is one everywhere, in amplitude and phase.

    Aberration, which squeezes the offset of half a degree by 0.2", is in both: without it they differ by 0.01 rad.
    """
    truth = make_ms(tmp_path / "one.ms", sources=[(*SOURCES["3C48"], flux_3c48)], noise=0.0)
    tile, model = model_of(truth.path)
    data = read_solving_data(tile, model, 13.0)
    assert (data.weights > 0).all()
    assert np.abs(np.abs(data.visibilities) - 1).max() < 1e-4
    assert np.abs(np.angle(data.visibilities)).max() < 1e-3


def test_model_of_wrong_sign_turns_by_radians():
    """The test above can fail: the fringe of a conjugated model turns by radians."""
    uvw = np.array([[600.0, 300.0, 0.0]])
    lmn = sine_projection(*np.deg2rad([24.0, 33.4]), *np.deg2rad(SOURCES["3C48"]))
    phase = 2 * np.pi * FREQS[0] / 299792458.0 * float((uvw @ lmn.T)[0, 0])
    assert abs(phase) > 1.0


def test_casa_predicts_the_same_model(tmp_path):
    """The outside judge of uvw sign and conjugation: CASA's own `ft` of a point source off the centre."""
    truth = make_ms(tmp_path / "judged.ms", sources=[(*SOURCES["3C48"], lambda f: 16.0 + 0 * f)], noise=0.0)
    script = textwrap.dedent("""
        import sys, casatools, casatasks
        ra, dec, vis = sys.argv[1:]
        parts = casatools.componentlist()
        parts.addcomponent(dir=f"ICRS {ra}deg {dec}deg", flux=1.0, fluxunit="Jy", freq="1.4GHz", shape="point")
        parts.rename("point.cl"); parts.close()
        casatasks.ft(vis=vis, complist="point.cl", usescratch=True)
    """)
    home = tmp_path / "home"
    subprocess.run(
        [sys.executable, "-c", script, *map(str, SOURCES["3C48"]), str(truth.path)],
        cwd=tmp_path, env=casa_environment(home), check=True, capture_output=True,
    )  # fmt: skip
    expected, uvw, ant1, ant2 = cells(truth.path, "MODEL_DATA", "UVW", "ANTENNA1", "ANTENNA2")
    tile = read_ms_info(truth.path)
    lmn = sine_projection(*tile.phase_centre_rad, *np.deg2rad(SOURCES["3C48"]))
    model = SkyModel(lmn, np.ones((1, len(tile.times_mjd_s), FREQS.size), dtype=np.float32))
    products, power = np.zeros(expected.shape, np.complex64), np.zeros(expected.shape, np.float32)
    rows = np.arange(len(expected))
    accumulate(
        expected, np.zeros(expected.shape, bool), np.ones((len(expected), 2), np.float32), uvw, np.zeros_like(rows),
        np.where(ant1 != ant2, rows, -1), tile.freqs_hz, model.lmn, model.apparent_jy, products, power,
    )  # fmt: skip
    cross = ant1 != ant2
    assert np.abs(np.angle(expected[cross])).max() > 1.0
    assert np.abs(products[cross] - 1).max() < 0.02


def test_averaging_is_the_weighted_mean_of_a_plain_loop(fresh):
    tile, model = model_of(fresh.path)
    with table(str(fresh.path), readonly=False, ack=False) as main:
        flags = main.getcol("FLAG")
        flags[::7, 3:9] = True
        main.putcol("FLAG", flags)
    solving_data = read_solving_data(tile, model, 60.0)
    data, uvw, ant1, ant2, times = cells(fresh.path, "DATA", "UVW", "ANTENNA1", "ANTENNA2", "TIME")
    stamps = np.unique(times)
    for interval, baseline in ((0, 0), (0, 17), (1, -1)):
        run = split_intervals(tile, 60.0)[interval]
        pair = (ant1 == solving_data.ant1[baseline]) & (ant2 == solving_data.ant2[baseline])
        rows = np.flatnonzero(pair & np.isin(times, stamps[run]))
        phase = 2j * np.pi / 299792458.0 * (uvw[rows] @ model.lmn[0])[:, None] * FREQS
        index = np.searchsorted(stamps, times[rows])
        expected = model.apparent_jy[0][index] * np.exp(phase)
        good = ~flags[rows, :, 0]
        top, power = np.sum(data[rows, :, 0] * expected.conj() * good, axis=0), np.abs(expected) ** 2 * good
        ours = solving_data.visibilities[interval, baseline, :, 0]
        assert np.allclose(ours, top / power.sum(axis=0), atol=1e-4)
        assert np.allclose(solving_data.weights[interval, baseline, :, 0], power.sum(axis=0), rtol=1e-4)
        assert np.allclose(solving_data.uvw_m[interval, baseline], uvw[rows].mean(axis=0))


def test_model_of_unevenly_spaced_channels():
    """The phasor's recurrence over channels, with a gap, against the exponential of each channel."""
    freqs_hz = np.delete(1.28e9 + 244140.625 * np.arange(768), slice(100, 148))
    uvw_m = np.array([[1500.0, -2100.0, 40.0]])
    lmn = np.array([[0.02, -0.013, -3e-4], [-0.01, 0.007, -1e-4]])
    flux_jy = np.random.default_rng(2).uniform(1, 9, (2, 1, freqs_hz.size)).astype(np.float32)
    model = np.sum(flux_jy[:, 0] * np.exp(2j * np.pi / 299792458.0 * (lmn @ uvw_m[0])[:, None] * freqs_hz), axis=0)
    products, power = np.zeros((1, freqs_hz.size, 1), np.complex64), np.zeros((1, freqs_hz.size, 1), np.float32)
    zero = np.zeros(1, dtype=np.int64)
    accumulate(
        np.ones(products.shape, np.complex64), np.zeros(products.shape, bool), np.ones((1, 1), np.float32), uvw_m, zero,
        zero, freqs_hz, lmn, flux_jy, products, power,
    )  # fmt: skip
    assert np.abs(products[0, :, 0] - model.conj()).max() < 1e-5 * np.abs(model).max()


def test_solved_gains_equal_the_truth(calibrated):
    """Up to the reference antenna's phase: amplitudes within 2 %, phases within 1.5 degrees, every channel."""
    new = calibrated.done.new_set
    product = np.prod(
        [np.broadcast_to(read_solutions(path).gains[0], (14, FREQS.size, 2)) for path in new.paths], axis=0
    )
    truth = calibrated.truth.gains
    slot = calibrated.truth.slots.index(int(new.reference_antenna))
    referred = truth * np.exp(-1j * np.angle(truth[slot : slot + 1]))
    ratio = product / referred
    assert np.isfinite(ratio).all()
    assert np.sqrt(np.mean((np.abs(ratio) - 1) ** 2)) < 0.02
    assert abs(np.median(np.abs(ratio)) - 1) < 0.005
    assert np.rad2deg(np.sqrt(np.mean(np.angle(ratio) ** 2))) < 1.5


def test_the_set_describes_itself(calibrated):
    new = calibrated.done.new_set
    assert (new.calibrator, new.reference_antenna) == ("3C48", "103")
    assert new.model_jy == pytest.approx(16.2, abs=0.1)
    assert new.flagged_fraction < 0.01
    assert new.quality["phase_scatter_deg"] < 3
    assert new.quality["bandpass_snr"] > 10
    assert list(json.loads((new.directory / "set.json").read_text())["versions"]) == ["contimg"]
    assert sorted(path.name for path in new.directory.iterdir()) == sorted(
        [f"{new.name}.{kind}" for kind in ("start", "phase", "bcal", "gcal")]
        + ["set.json", "amplitude.png", "phase.png", "waterfall.png"]
    )
    assert sorted(path.name for path in calibrated.directory.iterdir()) == [new.name, "flags"]


def test_unknown_reference_antenna_is_refused(fresh):
    tile = read_ms_info(fresh.path)
    unflagged = np.ones(len(tile.antenna_names))
    selected = select_calibrators(tile, 0.5, 3.0)
    with pytest.raises(BadInput, match="999"):
        solve(tile, selected, unflagged, fresh.path.parent / "calibration", CalibrateOptions(), reference="999")
    assert not list((fresh.path.parent / "calibration").iterdir())


def test_reference_antenna_by_health(corrupted):
    tile = read_ms_info(corrupted.path)
    names = list(tile.antenna_names)
    health = np.full(14, 0.9)
    health[names.index("105")] = 0.95
    assert names[rank_reference_antennas(tile, health)[0]] == "105"
    health[names.index("105")] = 0.0
    assert names[rank_reference_antennas(tile, health)[0]] == "103"
    health[names.index("103")] = 0.1
    health[names.index("44")] = 0.99
    assert names[rank_reference_antennas(tile, health)[0]] == "44"
    with pytest.raises(BadInput, match=re.escape(str(tile.path))):
        rank_reference_antennas(tile, np.zeros(14))
    assert parse_station_number("pad103") == 103
    assert parse_station_number("west") is None


def test_casa_that_takes_too_long_is_stopped(tmp_path):
    with pytest.raises(Transient, match=r"\b0\.2 s\b"):
        casa.run([], tmp_path, tmp_path / "casa.log", 0.2)


def test_casa_refusal_is_one_line_that_names_the_task(tmp_path):
    before = sorted(Path.cwd().iterdir())
    with pytest.raises(casa.CasaFailed, match="gaincal"):
        casa.run([casa.Task("gaincal", {"vis": "nowhere.ms", "caltable": "x"})], tmp_path, tmp_path / "casa.log", 60)
    assert (tmp_path / "casa.log").exists()
    assert sorted(Path.cwd().iterdir()) == before


def test_solve_leaves_the_scratch_directory_of_another_solve(tmp_path):
    script = (
        "import sys; from pathlib import Path; from contimg.tile.calibrate.solve.run import _scratch_directory\n"
        "with _scratch_directory(Path(sys.argv[1]), 'tile') as scratch:\n    print(scratch, flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    of_process = Path(process.stdout.readline().strip())
    with _scratch_directory(tmp_path, "tile") as ours:
        assert ours != of_process
        assert set(tmp_path.iterdir()) == {ours, of_process}
    assert list(tmp_path.iterdir()) == [of_process]
    process.kill()
    process.communicate()
    with _scratch_directory(tmp_path, "tile") as ours:
        assert list(tmp_path.iterdir()) == [ours]
    assert not list(tmp_path.iterdir())


def test_casa_ends_with_its_parent(tmp_path):
    """The parent is killed while CASA starts: no process stays, no answer is written."""
    script = (
        "import sys; from pathlib import Path; from contimg.tile.calibrate.solve import casa; "
        "room = Path(sys.argv[1]); casa.run([], room, room / 'casa.log', 60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    children = []
    for _ in range(600):
        children = psutil.Process(parent.pid).children()
        if any("contimg.tile.calibrate.solve.casa_process" in child.cmdline() for child in children):  # after its exec
            break
        time.sleep(0.05)
    assert children
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    assert not (tmp_path / "answer.json").exists()


def test_casa_is_limited_in_memory(tmp_path):
    with pytest.raises((Transient, casa.CasaFailed)):
        casa.run([casa.Task("listcal", {"vis": "x", "caltable": "y"})], tmp_path, tmp_path / "casa.log", 60, 2 * 10**8)


def test_casa_gives_its_version(calibrated, tmp_path):
    listing = {"vis": str(calibrated.truth.path), "listfile": str(tmp_path / "listing.txt")}
    version = casa.run([casa.Task("listobs", listing)], tmp_path, tmp_path / "casa.log", 60)
    assert version.startswith("6.")
