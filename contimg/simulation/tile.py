"""Writing the subband files of a tile, or of a run of tiles, and the truth beside them.

The truth is the simulated sources and receivers: `truth/<group>.json` and `truth/<group>.npz`.
"""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg.errors import Misconfigured, Transient
from contimg.files.writing import atomic_file, write_text
from contimg.instrument.dsa110 import BAND
from contimg.instrument.time import DAY_S, MJD_ZERO_JD
from contimg.simulation import drift
from contimg.simulation.corruption import dead_numbers
from contimg.simulation.options import SimulateOptions
from contimg.simulation.plan import TilePlan, plan_tiles
from contimg.simulation.sky import CALIBRATOR, Source, beam_response
from contimg.simulation.subband_file import incomplete_path, write_subband
from contimg.simulation.visibilities import Run, prepare_run, subband_visibilities

GAIN_CONVENTION = (
    "UVH5: visibility of (antenna 1, antenna 2) = conj(g1) g2 V12; Measurement Set, the conjugate: g1 conj(g2) V12, "
    "so these are the gains that CASA solves for"
)


@dataclass(frozen=True)
class SimulatedTile:
    """The files of a tile.

    Attributes
    ----------
    plan : of the tile.
    files : path of each subband.
    truth : JSON file with the sources and receivers.
    size_bytes : total size of the files.
    seconds : time that the writing took.
    """

    plan: TilePlan
    files: Mapping[int, Path]
    truth: Path
    size_bytes: int
    seconds: float


def simulate(options: SimulateOptions, directory: Path) -> Iterator[SimulatedTile]:
    """Write the tiles of a run and yield each when it is complete.

    Parameters
    ----------
    options : of the run; with `pace`, tile n starts n cadences / pace after the first.
    directory : to write in.
    """
    start_s = time.monotonic()
    for plan in plan_tiles(options):
        if options.pace > 0:
            due = start_s + plan.index * options.cadence_s / options.pace
            time.sleep(max(0.0, due - time.monotonic()))
        yield simulate_tile(plan, options, directory)


