"""Caltables from other tools and nights: read as they are meant, or refused in a line that names the file."""

import re
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table
from small_caltables import FREQS_HZ, MJD_S, NAMES, STRIP, WIDTH_HZ, random_gains, write_bandpass, write_caltable

from contimg.common.errors import BadInput
from contimg.formats.caltables.solutions import read_kind, read_solutions
from contimg.formats.ms.info import MSInfo
from contimg.quality.caltables import SolutionLimits
from contimg.tile.calibrate.apply import compute_inverse_gains
from contimg.tile.calibrate.import_tables import import_set
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.selection import select_caltable_set

TARGET = ("M81", 148.9, 71.6)
BAND_HZ = np.array([FREQS_HZ.mean()])
GAINS = random_gains(channels=1, seed=8)


@pytest.fixture
def bandpass(tmp_path):
    return write_bandpass(tmp_path / "night.B")


def take(paths, tmp_path, **arguments):
    """Import caltables as a set."""
    return import_set(paths, "night", tmp_path / "sets", CalibrateOptions(), SolutionLimits(), **arguments)


def write_gains(path, gains=GAINS, **arguments):
    return write_caltable(path, "G Jones", [(FREQS_HZ, gains)], **arguments)


def tile(names=NAMES, freqs_hz=FREQS_HZ):
    """Metadata of a Measurement Set with these antennas."""
    known = {
        "path": Path("tile.ms"), "freqs_hz": freqs_hz, "channel_width_hz": WIDTH_HZ, "correlations": ("XX", "YY"),
        "times_mjd_s": np.array([MJD_S]), "pointing_rad": np.radians([STRIP[1:]]), "antenna_names": tuple(names),
        "antennas": np.arange(len(names)),
    }  # fmt: skip
    return MSInfo(**{field.name: known.get(field.name) for field in fields(MSInfo)})


def edit(path, column, change):
    with table(str(path), readonly=False, ack=False) as main:
        values = main.getcol(column)
        change(values)
        main.putcol(column, values)


def set_all(value):
    return lambda values: values.fill(value)


@pytest.mark.parametrize("row", [0, 1])
def test_field_of_the_solutions(tmp_path, row):
    """Solutions name their field by its row in FIELD."""
    directions = [STRIP, TARGET][:: 1 if row == 0 else -1]
    path = write_bandpass(tmp_path / "night.B", fields=directions)
    edit(path, "FIELD_ID", set_all(row))
    caltable_set = take([path], tmp_path)
    assert caltable_set.calibrator == "3C48"
    assert caltable_set.dec_deg == pytest.approx(33.16)


def test_field_of_flagged_solutions_does_not_count(tmp_path):
    path = write_bandpass(tmp_path / "night.B", fields=[TARGET, STRIP])
    edit(path, "FIELD_ID", lambda values: values.__setitem__(slice(1, None), 1))
    edit(path, "FLAG", lambda flags: flags.__setitem__(0, True))
    assert take([path], tmp_path).calibrator == "3C48"


def test_two_fields_of_one_strip(tmp_path):
    path = write_bandpass(tmp_path / "night.B", fields=[STRIP, ("second", 30.0, 33.3)])
    edit(path, "FIELD_ID", lambda values: values.__setitem__(slice(4, None), 1))
    caltable_set = take([path], tmp_path)
    assert (caltable_set.calibrator, caltable_set.dec_deg) == ("3C48, second", pytest.approx(33.16))


def test_two_strips_are_refused(tmp_path, bandpass):
    """Within a caltable, and from one caltable to the next."""
    path = write_bandpass(tmp_path / "mixed.B", fields=[STRIP, TARGET])
    edit(path, "FIELD_ID", lambda values: values.__setitem__(slice(4, None), 1))
    gains = write_gains(tmp_path / "night.G", fields=[TARGET])
    for paths in ([path], [bandpass, gains]):
        with pytest.raises(BadInput, match=r"M81.*\+71\.60.*--dec"):
            take(paths, tmp_path)
    assert take([path], tmp_path, dec_deg=33.0).dec_deg == 33.0


