"""Other layouts of UVH5, by pyuvdata or by hand: the Measurement Set does not depend on the form of the files."""

import h5py
import numpy as np
import pytest
from casacore.tables import table
from pyuvdata import UVData

from contimg.common.errors import BadFile
from contimg.formats.ms.info import read_ms_info
from contimg.tile.convert import ConvertOptions, convert

HERA_INTEGERS = np.dtype([("r", "<i4"), ("i", "<i4")])


def read(path) -> UVData:
    data = UVData.from_file([str(path)], file_type="uvh5", run_check=False)
    data.uvw_array = data.uvw_array.astype(np.float64)
    return data


def rewrite(files, change=lambda data: None, **how):
    """Every file as pyuvdata writes it today: UVH5 1.2."""
    for path in files.values():
        data = read(path)
        change(data)
        path.unlink()
        data.write_uvh5(str(path), run_check=False, **how)


def columns(ms, *names):
    with table(str(ms), ack=False) as main:
        return [main.getcol(name) for name in names]


def assert_same(converted, expected, tolerance=1e-6):
    """Equal but for the last bits of what pyuvdata recomputes: the site's latitude, a sign turned twice."""
    for name in ("DATA", "FLAG", "WEIGHT", "UVW", "TIME", "ANTENNA1", "ANTENNA2"):
        (ours,), (reference,) = columns(converted.path, name), columns(expected.path, name)
        assert ours.shape == reference.shape
        if name in ("DATA", "UVW"):
            assert np.abs(ours - reference).max() <= tolerance * np.abs(reference).max()
        else:
            assert np.array_equal(ours, reference)


def test_version_1_files(copies, drift_sim_ms, tmp_path):
    rewrite(copies)
    with h5py.File(copies[0]) as file:
        assert file["Data/visdata"].ndim == 3
        assert file["Header/version"][()] >= b"1."
        assert "phase_center_catalog" in file["Header"]
    assert_same(convert(copies, tmp_path / "modern.ms"), drift_sim_ms)


@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
def test_compression(compression, copies, drift_sim_ms, tmp_path):
    chunks = (50, 12, 1)  # neither rows nor channels divide evenly
    rewrite(copies, chunks=chunks, data_compression=compression, flags_compression=None, nsample_compression=None)
    assert_same(convert(copies, tmp_path / "tile.ms"), drift_sim_ms)


def test_double_precision(copies, drift_sim_ms, tmp_path):
    rewrite(copies, data_write_dtype="c16")
    assert_same(convert(copies, tmp_path / "tile.ms"), drift_sim_ms)


def test_integer_visibilities(copies, tmp_path):
    def whole(data):
        data.data_array = np.round(1000 * data.data_array)

    rewrite(copies, whole)
    as_floats = convert(copies, tmp_path / "floats.ms")
    rewrite(copies, data_write_dtype=HERA_INTEGERS)
    with h5py.File(copies[0]) as file:
        assert file["Data/visdata"].dtype == HERA_INTEGERS
    assert_same(convert(copies, tmp_path / "integers.ms"), as_floats)


@pytest.mark.parametrize("order", ["baseline", "random", "backwards"])
def test_row_order(order, copies, drift_sim_ms, tmp_path):
    def shuffle(data):
        if order == "baseline":
            data.reorder_blts(order="baseline", minor_order="time")
        else:
            rows = np.arange(data.Nblts)[::-1]
            data.reorder_blts(order=np.random.default_rng(3).permutation(rows) if order == "random" else rows)

    rewrite(copies, shuffle)
    assert_same(convert(copies, tmp_path / "tile.ms"), drift_sim_ms)


def test_small_blocks(copies, drift_sim_ms, tmp_path, monkeypatch):
    rewrite(copies, lambda data: data.reorder_blts(order="baseline"), chunks=(50, 12, 1))
    monkeypatch.setattr("contimg.tile.convert.visibilities._MIB", 1 << 10)
    assert_same(convert(copies, tmp_path / "tile.ms", ConvertOptions(block_mb=40)), drift_sim_ms)


