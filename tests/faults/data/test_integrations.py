"""Lengths of integrations in the header that are not the time between them, or not all the same."""

import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import BadFile
from contimg.formats.ms.info import read_ms_info
from contimg.formats.uvh5.header import read_header
from contimg.tile.convert import convert

DUMP_S = 0.134217728  # of the correlator, 2**17 samples of 1.024 microseconds
INTEGRATION_S = 96 * DUMP_S


def set_length(file, length_s, integration=slice(None)):
    times = np.unique(file["Header/time_array"][:])[integration]
    lengths = file["Header/integration_time"][:]
    lengths[np.isin(file["Header/time_array"][:], times)] = length_s
    file["Header/integration_time"][:] = lengths


def keep_integrations(file, kept):
    header = file["Header"]
    rows = np.isin(header["time_array"][:], np.unique(header["time_array"][:])[kept])
    for name in ("ant_1_array", "ant_2_array", "time_array", "integration_time", "uvw_array"):
        values = header[name][:][rows]
        del header[name]
        header[name] = values
    for name in ("visdata", "flags", "nsamples"):
        values = file[f"Data/{name}"][:][rows]
        del file[f"Data/{name}"]
        file[f"Data/{name}"] = values
    header["Nblts"][...] = rows.sum()


@pytest.mark.parametrize("length_s", [DUMP_S, 6.0, 30.0])
def test_length_that_is_not_the_spacing(length_s, changed_files, tmp_path):
    converted = convert(changed_files(lambda file: set_length(file, length_s)), tmp_path / "tile.ms")
    (note,) = converted.notes
    assert f"{length_s:.6g} s" in note
    assert "12.8849 s" in note
    with table(str(converted.path), ack=False) as main:
        for name in ("INTERVAL", "EXPOSURE"):
            assert main.getcol(name) == pytest.approx(INTEGRATION_S, rel=1e-5)
    assert read_ms_info(converted.path).integration_s == pytest.approx(INTEGRATION_S, rel=1e-5)
    assert (converted.mjd_end - converted.mjd_start) * 86400 == pytest.approx(6 * INTEGRATION_S, rel=1e-5)
    with table(f"{converted.path}::HISTORY", ack=False) as history:
        assert any(note in line for line in history.getcol("MESSAGE"))


@pytest.mark.parametrize(
    "kept", [[0, 2], [0, 1, 4], [3], [0, 5], [0, 2, 4]], ids=["gap alone", "gap", "single", "ends", "each second"]
)
def test_length_is_kept_across_gaps(kept, changed_files):
    header = read_header(changed_files(lambda file: keep_integrations(file, kept), [5])[5])
    assert header.integrations_s == pytest.approx(INTEGRATION_S, rel=1e-5)
    assert header.layout.notes == ()


@pytest.mark.parametrize(("length_s", "expected_s"), [(1.0, 1.0), (25.0, INTEGRATION_S)], ids=["pauses", "overlap"])
def test_lengths_of_other_telescopes(length_s, expected_s, changed_files):
    files = changed_files(lambda file: set_length(file, length_s), [5])
    header = read_header(files[5], own_telescope=False)
    assert header.integrations_s == pytest.approx(expected_s, rel=1e-5)


@pytest.mark.parametrize("short", [0, 5], ids=["first", "last"])
def test_short_integration(short, changed_files, drift_sim_ms, tmp_path):
    def shorten(file):
        set_length(file, 0.5 * INTEGRATION_S, short)
        samples = file["Data/nsamples"][:]
        samples[36 * short : 36 * short + 36] *= 0.5
        file["Data/nsamples"][:] = samples

    converted = convert(changed_files(shorten), tmp_path / "tile.ms")
    expected = np.where(np.arange(216) // 36 == short, 0.5, 1.0)
    with table(str(converted.path), ack=False) as result, table(str(drift_sim_ms.path), ack=False) as reference:
        for name in ("INTERVAL", "EXPOSURE"):
            assert result.getcol(name) == pytest.approx(expected * INTEGRATION_S, rel=1e-5)
        assert np.array_equal(result.getcol("WEIGHT"), np.stack([expected, expected], axis=1))
        assert np.array_equal(result.getcol("DATA"), reference.getcol("DATA"))
    assert (converted.mjd_end - converted.mjd_start) * 86400 == pytest.approx(5.75 * INTEGRATION_S, rel=1e-5)
    info = read_ms_info(converted.path)
    assert (info.integration_s, info.exposure_s) == pytest.approx((INTEGRATION_S, 5.5 * INTEGRATION_S), rel=1e-5)


def test_lengths_that_depend_on_the_baseline(changed_files):
    def average(file):
        file["Header/integration_time"][36 + 4 : 36 + 8] = 2 * INTEGRATION_S

    with pytest.raises(BadFile, match="baseline"):
        read_header(changed_files(average, [5])[5])


@pytest.mark.parametrize("length_s", [0.0, -1.0, np.nan, np.inf])
def test_impossible_length(length_s, changed_files):
    with pytest.raises(BadFile, match="integration_time"):
        read_header(changed_files(lambda file: set_length(file, length_s), [5])[5])