def test_fields_that_say_nothing_are_refused(tmp_path, bandpass):
    without = write_bandpass(tmp_path / "none.B")
    edit(without, "FIELD_ID", set_all(-1))
    old = write_bandpass(tmp_path / "old.B")
    with table(f"{old}::FIELD", readonly=False, ack=False) as field:
        field.putcolkeyword("PHASE_DIR", "MEASINFO", {"type": "direction", "Ref": "B1950"})
    absent = write_bandpass(tmp_path / "absent.B")
    edit(absent, "FIELD_ID", set_all(3))
    shutil.rmtree(absent / "OBSERVATION")  # tables of CASA before 4.1 have none
    for path in (without, old, absent):
        with pytest.raises(BadInput, match=rf"{path}.*--dec"):
            take([path], tmp_path)
    assert take([old], tmp_path, calibrator="3C48", dec_deg=33.2).dec_deg == 33.2


def test_delays_of_gencal_do_not_set_the_validity(tmp_path, bandpass):
    """TIME 0, field and scan -1 and a signal to noise of 1, as gencal of CASA 6.7 writes them."""
    delays_ns = np.zeros((len(NAMES), 1, 2))
    delays_ns[2:4] = [[[3.0, 3.0]], [[-2.0, -2.0]]]
    path = write_caltable(tmp_path / "cables.K", "K Jones", [(FREQS_HZ, delays_ns)], times=[0.0])
    for column, value in (("FIELD_ID", -1), ("SCAN_NUMBER", -1), ("SNR", 1.0)):
        edit(path, column, set_all(value))
    caltable_set = take([bandpass, path], tmp_path)
    assert caltable_set.valid_from_mjd == pytest.approx(MJD_S / 86400 - 1.0, abs=1e-6)
    assert caltable_set.valid_to_mjd == pytest.approx(MJD_S / 86400 + 1.0, abs=1e-6)
    assert caltable_set.grade == "good"
    delay = np.exp(2j * np.pi * delays_ns * 1e-9 * (FREQS_HZ - FREQS_HZ.mean())[None, :, None])
    assert compute_inverse_gains(caltable_set, tile()) == pytest.approx(1 / (random_gains() * delay), rel=1e-5)


def test_gains_of_gencal_are_not_judged_by_their_noise(tmp_path, bandpass):
    path = write_gains(tmp_path / "fixed.G", times=[0.0])
    for column, value in (("FIELD_ID", -1), ("SNR", 1.0)):
        edit(path, column, set_all(value))
    caltable_set = take([bandpass, path], tmp_path)
    assert caltable_set.grade == "good"
    assert caltable_set.quality["tables"]["night.gcal"]["snr"] is None


def test_bandpass_without_time_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"night\.bcal.*TIME"):
        take([write_bandpass(tmp_path / "night.B", times=[0.0])], tmp_path)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("step", [1, -1])
def test_windows_of_unequal_size(tmp_path, order, step):
    gains = random_gains() * np.linspace(1, 2, FREQS_HZ.size)[None, :, None]
    parts = [slice(0, 8), slice(8, 40), slice(40, 64)]
    windows = [(FREQS_HZ[parts[part]][::step], gains[:, parts[part]][:, ::step]) for part in order]
    path = write_caltable(tmp_path / "night.B", "B Jones", windows)
    caltable_set = take([path], tmp_path)
    assert (caltable_set.first_freq_hz, caltable_set.channels) == (FREQS_HZ[0], 64)
    assert compute_inverse_gains(caltable_set, tile()) == pytest.approx(1 / gains, rel=1e-5)


def test_gains_of_windows_of_unequal_size(tmp_path, bandpass):
    windows = [(FREQS_HZ[:8], GAINS), (FREQS_HZ[8:], 2 * GAINS)]
    path = write_caltable(tmp_path / "night.G", "G Jones", windows)
    inverse = compute_inverse_gains(take([bandpass, path], tmp_path), tile())
    factor = np.where(np.arange(64) < 8, 1.0, 2.0)[None, :, None]
    assert inverse == pytest.approx(1 / (random_gains() * GAINS * factor), rel=1e-5)


