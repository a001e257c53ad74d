"""Writing the subband files of a tile, or of a run of tiles, and the truth beside them.

The files have the correlator's layout, legacy UVH5, and an `_incomplete` name until they are renamed.

The truth is the simulated sources and receivers: `truth/<group>.json` and `truth/<group>.npz`.
"""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import Misconfigured, Transient
from contimg.common.files.writing import atomic_file, write_text
from contimg.instrument import dsa110 as telescope
from contimg.instrument.dsa110 import BAND
from contimg.instrument.time import DAY_S, MJD_ZERO_JD
from contimg.simulation import drift
from contimg.simulation.beams import mean_power
from contimg.simulation.catalogue import NAME as CATALOGUE_NAME
from contimg.simulation.catalogue import write_sky_catalogue
from contimg.simulation.options import SimulateOptions
from contimg.simulation.plan import TilePlan, plan_tiles
from contimg.simulation.receivers import dead_numbers
from contimg.simulation.sky import CALIBRATOR, COUNTS_PREFIX
from contimg.simulation.visibilities import Run, predict_sky, prepare_run, subband_visibilities
from contimg.sky.catalogue.catalogue import SUFFIX

LINEAR_POLARIZATIONS = (-5, -6)  # XX, YY in the AIPS code
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
    """Write the sky of a run as `truth/sky.catalogue`, then its tiles; yield each when it is complete.

    Parameters
    ----------
    options : of the run; with `pace`, tile n starts n cadences / pace after the first.
    directory : to write in.

    Raises
    ------
    Misconfigured, Transient : as of `simulate_tile`.
    """
    start_s, plans = time.monotonic(), plan_tiles(options)
    if any(plan.sources for plan in plans):
        with _report_errors(directory):
            write_sky_catalogue(directory / "truth" / f"{CATALOGUE_NAME}{SUFFIX}", plans, options)
    for plan in plans:
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
    with _report_errors(directory):
        truth = write_truth(directory, run, plan)
        _write_subbands(run, plan, paths)
        size_bytes = sum(path.stat().st_size for path in paths.values())
    return SimulatedTile(plan, paths, truth, size_bytes, time.perf_counter() - start_s)


