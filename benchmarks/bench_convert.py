"""Conversion at full scale against a plain copy of the same files and against pyuvdata, in one run, by medians.

    make bench-convert                       96 antennas, 24 × 768 × 2: 2.3 GB, some minutes, 14 GB of memory
    make bench-convert ARGS="--antennas 32"  quicker
    make bench-convert ARGS="--without-pyuvdata --rounds 5"

Each round runs each contestant once, in turn and in a process of its own, so all see the same machine. Seconds leave
out what a worker does once in its life: the start of the interpreter, the imports, and a first small group. Memory is
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
for one in (data, *rest):
    one.uvw_array = one.uvw_array.astype(float)  # the files have float32, which is an error to pyuvdata
data.fast_concat(rest, axis="freq", inplace=True, run_check=False)
data.phase(lon=0.42, lat=0.58, cat_name="tile", phase_frame="icrs")
data.write_ms(str(out / "tile.ms"), run_check=False)
""",
    "pyuvdata": """
data = None
for path in files:
    one = UVData.from_file([str(path)], file_type="uvh5", run_check=False)
    one.uvw_array = one.uvw_array.astype(float)
    data = one if data is None else data.__iadd__(one, run_check=False)
data.phase(lon=0.42, lat=0.58, cat_name="tile", phase_frame="icrs")
data.write_ms(str(out / "tile.ms"), run_check=False)
""",
}
RUN = """
import json, os, shutil, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
source, first, out = (Path(one) for one in sys.argv[1:4])
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
    began = time.perf_counter()
    exec(work)
print(json.dumps(time.perf_counter() - began))
"""


def simulate(where: Path, antennas: int, integrations: int = 24, channels: int = 768) -> Path:
    directory = where / f"{antennas}x{integrations}x{channels}"
    command = [sys.executable, "-m", "contimg", "simulate", str(directory), "--antennas", str(antennas), "--channels",
               str(channels), "--groups", "1", "--integrations", str(integrations)]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return directory


def run(kind: str, source: Path, where: Path, block_mb: int = 8) -> tuple[float, float]:
    """Seconds and peak memory (MB) of one contestant."""
    out = Path(tempfile.mkdtemp(dir=where))
    command = [sys.executable, "-c", RUN, str(source), str(where / FIRST), str(out), str(block_mb), kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write(CONTESTANTS[kind])
    process.stdin.close()
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    shutil.rmtree(out)
    if process.returncode:
        sys.exit(f"{kind}: ended with {process.returncode}")
    return json.loads(said), usage.ru_maxrss / 1024


def compare(source: Path, where: Path, kinds: list[str], rounds: int) -> dict[str, tuple[float, float]]:
    results: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for kind in kinds[:2]:
        run(kind, source, where)  # files into the page cache, kernels into numba's
    for number in range(rounds):
        for kind in kinds:
            results[kind].append(run(kind, source, where))
            seconds, memory = results[kind][-1]
            print(f"  round {number + 1}  {kind:22s} {seconds:7.2f} s {memory:7.0f} MB", flush=True)
    return {
        kind: (statistics.median(one[0] for one in found), max(one[1] for one in found))
        for kind, found in results.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--antennas", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-pyuvdata", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--directory", type=Path, help="where to write; the disk that is measured")
    given = parser.parse_args()
    kinds = [kind for kind in CONTESTANTS if not (given.without_pyuvdata and kind.startswith("pyuvdata"))]
    with tempfile.TemporaryDirectory(dir=given.directory, prefix="bench-convert-") as name:
        where = Path(name)
        simulate(where, 8, 4, 192).rename(where / FIRST)
        source = simulate(where, given.antennas)
        size = sum(path.stat().st_size for path in source.glob("*.hdf5"))
        print(f"{given.antennas} antennas, 24 x 768 x 2: {size / 1e9:.2f} GB")
        medians = compare(source, where, kinds, given.rounds)
        shutil.rmtree(source)
        short, long = (run("contimg", simulate(where, 32, integrations), where)[1] for integrations in (24, 240))
    print(f"\n{'':22s} median s  peak MB  x copy  contimg is faster by")
    for kind, (seconds, memory) in medians.items():
        flushed = ", flushed" if kind.endswith(", flushed") else ""
        copy, ours = medians["plain copy" + flushed][0], medians["contimg" + flushed][0]
        print(f"{kind:22s} {seconds:8.2f} {memory:8.0f} {seconds / copy:7.2f} {seconds / ours:8.2f}")
    print(f"\n32 antennas: {short:.0f} MB with 24 integrations, {long:.0f} MB with 240")
    if given.json:
        figures = {kind: {"seconds": seconds, "peak_gib": memory / 1024} for kind, (seconds, memory) in medians.items()}
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