def test_windows_that_lack_part_of_the_band(tmp_path, bandpass):
    windows = [(FREQS_HZ[:16], GAINS), (FREQS_HZ[16:32], GAINS)]
    path = write_caltable(tmp_path / "night.G", "G Jones", windows)
    caltable_set = take([bandpass, path], tmp_path)
    assert caltable_set.grade == "suspect"
    assert re.search(r"\b50%.*window", " ".join(caltable_set.reasons))
    inverse = compute_inverse_gains(caltable_set, tile())
    assert np.isfinite(inverse).all(axis=(0, 2)).tolist() == [True] * 32 + [False] * 32
    assert caltable_set.flagged_fraction == 0.5


@pytest.mark.parametrize("in_antenna_table", [True, False])
def test_antennas_without_gains_are_named_and_judged(tmp_path, bandpass, in_antenna_table):
    """Two of eight antennas have no rows, or are in no table at all."""
    if in_antenna_table:
        path = write_gains(tmp_path / "night.G")
        with table(str(path), readonly=False, ack=False) as main:
            main.removerows(np.flatnonzero(main.getcol("ANTENNA1") >= 6))
    else:
        path = write_gains(tmp_path / "night.G", GAINS[:6], names=NAMES[:6])
    caltable_set = take([bandpass, path], tmp_path)
    assert caltable_set.antennas == NAMES[:6]
    assert caltable_set.flagged_fraction == 0.25
    assert caltable_set.grade == "suspect"
    assert re.search(rf"gcal.*25%.*{NAMES[6]}, {NAMES[7]}", " ".join(caltable_set.reasons))
    assert caltable_set.quality["tables"]["night.gcal"]["without_solution"] == list(NAMES[6:])
    inverse = compute_inverse_gains(caltable_set, tile())
    assert inverse[:6] == pytest.approx(1 / (random_gains() * GAINS)[:6], rel=1e-5)
    assert np.isnan(inverse[6:]).all()


def test_antennas_are_matched_by_name(tmp_path, bandpass):
    """Bandpass, gains and Measurement Set each have an order of their own."""
    order = np.random.default_rng(1).permutation(len(NAMES))
    path = write_gains(tmp_path / "night.G", GAINS[order], names=[NAMES[antenna] for antenna in order])
    inverse = compute_inverse_gains(take([bandpass, path], tmp_path), tile(NAMES[::-1]))
    assert inverse[::-1] == pytest.approx(1 / (random_gains() * GAINS), rel=1e-5)


def test_antennas_in_no_common_caltable_are_refused(tmp_path, bandpass):
    path = write_gains(tmp_path / "night.G", names=[f"other{antenna}" for antenna in range(len(NAMES))])
    with pytest.raises(BadInput, match=r"night\.bcal, night\.gcal"):
        take([bandpass, path], tmp_path)


def test_selected_set_names_what_it_lacks(tmp_path):
    """A set for 48 of 64 channels and 6 of 8 antennas of the tile."""
    path = write_caltable(tmp_path / "night.B", "B Jones", [(FREQS_HZ[:48], random_gains(48, 6))], names=NAMES[:6])
    caltable_set = take([path], tmp_path)
    selected, reason = select_caltable_set([caltable_set], tile())
    assert selected is caltable_set
    assert re.search(r"75% of the channels.*75% of the antennas", reason)
    assert select_caltable_set([caltable_set], tile(NAMES[:6], FREQS_HZ[:48]))[1].count("%") == 0


def test_two_antennas_of_one_name_are_refused(tmp_path):
    path = write_bandpass(tmp_path / "night.B", names=(*NAMES[:-1], NAMES[0]))
    with pytest.raises(BadInput, match=rf"bcal.*{NAMES[0]}"):
        take([path], tmp_path)