@contextmanager
def _report_errors(directory: Path) -> Iterator[None]:
    """Raise the errors of writing as Misconfigured, or Transient where the disk is full or fails."""
    try:
        yield
    except (PermissionError, FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise Misconfigured(f"{directory}: cannot write here ({error.strerror}); give a writable directory") from error
    except OSError as error:
        raise Transient(f"{directory}: writing failed ({error}); free space or check the file system") from error


def _write_subbands(run: Run, plan: TilePlan, paths: Mapping[int, Path]) -> None:
    """Write all files and rename them in order of subband."""

    channels = run.options.channels_per_subband
    sky = predict_sky(run, plan, np.concatenate([BAND.channel_freqs_hz(sb, channels) for sb in range(BAND.subbands)]))

    def write(subband: int) -> Path:
        _write_subband(paths[subband], run, plan, subband, subband_visibilities(run, plan, subband, sky))
        return paths[subband]

    try:
        with ThreadPoolExecutor(run.options.threads) as pool:
            for path in pool.map(write, paths):
                _incomplete_path(path).rename(path)
    finally:
        for path in paths.values():
            _incomplete_path(path).unlink(missing_ok=True)


def _incomplete_path(path: Path) -> Path:
    """Path of a file while it is being written, which the producer ignores."""
    return path.with_name(f"{path.stem}_incomplete.hdf5")


def _write_subband(path: Path, run: Run, plan: TilePlan, subband: int, visibilities: NDArray[np.complex64]) -> None:
    """Write visibilities, shape (times × baselines, 1, channels, 2), under the `_incomplete` name of a path."""
    with h5py.File(_incomplete_path(path), "w") as file:
        _write_header(file.create_group("Header"), run, plan, subband)
        _write_data(file.create_group("Data"), visibilities, run.options.chunked)


def _write_data(group: Any, visibilities: NDArray[np.complex64], chunked: bool) -> None:
    shape = visibilities.shape
    contents = {
        "visdata": visibilities,
        "flags": np.zeros(shape, dtype=np.bool_),
        "nsamples": np.ones(shape, dtype=np.float32),
    }
    for name, content in contents.items():
        if chunked:
            # The correlator appends integrations, so h5py chooses the chunks for an empty first axis:
            # 12 KiB each for native visibilities.
            data = group.create_dataset(name, (0, *shape[1:]), content.dtype, maxshape=(None, *shape[1:]))
            data.resize(shape)
            data[...] = content
        else:
            group.create_dataset(name, data=content)


def _write_header(header: Any, run: Run, plan: TilePlan, subband: int) -> None:
    options, array = run.options, run.array
    times, baselines = plan.times_jd.size, array.first.size
    freqs_hz = BAND.channel_freqs_hz(subband, options.channels_per_subband)
    slots = len(array.positions_m)
    antenna_1, antenna_2 = array.numbers[array.first], array.numbers[array.second]
    uvw_m = drift.meridian_uvw_m(array.positions_m[antenna_2] - array.positions_m[antenna_1], plan.apparent_dec_rad)
    contents = {
        "Nants_data": array.stations.size,
        "Nants_telescope": slots,
        "Nbls": baselines,
        "Nblts": times * baselines,
        "Nfreqs": freqs_hz.size,
        "Npols": len(LINEAR_POLARIZATIONS),
        "Nspws": 1,
        "Ntimes": times,
        "altitude": telescope.HEIGHT_M,
        "latitude": telescope.LATITUDE_DEG,
        "longitude": telescope.LONGITUDE_DEG,
        "ant_1_array": np.tile(antenna_1, times),
        "ant_2_array": np.tile(antenna_2, times),
        "antenna_diameters": np.full(slots, telescope.DISH_DIAMETER_M),
        "antenna_names": np.array([str(slot + 1) for slot in range(slots)], dtype="S12"),
        "antenna_numbers": np.arange(slots),
        "antenna_positions": array.positions_m,
        "channel_width": options.channel_width_hz,
        "freq_array": freqs_hz[np.newaxis],
        "history": np.bytes_("simulated by contimg"),
        "instrument": np.bytes_("DSA"),
        "integration_time": np.full(times * baselines, options.integration_s),
        "object_name": np.bytes_("search"),
        "phase_center_app_dec": plan.apparent_dec_rad,
        "phase_type": np.bytes_("drift"),
        "polarization_array": np.array(LINEAR_POLARIZATIONS),
        "spw_array": np.array([1]),
        "telescope_name": np.bytes_(telescope.NAME),
        "time_array": np.repeat(plan.times_jd, baselines),
        # The same in every integration: the correlator writes the geometry of the meridian, in single precision.
        "uvw_array": np.tile(uvw_m.astype(np.float32), (times, 1)),
    }
    header.update(contents)
    declination_deg = np.rad2deg(plan.apparent_dec_rad)
    header.create_group("extra_keywords").update(
        {
            "applied_delays_ns": np.bytes_(" ".join(["0"] * (2 * slots))),
            "fs_table": np.bytes_(f"fringestopping_table_dec{declination_deg:.1f}deg_{array.stations.size}ant.npz"),
            "ha_phase_center": 0.0,
            "phase_center_dec": plan.apparent_dec_rad,
            "phase_center_epoch": "HADEC",
        }
    )


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
    `flux_jy` (intrinsic, at the band's centre, of that time), `flux_factor` (over the steady flux), spectrum and shape,
    `apparent_flux_jy` (through the beam, the mean over the tile's integrations at the band's centre),
    `band_apparent_flux_jy` (the mean over the band too) and `separation_deg` (from the pointing at mid-tile). The .csv
    is a table of the sources alone. The .npz holds `gains`
    (antennas, channels, pols) complex64 at mid-tile, `freqs_hz` in file order, `stations`, `delay_ns` (antennas, pols),
    `sefd_jy` (antennas,), `position_error_m` (antennas, 3) and `pointing_offset_rad` (antennas, 2: east, north),
    `convention`; `gain_series` (times, antennas, pols) at the band's centre over `times_mjd`.

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
    description = _describe(run, plan)
    write_text(truth / f"{plan.group}.csv", _csv(description["sources"]), mode=0o644)
    path = truth / f"{plan.group}.json"
    write_text(path, json.dumps(description, indent=2) + "\n", mode=0o644)
    return path


def _csv(sources: list[dict[str, Any]]) -> str:
    """Return the sources as a table: all of the JSON's numbers except the spectrum's coefficients."""
    columns = [name for name in (sources or [{}])[0] if name not in ("calibrator", "of_counts", "spectrum")]
    lines = [",".join(columns)]
    lines += [",".join(str(source[name]) for name in columns) for source in sources]
    return "\n".join(lines) + "\n"


def _save_gains(file: Any, run: Run, plan: TilePlan) -> None:
    numbers, channels = run.array.numbers, run.options.channels_per_subband
    freqs_hz = np.concatenate([BAND.channel_freqs_hz(subband, channels) for subband in range(BAND.subbands)])
    gains = run.corruption.gains(numbers, freqs_hz, (plan.mid_jd - run.zero_jd) * DAY_S)
    seconds = (plan.times_jd - run.zero_jd) * DAY_S
    centre_hz = np.array([BAND.centre_hz])
    series = np.stack([run.corruption.gains(numbers, centre_hz, second)[:, 0] for second in seconds])
    np.savez(
        file,
        gain_series=series.astype(np.complex64),
        times_mjd=plan.times_jd - MJD_ZERO_JD,
        gains=gains.astype(np.complex64),
        freqs_hz=freqs_hz,
        stations=run.array.stations,
        delay_ns=run.corruption.delay_ns[numbers],
        sefd_jy=run.corruption.sefd_jy[numbers],
        position_error_m=run.corruption.position_error_m[numbers],
        pointing_offset_rad=np.broadcast_to(run.beam.of_antennas(numbers), (numbers.size, 2)),
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
        "sources": _describe_sources(run, plan),
        "options": run.options.model_dump(),
    }


def _describe_sources(run: Run, plan: TilePlan) -> list[dict[str, Any]]:
    """Sources with their fluxes outside the beam and through it."""
    if not plan.sources:
        return []
    ra_deg, dec_deg = ([getattr(source, name) for source in plan.sources] for name in ("ra_deg", "dec_deg"))
    directions = drift.source_directions(ra_deg, dec_deg, plan.times_jd)
    if not run.options.moving_beam:
        directions = 0.5 * (directions + directions[::-1])[len(directions) // 2 :][:1]
    freqs_hz = np.append(BAND.centre_hz, BAND.bottom_hz + (np.arange(16) + 0.5) / 16 * (BAND.top_hz - BAND.bottom_hz))
    power = mean_power(run.beam, run.array.numbers, directions, plan.apparent_dec_rad, freqs_hz).mean(axis=0)
    flux_jy = np.stack([source.flux_jy(freqs_hz) for source in plan.sources])
    middle = directions[len(directions) // 2]
    separation_deg = np.rad2deg(np.arccos(np.clip(middle @ drift.meridian_direction(plan.apparent_dec_rad), -1, 1)))
    return [
        {
            "name": source.name,
            "calibrator": source is CALIBRATOR,
            "of_counts": source.name.startswith(COUNTS_PREFIX),
            "ra_deg": source.ra_deg,
            "dec_deg": source.dec_deg,
            "flux_jy": float(flux[0]),
            "flux_factor": source.flux_factor,
            "spectrum": list(source.spectrum),
            "spectral_index": float(np.log(flux[-1] / flux[1]) / np.log(freqs_hz[-1] / freqs_hz[1])),
            "major_arcsec": source.shape[0],
            "minor_arcsec": source.shape[1],
            "pa_deg": source.shape[2],
            "apparent_flux_jy": float(flux[0] * response[0]),
            "band_apparent_flux_jy": float(np.mean(flux[1:] * response[1:])),
            "separation_deg": float(separation),
        }
        for source, flux, response, separation in zip(plan.sources, flux_jy, power, separation_deg, strict=True)
    ]