def test_swapped_baselines(copies, drift_sim_ms, tmp_path):
    for subband in (1, 8):  # in some files only: each file has its own sense
        rewrite({subband: copies[subband]}, lambda data: data.conjugate_bls("ant1<ant2"))
    rewrite({2: copies[2]}, lambda data: data.conjugate_bls("ant2<ant1"))
    assert_same(convert(copies, tmp_path / "tile.ms"), drift_sim_ms, tolerance=1e-6)


def four_polarizations(data):
    """XX and YY joined by cross-hands that differ from baseline to baseline, in pyuvdata's order XX, YY, XY, YX."""
    rng = np.random.default_rng(data.Nblts + int(data.freq_array[0]))
    cross = rng.normal(size=data.data_array.shape) + 1j * rng.normal(size=data.data_array.shape)
    data.data_array = np.concatenate([data.data_array, cross], axis=-1).astype(np.complex64)
    data.flag_array = np.concatenate([data.flag_array] * 2, axis=-1)
    data.nsample_array = np.concatenate([data.nsample_array] * 2, axis=-1)
    data.polarization_array = np.array([-5, -6, -7, -8])
    data.Npols = 4


def phase_to(data, ra_deg, dec_deg):
    data.phase(lon=np.deg2rad(ra_deg), lat=np.deg2rad(dec_deg), cat_name="place", phase_frame="icrs")
    data.set_uvws_from_antenna_positions()


def test_four_polarizations_equal_pyuvdata(copies, tmp_path):
    """Phased to a place of their own: what pyuvdata's write_ms makes of the same files, value for value."""
    merged = UVData()
    for subband in (0, 1, 2):

        def prepare(data):
            four_polarizations(data)
            phase_to(data, 24.1, 33.2)

        rewrite({subband: copies[subband]}, prepare)
        merged = read(copies[subband]) if subband == 0 else merged.fast_concat(read(copies[subband]), axis="freq")
    with h5py.File(copies[0], "r+") as file:
        del file["Header/extra_keywords"]  # a tracking array's file says nothing of a drifting pointing
    for subband in (1, 2):
        with h5py.File(copies[subband], "r+") as file:
            del file["Header/extra_keywords"]
    files = {subband: copies[subband] for subband in (0, 1, 2)}
    converted = convert(files, tmp_path / "ours.ms", ConvertOptions(telescope="any"))
    merged.reorder_freqs(channel_order="freq")
    merged.conjugate_bls("ant1<ant2")
    merged.reorder_blts(order="time", minor_order="ant1")
    merged.write_ms(str(tmp_path / "reference.ms"), run_check=False)
    assert (converted.ra_deg, converted.dec_deg) == (pytest.approx(24.1, abs=1e-9), pytest.approx(33.2, abs=1e-9))
    ours = {name: columns(converted.path, name)[0] for name in ("TIME", "ANTENNA1", "ANTENNA2", "DATA", "UVW")}
    reference = {name: columns(tmp_path / "reference.ms", name)[0] for name in ours}
    order = [np.lexsort((ms["ANTENNA2"], ms["ANTENNA1"], np.round(ms["TIME"]))) for ms in (ours, reference)]
    ours, reference = ({name: ms[name][rows] for name in ms} for ms, rows in zip((ours, reference), order, strict=True))
    assert np.array_equal(ours["ANTENNA2"], reference["ANTENNA2"])
    assert np.abs(ours["TIME"] - reference["TIME"]).max() < 1e-4
    assert np.abs(ours["DATA"] - reference["DATA"]).max() < 1e-5
    # pyuvdata takes north from a point half a degree south: 7e-6 rad in u and v.
    assert (
        np.abs(ours["UVW"] - reference["UVW"]).max(axis=1) < 1e-5 * np.linalg.norm(ours["UVW"], axis=1) + 1e-4
    ).all()
    with table(f"{converted.path}::POLARIZATION", ack=False) as polarization:
        assert polarization.getcell("CORR_TYPE", 0).tolist() == [9, 10, 11, 12]
    with table(f"{converted.path}::POINTING", ack=False) as pointing:
        assert pointing.getcol("TRACKING").all()


