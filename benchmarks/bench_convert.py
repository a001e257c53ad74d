"""Compare conversion at full scale with a plain copy of the same files and with pyuvdata, by medians of one run.

    make bench-convert                       96 antennas, 24 × 768 × 2: 2.3 GB, several minutes, 14 GB of memory
    make bench-convert ARGS="--antennas 32"  quicker
    make bench-convert ARGS="--without-pyuvdata --rounds 5"

Each round runs each contestant once, one after another and in a process of its own, so that all run under the same
load. Seconds exclude what a worker does once: starting the interpreter, importing, and a first small group. Memory is
the peak of the whole process.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FIRST = "first"
CONTESTANTS = {
    "plain copy": """
for path in files:
    shutil.copyfile(path, out / path.name)
""",
    "plain copy, flushed": """
for path in files:
    shutil.copyfile(path, out / path.name)
    with (out / path.name).open("rb") as copy:
        os.fsync(copy.fileno())
""",
    "contimg": """
convert({int(path.stem[-2:]): path for path in files}, out / "tile.ms", ConvertOptions(block_mb=block_mb))
""",
    "contimg, flushed": """
convert({int(path.stem[-2:]): path for path in files}, out / "tile.ms", ConvertOptions(block_mb=block_mb, durable=True))
""",
    "pyuvdata, fast_concat": """
data = UVData.from_file([str(files[0])], file_type="uvh5", run_check=False)
rest = [UVData.from_file([str(path)], file_type="uvh5", run_check=False) for path in files[1:]]
for part in (data, *rest):
    part.uvw_array = part.uvw_array.astype(float)  # the files have float32, which pyuvdata rejects
data.fast_concat(rest, axis="freq", inplace=True, run_check=False)
data.phase(lon=0.42, lat=0.58, cat_name="tile", phase_frame="icrs")
data.write_ms(str(out / "tile.ms"), run_check=False)
""",
    "pyuvdata": """
data = None
for path in files:
    part = UVData.from_file([str(path)], file_type="uvh5", run_check=False)
    part.uvw_array = part.uvw_array.astype(float)
    data = part if data is None else data.__iadd__(part, run_check=False)
data.phase(lon=0.42, lat=0.58, cat_name="tile", phase_frame="icrs")
data.write_ms(str(out / "tile.ms"), run_check=False)
""",
}
RUN = """
import json, os, shutil, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
source, first, out = (Path(argument) for argument in sys.argv[1:4])
block_mb, kind = int(sys.argv[4]), sys.argv[5]
if kind.startswith("contimg"):
    from contimg.tile.convert import ConvertOptions, convert
elif kind.startswith("pyuvdata"):
    from astropy.utils import iers
    from pyuvdata import UVData
    iers.conf.auto_download, iers.conf.auto_max_age = False, None
work = compile(sys.stdin.read(), kind, "exec")
for files in (sorted(first.glob("*.hdf5")), sorted(source.glob("*.hdf5"))):
    shutil.rmtree(out)
    out.mkdir()
    start_s = time.perf_counter()
    exec(work)
print(json.dumps(time.perf_counter() - start_s))
"""


def simulate(directory: Path, antennas: int, integrations: int = 24, channels: int = 768) -> Path:
    tile_directory = directory / f"{antennas}x{integrations}x{channels}"
    command = [sys.executable, "-m", "contimg", "simulate", str(tile_directory), "--antennas", str(antennas),
               "--channels", str(channels), "--groups", "1", "--integrations", str(integrations)]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return tile_directory


def run(kind: str, source: Path, directory: Path, block_mb: int = 8) -> tuple[float, float]:
    """Run a contestant; return its seconds and peak memory in MB."""
    output_directory = Path(tempfile.mkdtemp(dir=directory))
    command = [
        sys.executable,
        "-c",
        RUN,
        str(source),
        str(directory / FIRST),
        str(output_directory),
        str(block_mb),
        kind,
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write(CONTESTANTS[kind])
    process.stdin.close()
    output = process.stdout.read()
    _, status, resources = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    shutil.rmtree(output_directory)
    if process.returncode:
        sys.exit(f"{kind}: exit status {process.returncode}")
    return json.loads(output), resources.ru_maxrss / 1024


def compare(source: Path, directory: Path, kinds: list[str], rounds: int) -> dict[str, tuple[float, float]]:
    results: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for kind in kinds[:2]:
        run(kind, source, directory)  # fills the page cache and numba's kernel cache
    for number in range(rounds):
        for kind in kinds:
            results[kind].append(run(kind, source, directory))
            seconds, memory_mb = results[kind][-1]
            print(f"  round {number + 1}  {kind:22s} {seconds:7.2f} s {memory_mb:7.0f} MB", flush=True)
    return {
        kind: (
            statistics.median(measurement[0] for measurement in measurements),
            max(measurement[1] for measurement in measurements),
        )
        for kind, measurements in results.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--antennas", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-pyuvdata", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file as JSON")
    parser.add_argument("--directory", type=Path, help="directory on the disk to measure")
    arguments = parser.parse_args()
    kinds = [kind for kind in CONTESTANTS if not (arguments.without_pyuvdata and kind.startswith("pyuvdata"))]
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="bench-convert-") as name:
        directory = Path(name)
        simulate(directory, 8, 4, 192).rename(directory / FIRST)
        source = simulate(directory, arguments.antennas)
        size_bytes = sum(path.stat().st_size for path in source.glob("*.hdf5"))
        print(f"{arguments.antennas} antennas, 24 x 768 x 2: {size_bytes / 1e9:.2f} GB")
        medians = compare(source, directory, kinds, arguments.rounds)
        shutil.rmtree(source)
        short_mb, long_mb = (
            run("contimg", simulate(directory, 32, integrations), directory)[1] for integrations in (24, 240)
        )
    print(f"\n{'':22s} median s  peak MB  x copy  ratio to contimg")
    for kind, (seconds, memory_mb) in medians.items():
        flushed = ", flushed" if kind.endswith(", flushed") else ""
        copy_s, contimg_s = medians["plain copy" + flushed][0], medians["contimg" + flushed][0]
        print(f"{kind:22s} {seconds:8.2f} {memory_mb:8.0f} {seconds / copy_s:7.2f} {seconds / contimg_s:8.2f}")
    print(f"\n32 antennas: {short_mb:.0f} MB with 24 integrations, {long_mb:.0f} MB with 240")
    if arguments.json:
        figures = {
            kind: {"seconds": seconds, "peak_gib": memory_mb / 1024} for kind, (seconds, memory_mb) in medians.items()
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
