"""The files themselves: the layout of real ones, read by this package and by pyuvdata, named as real ones are."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from pyuvdata import UVData

from contimg.cli.demo import simulate as simulate_command
from contimg.common.errors import Misconfigured, Transient
from contimg.formats.uvh5.header import read_header
from contimg.simulation import SimulatedTile, SimulateOptions, plan_tiles, simulate, simulate_tile
from contimg.simulation.tile import tile_paths
from contimg.simulation.visibilities import prepare_run, subband_visibilities

REAL_LAYOUT = next((Path(__file__).parents[1] / "data" / "drift_sim").rglob("*_sb00.hdf5"))
OPTIONS = SimulateOptions(groups=2, antennas=5, channels=768, integrations=3, corrupt=False, noise=False)


@pytest.fixture(scope="module")
def tile(tmp_path_factory: pytest.TempPathFactory) -> SimulatedTile:
    return simulate_tile(plan_tiles(OPTIONS)[1], OPTIONS, tmp_path_factory.mktemp("incoming"))


def kinds(file: h5py.File) -> dict[str, tuple[str, int, int]]:
    datasets = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            datasets[name] = (item.dtype.kind, 0 if item.dtype.kind == "S" else item.dtype.itemsize, item.ndim)

    file.visititems(note)
    return datasets


def test_layout_equals_correlator_file(tile: SimulatedTile) -> None:
    with h5py.File(REAL_LAYOUT) as real, h5py.File(tile.files[0]) as ours:
        assert kinds(ours) == kinds(real)
        for name in ("antenna_names", "antenna_numbers", "polarization_array", "phase_type", "telescope_name"):
            assert np.array_equal(ours[f"Header/{name}"][()], real[f"Header/{name}"][()]), name
        baselines = ours["Header/antenna_positions"][:] - ours["Header/antenna_positions"][0]
        np.testing.assert_allclose(
            baselines, real["Header/antenna_positions"][:] - real["Header/antenna_positions"][0], atol=1e-6
        )
        uvw = ours["Header/uvw_array"][:].reshape(3, 15, 3)
        assert np.array_equal(uvw[0], uvw[1])
        assert ours["Data/visdata"].chunks == (128, 1, 12, 1)
        assert not ours["Data/flags"][:].any()
        assert (ours["Data/nsamples"][:] == 1).all()


def test_headers_are_accepted(tile: SimulatedTile) -> None:
    for subband, path in tile.files.items():
        header = read_header(path)
        expected = 1.53e9 - (1024 + 384 * subband + 8 * np.arange(48) + 3.5) * 250e6 / 8192
        assert header.subband == subband
        assert np.array_equal(header.freqs_hz, expected)
        assert header.phasing.declination_rad == tile.plan.apparent_dec_rad
        assert np.array_equal(header.times_jd, tile.plan.times_jd)


def test_pyuvdata_reads_files(tile: SimulatedTile) -> None:
    data = UVData()
    data.read(tile.files[9], file_type="uvh5", run_check=False)
    expected = subband_visibilities(prepare_run(OPTIONS), tile.plan, 9)[:, 0]
    # The file's channels are interpolated from those computed for the whole band.
    np.testing.assert_allclose(data.data_array, expected, atol=1e-4 * np.abs(expected).max())
    assert (data.Nants_data, data.Nants_telescope, data.Ntimes, data.Nbls) == (5, 117, 3, 15)
    header = read_header(tile.files[9])
    # uvw = x2 - x1 towards hour angle 0: pyuvdata's lengths from its own antenna positions.
    positions = data.telescope.antenna_positions
    lengths = np.linalg.norm(positions[header.layout.antenna_2] - positions[header.layout.antenna_1], axis=1)
    np.testing.assert_allclose(np.linalg.norm(data.uvw_array[:15], axis=1), lengths, atol=1e-3)


def test_truth_agrees_with_files(tile: SimulatedTile) -> None:
    truth = json.loads(tile.truth.read_text())
    assert tile.truth == tile.files[0].parent / "truth" / f"{tile.plan.group}.json"
    assert truth["group"] == tile.plan.group
    # An autocorrelation of noiseless receivers holds the sum of all apparent fluxes.
    with h5py.File(tile.files[7]) as high, h5py.File(tile.files[8]) as low:
        power = 0.5 * (high["Data/visdata"][::15, 0, -1, 0] + low["Data/visdata"][::15, 0, 0, 0]).real.mean()
    assert sum(source["apparent_flux_jy"] for source in truth["sources"]) == pytest.approx(power, rel=1e-4)
    with np.load(tile.truth.with_suffix(".npz")) as gains:
        assert gains["gains"].shape == (5, 768, 2)
        np.testing.assert_allclose(gains["gains"], 1.0)
        assert np.all(np.diff(gains["freqs_hz"]) < 0)


def test_files_are_renamed_when_complete_in_order(tmp_path: Path) -> None:
    options = OPTIONS.replace(antennas=2, channels=16, clock_spread=40)
    plan = plan_tiles(options)[0]
    paths = [*tile_paths(plan, options, tmp_path).values()]
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(simulate_tile, plan, options, tmp_path)
        while not writing.done():
            exist = [path.exists() for path in reversed(paths)]  # the last first: files appear meanwhile
            assert exist == sorted(exist)
            if exist[-1]:
                read_header(paths[0])
    tile = writing.result()
    assert [*tile.files.values()] == paths
    assert not list(tmp_path.glob("*_incomplete*"))
    stamps = sorted(path.name.split("_")[0] for path in paths)
    assert stamps[0] == plan.group
    assert len(set(stamps)) > 1
    assert tile.size_bytes == sum(path.stat().st_size for path in paths)
    assert {
        path.name.split("_")[0] for path in tile_paths(plan, options.replace(clock_spread=0), tmp_path).values()
    } == {plan.group}


def test_failure_leaves_no_incomplete_file(tmp_path: Path) -> None:
    options = OPTIONS.replace(antennas=2, channels=16)
    plan = plan_tiles(options)[0]
    obstacle = tile_paths(plan, options, tmp_path)[4]
    obstacle.mkdir(parents=True)  # renaming the fifth file fails
    with pytest.raises(Transient):
        simulate_tile(plan, options, tmp_path)
    files = sorted(path.name[20:] for path in tmp_path.glob("*.hdf5") if path != obstacle)
    assert files == [f"sb0{subband}.hdf5" for subband in range(4)]


def test_pace(tmp_path: Path) -> None:
    options = OPTIONS.replace(antennas=2, channels=16, groups=3, pace=1545.0)
    tiles = list(simulate(options, tmp_path))
    started = [tile.truth.stat().st_mtime for tile in tiles]
    assert started[1] - started[0] > 0.1
    assert started[2] - started[0] > 0.3


def test_simulate_command(tmp_path: Path) -> None:
    small = ["--groups", "2", "--antennas", "2", "--channels", "16", "--integrations", "2", "--no-chunked"]
    result = CliRunner().invoke(simulate_command, [str(tmp_path / "new" / "out"), *small])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert len(lines) == 2
    assert all(re.search(r"\b16\b", line) for line in lines)
    assert len(list((tmp_path / "new" / "out").glob("*.hdf5"))) == 32
    file = tmp_path / "file"
    file.write_text("not a directory")
    result = CliRunner().invoke(simulate_command, [str(file), *small])
    assert isinstance(result.exception, Misconfigured)
    assert str(file) in str(result.exception)
