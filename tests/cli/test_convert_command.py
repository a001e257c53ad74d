import re
import shutil
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner

from contimg.cli import main
from contimg.cli.tile.convert import convert
from contimg.common.errors import BadInput

SPAN = ("2026-02-22T23:00:00", "2026-02-23T00:00:00")
FIRST, SECOND = "2026-02-22T23:17:51", "2026-02-22T23:20:11"


@pytest.fixture
def incoming(drift_sim_files, tmp_path) -> Path:
    """Two groups of the same data; the second's name is 140 s later, within the tolerance of 154 s."""
    directory = tmp_path / "incoming"
    directory.mkdir()
    for subband, path in drift_sim_files.items():
        for stamp in (FIRST, SECOND):
            shutil.copy(path, directory / f"{stamp}_sb{subband:02d}.hdf5")
    return directory


def run(incoming, out, *more):
    return CliRunner().invoke(convert, [str(incoming), str(out), *SPAN, *more])


def names(directory):
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_dry_run_writes_nothing(incoming, tmp_path):
    (incoming / f"{SECOND}_sb03.hdf5").unlink()
    done = run(incoming, tmp_path / "out", "--dry-run")
    assert done.exit_code == 0
    first, second = done.output.splitlines()
    assert re.match(rf"{FIRST}\b.*\b16\b.*\b16\b.*\b3 MB\b.*{tmp_path}/out/{FIRST}\.ms$", first)
    assert re.match(rf"{SECOND}\b.*\b15\b.*\b16\b", second)
    assert str(tmp_path) not in second, "a group with too few subbands has no target"
    assert names(tmp_path / "out") == []


def test_parallel_jobs_and_skip_existing(incoming, tmp_path):
    out = tmp_path / "out"
    (out / f"{FIRST}.ms").mkdir(parents=True)
    skipped = run(incoming, out, "--skip-existing")
    assert skipped.exit_code == 0
    assert skipped.output.count("2026-02-22T23:") == 2, "a line for each group"
    assert (out / f"{SECOND}.ms" / "table.dat").exists()
    assert names(out / f"{FIRST}.ms") == []
    shutil.rmtree(out)
    both = run(incoming, out, "--jobs", "2", "--room", str(tmp_path / "room"))
    assert both.exit_code == 0, both.output
    assert both.output.count("2026-02-22T23:") == 2
    assert names(out) == [f"{FIRST}.ms", f"{SECOND}.ms"]
    assert names(tmp_path / "room") == []


def test_one_failed_group_sets_the_exit_status(incoming, tmp_path, monkeypatch, capsys):
    (incoming / f"{FIRST}_sb05.hdf5").write_bytes(b"")
    done = run(incoming, tmp_path / "out")
    assert isinstance(done.exception, BadInput)
    assert re.search(r"\b1\b.*\b2\b", str(done.exception))
    assert f"{FIRST}_sb05.hdf5" in done.output
    assert names(tmp_path / "out") == [f"{SECOND}.ms"]
    monkeypatch.setattr("sys.argv", ["contimg", "convert", str(incoming), str(tmp_path / "out"), *SPAN])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == BadInput.exit_code


def test_bad_file_is_excluded_above_min_subbands(incoming, tmp_path):
    with h5py.File(incoming / f"{FIRST}_sb05.hdf5", "r+") as file:
        file["Data/visdata"][...] = 0
    done = run(incoming, tmp_path / "out", "--min-subbands", "15")
    assert done.exit_code == 0, done.output
    assert f"{FIRST}_sb05.hdf5" in done.output
    assert "partial" in done.output


def test_span_without_groups_is_refused(incoming, tmp_path):
    done = CliRunner().invoke(convert, [str(incoming), str(tmp_path / "out"), "2020-01-01", "2020-01-02"])
    assert isinstance(done.exception, BadInput)