def simulate_tile(plan: TilePlan, options: SimulateOptions, directory: Path) -> SimulatedTile:
    """Write the 16 files of a tile and its truth; at most `options.threads` subbands are in memory at a time.

    Files get their final names in order of subband. Unfinished files are removed on an interruption.

    Parameters
    ----------
    plan : the tile.
    options : of the run.
    directory : to write in.

    Raises
    ------
    Misconfigured : the directory cannot be written to.
    Transient : the disk is full or fails.
    """
    start_s = time.perf_counter()
    run = prepare_run(options)
    paths = tile_paths(plan, options, directory)
    try:
        truth = write_truth(directory, run, plan)
        _write_subbands(run, plan, paths)
        size_bytes = sum(path.stat().st_size for path in paths.values())
    except (PermissionError, FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise Misconfigured(f"{directory}: cannot write here ({error.strerror}); give a writable directory") from error
    except OSError as error:
        raise Transient(f"{directory}: writing failed ({error}); free space or check the file system") from error
    return SimulatedTile(plan, paths, truth, size_bytes, time.perf_counter() - start_s)


def _write_subbands(run: Run, plan: TilePlan, paths: Mapping[int, Path]) -> None:
    """Write all files and rename them in order of subband."""

    def write(subband: int) -> Path:
        write_subband(paths[subband], run, plan, subband, subband_visibilities(run, plan, subband))
        return paths[subband]

    try:
        with ThreadPoolExecutor(run.options.threads) as pool:
            for path in pool.map(write, paths):
                incomplete_path(path).rename(path)
    finally:
        for path in paths.values():
            incomplete_path(path).unlink(missing_ok=True)


def tile_paths(plan: TilePlan, options: SimulateOptions, directory: Path) -> dict[int, Path]:
    """Return the path of each subband file, in order of subband.

    Each machine stamps the name by its own clock, up to `options.clock_spread` whole seconds late; the first is on
    time. The times of the integrations are the same in all files of a group.

    Parameters
    ----------
    plan : the tile.
    options : of the run.
    directory : of the files.
    """
    rng = np.random.default_rng([options.seed, 6, plan.index])
    offsets_s = rng.integers(0, options.clock_spread, size=BAND.subbands, endpoint=True)
    offsets_s[0] = 0
    return {subband: directory / plan.file_name(subband, int(offset_s)) for subband, offset_s in enumerate(offsets_s)}


def write_truth(directory: Path, run: Run, plan: TilePlan) -> Path:
    """Write the truth of a tile.

    The JSON holds group, times, pointing, beam, antennas, dead antennas, options and sources: ICRS position,
    `flux_jy` (intrinsic, at the band's centre), its spectrum, and `apparent_flux_jy` (through the beam, the mean over
    the tile's integrations at the band's centre). The .npz holds `gains` (antennas, channels, pols) complex64 at
    mid-tile, `freqs_hz` in file order, `stations`, `delay_ns` (antennas, pols), `sefd_jy` (antennas,), `convention`.

    Parameters
    ----------
    directory : of the subband files.
    run, plan : of the tile.

    Returns
    -------
    path of the JSON file.
    """
    truth = directory / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    with atomic_file(truth / f"{plan.group}.npz", mode=0o644) as file:
        _save_gains(file, run, plan)
    path = truth / f"{plan.group}.json"
    write_text(path, json.dumps(_describe(run, plan), indent=2) + "\n", mode=0o644)
    return path


def _save_gains(file: Any, run: Run, plan: TilePlan) -> None:
    numbers, channels = run.array.numbers, run.options.channels_per_subband
    freqs_hz = np.concatenate([BAND.channel_freqs_hz(subband, channels) for subband in range(BAND.subbands)])
    gains = run.corruption.gains(numbers, freqs_hz, (plan.mid_jd - run.zero_jd) * DAY_S)
    np.savez(
        file,
        gains=gains.astype(np.complex64),
        freqs_hz=freqs_hz,
        stations=run.array.stations,
        delay_ns=run.corruption.delay_ns[numbers],
        sefd_jy=run.corruption.sefd_jy[numbers],
        convention=np.array(GAIN_CONVENTION),
    )


def _describe(run: Run, plan: TilePlan) -> dict[str, Any]:
    return {
        "group": plan.group,
        "mid_time_mjd": plan.mid_jd - MJD_ZERO_JD,
        "first_time_mjd": float(plan.times_jd[0]) - MJD_ZERO_JD,
        "pointing": {
            "apparent_dec_deg": float(np.rad2deg(plan.apparent_dec_rad)),
            "ra_deg": plan.centre_ra_deg,
            "dec_deg": plan.centre_dec_deg,
        },
        "beam": run.options.beam,
        "band_centre_hz": BAND.centre_hz,
        "stations": run.array.stations.tolist(),
        "dead_stations": sorted(number + 1 for number in dead_numbers(run.options, run.array)),
        "sources": [_describe_source(run, plan, source) for source in plan.sources],
        "options": run.options.model_dump(),
    }


def _describe_source(run: Run, plan: TilePlan, source: Source) -> dict[str, Any]:
    directions = drift.source_directions(source.ra_deg, source.dec_deg, plan.times_jd)[:, 0]
    separation = np.arccos(np.clip(directions @ drift.meridian_direction(plan.apparent_dec_rad), -1, 1))
    flux_jy = float(source.flux_jy(BAND.centre_hz))
    return {
        "name": source.name,
        "calibrator": source is CALIBRATOR,
        "ra_deg": source.ra_deg,
        "dec_deg": source.dec_deg,
        "flux_jy": flux_jy,
        "spectrum": list(source.spectrum),
        "apparent_flux_jy": flux_jy * float(beam_response(run.options.beam, separation, BAND.centre_hz).mean()),
    }
