"""Files of one group that differ: aligned where that is safe, refused by name where it is not."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import BadFile, Misconfigured, Transient
from contimg.instrument.dsa110 import BAND
from contimg.tile.convert import ConvertOptions, convert

ANY = ConvertOptions(telescope="any")
ROW_NAMES = ("ant_1_array", "ant_2_array", "time_array", "integration_time", "uvw_array")


def keep_rows(path, keep):
    """Cut a file down to the rows of a mask."""
    with h5py.File(path, "r+") as file:
        for name in (*(f"Header/{name}" for name in ROW_NAMES), "Data/visdata", "Data/flags", "Data/nsamples"):
            values = file[name][()][keep]
            del file[name]
            file[name] = values
        file["Header/Nblts"][...] = keep.sum()


def rows_of(path):
    with h5py.File(path) as file:
        return [file[f"Header/{name}"][()] for name in ("time_array", "ant_1_array", "ant_2_array")]


def assert_aligned(converted, whole, lost, channels):
    """Exactly the rows that a file lost are flagged in its channels; all other values are untouched."""
    with table(str(converted.path), ack=False) as ours, table(str(whole.path), ack=False) as reference:
        for name in ("TIME", "ANTENNA1", "ANTENNA2", "UVW"):
            assert np.array_equal(ours.getcol(name), reference.getcol(name))
        expected = np.zeros(ours.getcol("FLAG").shape, dtype=bool)
        mask = lost(reference.getcol("TIME"), reference.getcol("ANTENNA1"), reference.getcol("ANTENNA2"))
        expected[mask, channels] = True
        assert np.array_equal(ours.getcol("FLAG"), expected)
        assert np.array_equal(ours.getcol("DATA"), np.where(expected, 0, reference.getcol("DATA")))
    assert converted.flags["absent"] == expected.sum()
    assert converted.flagged_fraction == pytest.approx(expected.mean())


@pytest.mark.parametrize("integration", [0, 3, 5])
def test_missing_integration(integration, copies, drift_sim_ms, tmp_path):
    times = rows_of(copies[7])[0]
    keep_rows(copies[7], times != np.unique(times)[integration])
    converted = convert(copies, tmp_path / "tile.ms")
    assert_aligned(converted, drift_sim_ms, lambda t, a, b: t == np.unique(t)[integration], slice(8 * 48, 9 * 48))


def test_missing_baseline(copies, drift_sim_ms, tmp_path):
    _, first, second = rows_of(copies[15])
    pair = sorted((first[1], second[1]))
    assert pair[0] != pair[1]
    keep_rows(copies[15], (np.minimum(first, second) != pair[0]) | (np.maximum(first, second) != pair[1]))
    converted = convert(copies, tmp_path / "tile.ms")
    assert_aligned(converted, drift_sim_ms, lambda t, a, b: (a == pair[0]) & (b == pair[1]), slice(0, 48))


def test_missing_rows(copies, drift_sim_ms, tmp_path):
    times, first, second = rows_of(copies[0])
    keep = np.ones(times.size, dtype=bool)
    keep[[5, 100, 215]] = False
    gone = {(round((times[row] - 2400000.5) * 86400), *sorted((first[row], second[row]))) for row in (5, 100, 215)}
    keep_rows(copies[0], keep)
    converted = convert(copies, tmp_path / "tile.ms")

    def lost(t, a, b):
        return np.array([(round(time), *pair) in gone for time, *pair in zip(t, a, b, strict=True)])

    assert_aligned(converted, drift_sim_ms, lost, slice(15 * 48, 16 * 48))


def test_most_files_short(copies, drift_sim_ms, tmp_path):
    times = rows_of(copies[0])[0]
    for subband in range(15):
        keep_rows(copies[subband], times != times.max())
    converted = convert(copies, tmp_path / "tile.ms")
    assert_aligned(converted, drift_sim_ms, lambda t, a, b: t == t.max(), slice(48, 768))


def test_other_baselines_are_refused(copies, tmp_path):
    for subband in range(15):
        _, first, second = rows_of(copies[subband])
        keep_rows(copies[subband], (first != first[0]) | (second != second[0]))
    _, first, second = rows_of(copies[15])
    keep_rows(copies[15], (first != first[-1]) | (second != second[-1]))
    with pytest.raises(BadFile, match=r"sb15.*\b\d+\b.*baseline"):
        convert(copies, tmp_path / "out.ms")


def test_duplicate_visibilities_are_refused(copies, tmp_path):
    with h5py.File(copies[3]) as original, h5py.File(copies[7], "r+") as forged:
        forged["Data/visdata"][...] = original["Data/visdata"][...]
    with pytest.raises(BadFile, match=r"sb07.*sb03"):
        convert(copies, tmp_path / "out.ms")


def test_uneven_weights_write_weight_spectrum(copies, tmp_path):
    expected = np.ones((216, 768, 2), dtype=np.float32)
    with h5py.File(copies[12], "r+") as file:  # not the first file that is read
        file["Data/nsamples"][:, 0, 5, 1] = 0.5
        file["Data/nsamples"][:, 0, 6, 0] = np.nan
        file["Data/nsamples"][:, 0, 7, 0] = np.inf
    channel = (16 - 12) * 48 - 1 - np.array([5, 6, 7])
    expected[:, channel[0], 1], expected[:, channel[1:], 0] = 0.5, 0
    converted = convert(copies, tmp_path / "spectrum.ms")
    assert converted.flags["without samples"] == 2 * 216
    with table(str(converted.path), ack=False) as main:
        assert np.array_equal(main.getcol("WEIGHT_SPECTRUM"), expected)
        assert np.allclose(main.getcol("WEIGHT"), [1.0, 767.5 / 768])
        assert np.array_equal(main.getcol("FLAG"), expected == 0)


def test_even_weights_write_no_weight_spectrum(drift_sim_ms):
    with table(str(drift_sim_ms.path), ack=False) as main:
        assert "WEIGHT_SPECTRUM" not in main.colnames()


def test_flag_counts(copies, tmp_path):
    with h5py.File(copies[2], "r+") as file:
        file["Data/flags"][0, 0, 0, :] = True
        file["Data/visdata"][1, 0, :3, 0] = complex(np.nan, 0)
        file["Data/visdata"][2, 0, :4, 0] = [1e30, np.inf, -1e30j, 1e13]
        file["Data/visdata"][3, 0, :5, 0] = 0
        file["Data/nsamples"][4, 0, :2, 0] = [0, -1]
    flags = convert(copies, tmp_path / "odd.ms").flags.values()
    assert [*flags] == [2, 3, 4, 5, 2, 0]


def set_freqs(path, change):
    with h5py.File(path, "r+") as file:
        values = change(file["Header/freq_array"][()])
        del file["Header/freq_array"]
        file["Header/freq_array"] = values


def test_band_of_other_array(copies, drift_sim_ms, tmp_path):
    del copies[4]
    for path in copies.values():
        set_freqs(path, lambda freqs: freqs - 3.21e6)
        with h5py.File(path, "r+") as file:
            file["Header/longitude"][...] = 21.44
            file["Header/telescope_name"][...] = b"MeerTest"
    with pytest.raises(BadFile, match="MHz"):
        convert(copies, tmp_path / "strict.ms")
    converted = convert(copies, tmp_path / "any.ms", ANY)
    assert (converted.channels, converted.missing_subbands) == (768, (4,))
    with table(f"{converted.path}::SPECTRAL_WINDOW", ack=False) as window:
        shifted = np.sort(np.concatenate([BAND.channel_freqs_hz(subband) for subband in range(16)])) - 3.21e6
        assert np.abs(window.getcell("CHAN_FREQ", 0) - shifted).max() < 1
    with table(f"{converted.path}::OBSERVATION", ack=False) as observation:
        assert observation.getcell("TELESCOPE_NAME", 0) == "MeerTest"


def test_rising_band_of_other_array(copies, tmp_path):
    """The same data numbered upwards, channels ascending: the same spectrum of the same sky."""
    for path in copies.values():
        with h5py.File(path, "r+") as file:
            for name in ("Data/visdata", "Data/flags", "Data/nsamples"):
                file[name][...] = file[name][()][:, :, ::-1]
        set_freqs(path, lambda freqs: freqs[:, ::-1])
    rising = {15 - subband: path for subband, path in copies.items()}
    plan = f"{BAND.top_hz / 1e6}:{BAND.subband_width_hz / 1e6}:16:rising"
    converted = convert(rising, tmp_path / "rising.ms", ANY)
    planned = convert(rising, tmp_path / "planned.ms", ConvertOptions(telescope="any", band=plan))
    with table(str(converted.path), ack=False) as ours, table(str(planned.path), ack=False) as reference:
        assert np.array_equal(ours.getcol("DATA"), reference.getcol("DATA"))


def test_rising_band_equals_falling(copies, drift_sim_ms, tmp_path):
    test_rising_band_of_other_array(copies, tmp_path)
    with table(str(tmp_path / "rising.ms"), ack=False) as ours, table(str(drift_sim_ms.path), ack=False) as reference:
        assert np.abs(ours.getcol("DATA") - reference.getcol("DATA")).max() < 1e-4


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda path: set_freqs(path, lambda freqs: freqs + 24 * 244140.625), r"\b5\.859375 MHz"),
        (lambda path: set_freqs(path, lambda freqs: freqs[:, ::-1]), r"\b15\b"),
    ],
    ids=["half a subband off", "reversed"],
)
def test_disagreeing_files_of_any_telescope(fault, reason, copies, tmp_path):
    fault(copies[7])
    with pytest.raises(BadFile, match=rf"sb07.*{reason}"):
        convert(copies, tmp_path / "out.ms", ANY)


@pytest.mark.parametrize("name", ["longitude", "extra_keywords/phase_center_dec"])
def test_disagreeing_sites_of_any_telescope(name, copies, tmp_path):
    with h5py.File(copies[7], "r+") as file:
        file[f"Header/{name}"][...] = file[f"Header/{name}"][()] + 0.01
    with pytest.raises(BadFile, match=r"sb07.*\d"):
        convert(copies, tmp_path / "out.ms", ANY)


def test_invalid_band_plan():
    for text in ("1500", "1500:12.5", "x:12.5:16", "1500:12.5:0", "100:12.5:16", "1500:-12.5:16:falling"):
        with pytest.raises(Misconfigured, match="TOP_MHZ"):
            ConvertOptions(band=text)


HOLD = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('held', flush=True); sys.stdin.read()"


def test_locked_file_raises_transient(copies, tmp_path, monkeypatch):
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(copies[9])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        holder.stdout.readline()
        with pytest.raises(Transient, match=r"sb09.*CONTIMG_CONVERT_FILE_LOCKING=off"):
            convert(copies, tmp_path / "out.ms")
        convert(copies, tmp_path / "out.ms", ConvertOptions(file_locking="off"))
        holder.stdin.close()
    convert(copies, tmp_path / "out.ms")