def test_repeated_names_of_antennas_without_solution(tmp_path):
    """As the slots that no row uses in sets of an earlier version, one of them with the name of an antenna in use."""
    names = (*NAMES[:4], "spare", "spare", NAMES[0], NAMES[7])
    path = write_bandpass(tmp_path / "night.B", names=names)
    edit(path, "FLAG", lambda flags: flags.__setitem__(slice(4, 7), True))
    solutions = read_solutions(path)
    assert solutions.antenna_names == (*NAMES[:4], "spare#4", "spare#5", f"{NAMES[0]}#6", NAMES[7])
    gains = solutions.select_antennas(NAMES).gains[0]
    assert gains[[0, 1, 2, 3, 7]] == pytest.approx(random_gains()[[0, 1, 2, 3, 7]], rel=1e-5)
    assert np.isnan(gains[4:7]).all()


def test_another_telescope_is_refused(tmp_path):
    path = write_bandpass(tmp_path / "night.B", telescope="EVLA")
    with pytest.raises(BadInput, match=rf"{path}.*EVLA.*CONTIMG_CONVERT_TELESCOPE"):
        take([path], tmp_path)
    assert take([path], tmp_path, own_telescope=False).antennas == NAMES


@pytest.mark.parametrize("value", [np.nan, np.inf, complex(1, np.nan), 0.0])
def test_gains_that_are_no_numbers_are_no_solutions(tmp_path, bandpass, value):
    edit(bandpass, "CPARAM", lambda values: values.__setitem__((2, slice(10, 20), 1), value))
    solved = read_solutions(bandpass).solved[0]
    expected = np.ones(solved.shape, dtype=bool)
    expected[2, 10:20, 1] = False
    assert np.array_equal(solved, expected)


@pytest.mark.parametrize("value", [-50.0, np.inf, -np.inf, np.nan])
def test_impossible_signal_to_noise_is_unknown(tmp_path, bandpass, value):
    edit(bandpass, "SNR", lambda values: values.__setitem__(slice(0, 6), value))
    assert take([bandpass], tmp_path).quality["bandpass_snr"] == 100.0
    edit(bandpass, "SNR", set_all(value))
    with pytest.raises(BadInput, match=r"bcal.*signal to noise"):
        import_set([bandpass], "other", tmp_path / "sets", CalibrateOptions(), SolutionLimits())


@pytest.mark.parametrize("value", [-1.0, 0.0, np.nan, None])
def test_weights_change_nothing(tmp_path, bandpass, value):
    """WEIGHT may be negative, NaN or missing: only CASA's calwt uses it."""
    expected = read_solutions(bandpass).gains
    if value is None:
        with table(str(bandpass), readonly=False, ack=False) as main:
            main.removecols(["WEIGHT", "PARAMERR"])
    else:
        edit(bandpass, "WEIGHT", set_all(value))
    assert np.array_equal(read_solutions(bandpass).gains, expected)


def test_other_formats_are_refused_with_the_reason(tmp_path, bandpass):
    old = write_bandpass(tmp_path / "old.B")
    with table(str(old), readonly=False, ack=False) as main:
        main.renamecol("CPARAM", "GAIN")
        main.renamecol("SPECTRAL_WINDOW_ID", "CAL_DESC_ID")
    with pytest.raises(BadInput, match=r"old\.B.*CPARAM.*CASA"):
        read_solutions(old)
    cross = write_caltable(tmp_path / "cross.D", "D Jones", [(FREQS_HZ, GAINS)])
    broken = tmp_path / "broken.B"
    broken.mkdir()
    (broken / "table.dat").write_bytes(b"not a table")
    for path, reason in ((cross, "D Jones"), (broken, "broken"), (tmp_path / "absent", "absent")):
        with pytest.raises(BadInput, match=reason):
            read_kind(path)
    for column, value in (("ANTENNA1", 99), ("ANTENNA1", -1), ("SPECTRAL_WINDOW_ID", 7), ("TIME", np.nan)):
        damaged = write_bandpass(tmp_path / f"{column}{value}.B")
        edit(damaged, column, set_all(value))
        with pytest.raises(BadInput, match=re.escape(str(damaged))):
            read_solutions(damaged)