def test_unprojected_files_equal_pyuvdata(copies, tmp_path):
    """No extra keywords: never fringe-stopped, looking at the zenith."""
    with h5py.File(copies[5], "r+") as file:
        del file["Header/extra_keywords"]
    converted = convert({5: copies[5]}, tmp_path / "drift.ms", ConvertOptions(telescope="any"))
    uvdata = read(copies[5])
    phase_to(uvdata, converted.ra_deg, converted.dec_deg)
    stamps = np.round((uvdata.time_array - 2400000.5) * 86400)
    keys = zip(stamps, uvdata.ant_1_array, uvdata.ant_2_array, strict=True)
    reference = dict(zip(keys, uvdata.data_array[:, ::-1], strict=True))
    time, antenna_1, antenna_2, data = columns(converted.path, "TIME", "ANTENNA1", "ANTENNA2", "DATA")
    for row in range(converted.rows):  # subband 5 is the lowest of the six that its number speaks of
        key = (round(time[row]), antenna_1[row], antenna_2[row])
        expected = reference[key].conj() if key in reference else reference[key[0], key[2], key[1]]
        assert np.abs(data[row, :48] - expected).max() < 2e-4 * np.abs(expected).max()


def circular(path):
    with h5py.File(path, "r+") as file:
        file["Header/polarization_array"][...] = [-1, -2]


def test_circular_polarizations(copies, drift_sim_ms, tmp_path):
    for path in copies.values():
        circular(path)
    converted = convert(copies, tmp_path / "circular.ms", ConvertOptions(telescope="any"))
    assert_same(converted, drift_sim_ms)
    assert read_ms_info(converted.path).correlations == ("RR", "LL")
    with table(f"{converted.path}::FEED", ack=False) as feed:
        assert feed.getcell("POLARIZATION_TYPE", 0) == {"shape": [1, 2], "array": ["R", "L"]} or list(
            feed.getcell("POLARIZATION_TYPE", 0)
        ) == ["R", "L"]


def test_mixed_polarizations_are_refused(copies, tmp_path):
    with h5py.File(copies[3], "r+") as file:
        file["Header/polarization_array"][...] = [-1, -6]
    with pytest.raises(BadFile, match=r"sb03.*-6\b"):
        convert(copies, tmp_path / "out.ms")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("averaged by baseline", r"25\.77\b"),
        ("two windows", r"\b2\b"),
        ("two phase centres", "phase cent(re|er)s?"),
        ("version 2", r"\b2\.0\b"),
        ("a row twice", "baseline"),
        ("moon", "mcmf"),
    ],
)
def test_unsupported_files_are_refused(fault, reason, copies, tmp_path):
    rewrite({6: copies[6]})
    with h5py.File(copies[6], "r+") as file:
        header = file["Header"]
        match fault:
            case "averaged by baseline":
                header["integration_time"][::3] = 25.77
            case "two windows":
                header["Nspws"][...] = 2
            case "two phase centres":
                header["phase_center_id_array"][:5] = 17
            case "version 2":
                header["version"][...] = b"2.0"
            case "a row twice":
                header["ant_1_array"][1], header["ant_2_array"][1] = header["ant_1_array"][0], header["ant_2_array"][0]
            case "moon":
                del header["telescope_frame"]
                header["telescope_frame"] = np.bytes_("mcmf")
    with pytest.raises(BadFile, match=rf"sb06.*{reason}"):
        convert(copies, tmp_path / "out.ms")


def test_location_as_ecef(copies, drift_sim_ms, tmp_path):
    rewrite(copies)
    for path in copies.values():
        location = read(path).telescope.location
        with h5py.File(path, "r+") as file:
            for name in ("latitude", "longitude", "altitude"):
                del file[f"Header/{name}"]
            file["Header/telescope_location"] = [axis.to_value("m") for axis in (location.x, location.y, location.z)]
    assert_same(convert(copies, tmp_path / "tile.ms"), drift_sim_ms, tolerance=1e-5)
