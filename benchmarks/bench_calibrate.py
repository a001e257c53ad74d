"""Flag, solve and apply at full scale, and the same tables applied by CASA's applycal in the same run.

    python benchmarks/bench_calibrate.py [--antennas 96] [--channels 768] [--ms MS]

Makes a simulated transit of 3C48 unless given a converted tile. Every step runs in a process of its own, whose peak
memory is reported. Exits with 1 when apply is not 3 times faster than applycal, or takes more than 1 GiB, or flagging
takes over 45 s, or the two corrected columns differ.
"""

import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from casacore.tables import table

LEAST_RATIO, MOST_APPLY_BYTES, MOST_FLAG_S = 3.0, 2**30, 45.0
TOLERANCE = 1e-5


def measured(step: Callable[..., Any], *arguments: Any) -> tuple[Any, float, int]:
    """What a step returns, its seconds and its peak memory in bytes, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (step, arguments))


def _timed(step: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, float, int]:
    begun = time.perf_counter()
    result = step(*arguments)
    return result, time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def make_tile(room: Path, antennas: int, channels: int) -> Path:
    """A converted transit of 3C48 with dead antennas and interference."""
    from contimg.conversion import ConvertOptions, convert
    from contimg.simulation import SimulateOptions, simulate

    options = SimulateOptions(groups=1, antennas=antennas, channels=channels, dead=max(1, antennas // 20), rfi=True)
    tile = next(iter(simulate(options, room)))
    return convert(tile.files, room / f"{tile.plan.group}.ms", ConvertOptions()).path


def flag_tile(ms: Path) -> Any:
    """Flag; returns what was found."""
    from contimg.flagging import flag
    from contimg.measurement_set.description import describe

    return flag(describe(ms))


def solve_tile(ms: Path, directory: Path, unflagged: Any) -> Any:
    """Solve; returns the set."""
    from contimg.calibration import CalibrateOptions
    from contimg.calibration.calibrators import in_beam, with_company
    from contimg.calibration.solving import solve
    from contimg.measurement_set.description import describe

    tile, options = describe(ms), CalibrateOptions()
    main = in_beam(tile, options.min_attenuation, options.min_apparent_jy)[0]
    return solve(tile, with_company(tile, main), unflagged, directory, options)


def apply_set(ms: Path, one: Any) -> float:
    """Write CORRECTED_DATA by the package's own pass; returns its seconds, imports not among them."""
    from contimg.calibration.applying import apply
    from contimg.measurement_set.description import describe

    begun = time.perf_counter()
    apply(one, describe(ms))
    return time.perf_counter() - begun


def run_applycal(ms: Path, one: Any, room: Path) -> float:
    """CASA's applycal of the same tables; returns the task's own seconds, CASA's start not among them."""
    from contimg.calibration import casa

    arguments = {
        "vis": str(ms), "gaintable": [str(path) for path in one.paths], "interp": ["linear,linearflag", "linear"],
        "calwt": [False], "flagbackup": False, "applymode": "calflag",
    }  # fmt: skip
    work = room / "applycal"
    work.mkdir()
    return casa.run([casa.Task("applycal", arguments)], work, room / "casa.log", 3600).seconds[0]


def warm(room: Path, one: Any, ms: Path) -> None:
    """Let numba compile, and write its cache, on a small copy of the tile."""
    small = room / "warm.ms"
    with table(str(ms), ack=False) as main:
        main.selectrows(range(200)).copy(str(small), deep=True).close()
    apply_set(small, one)


def difference(ours: Path, theirs: Path) -> tuple[float, bool]:
    """Largest difference of the corrected data as part of the largest value, and whether the flags are equal."""
    worst, largest, same = 0.0, 0.0, True
    with table(str(ours), ack=False) as one, table(str(theirs), ack=False) as other:
        for start in range(0, one.nrows(), 4096):
            count = min(4096, one.nrows() - start)
            flags, their_flags = one.getcol("FLAG", start, count), other.getcol("FLAG", start, count)
            same &= bool(np.array_equal(flags, their_flags))
            good = ~flags & ~their_flags
            mine, reference = (each.getcol("CORRECTED_DATA", start, count)[good] for each in (one, other))
            if reference.size:
                worst = max(worst, float(np.abs(mine - reference).max()))
                largest = max(largest, float(np.abs(reference).max()))
    return worst / max(largest, 1e-30), same


@click.command()
@click.option("--antennas", default=96, show_default=True)
@click.option("--channels", default=768, show_default=True)
@click.option("--ms", type=click.Path(path_type=Path), help="A converted tile with a calibrator, instead of a new one.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Where to work; 12 GB at full scale.")
def bench(antennas: int, channels: int, ms: Path | None, scratch: Path | None) -> None:
    """Measure flagging, solving and applying."""
    room = Path(tempfile.mkdtemp(prefix="contimg-bench-", dir=scratch))
    try:
        sys.exit(0 if _bench(room, antennas, channels, ms) else 1)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _bench(room: Path, antennas: int, channels: int, given: Path | None) -> bool:
    ours, theirs = room / "tile.ms", room / "applycal.ms"
    source = given or measured(make_tile, room, antennas, channels)[0]
    shutil.copytree(source, ours)
    flagged, flag_s, flag_bytes = measured(flag_tile, ours)
    _say("flag", flag_s, flag_bytes, f"{flagged.fraction:.1%} flagged, {len(flagged.dead)} dead antennas")
    one, solve_s, solve_bytes = measured(solve_tile, ours, room / "calibration", flagged.unflagged)
    _say("solve", solve_s, solve_bytes, f"{one.calibrator}, {one.grade}, CASA's memory not counted")
    shutil.copytree(ours, theirs)
    measured(warm, room, one, ours)
    casa_s, _, _ = measured(run_applycal, theirs, one, room)
    apply_s, _, apply_bytes = measured(apply_set, ours, one)
    worst, same = difference(ours, theirs)
    _say("apply", apply_s, apply_bytes, "one pass, imports not counted")
    _say("applycal", casa_s, None, "the task alone, CASA's start not counted")
    click.echo(f"ratio     {casa_s / apply_s:.1f} times faster than applycal (at least {LEAST_RATIO:g})")
    click.echo(f"equal     largest difference {worst:.1e}, flags {'equal' if same else 'DIFFERENT'}")
    checks = (casa_s >= LEAST_RATIO * apply_s, apply_bytes <= MOST_APPLY_BYTES, flag_s <= MOST_FLAG_S)
    return all(checks) and worst < TOLERANCE and same


def _say(step: str, seconds: float, memory: int | None, more: str) -> None:
    peak = "" if memory is None else f"{memory / 2**30:5.2f} GiB"
    click.echo(f"{step:<9} {seconds:6.1f} s  {peak:<9}  {more}")


if __name__ == "__main__":
    bench()
