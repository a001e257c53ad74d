"""The simulated sources and receivers, written beside the files: `truth/<group>.json` and `truth/<group>.npz`."""

import json
from pathlib import Path
from typing import IO, Any

import numpy as np

from contimg.files.writing import atomic_file, write_text
from contimg.instrument.dsa110 import BAND
from contimg.instrument.time import DAY_S, MJD_ZERO_JD
from contimg.simulation import drift
from contimg.simulation.corruption import dead_numbers
from contimg.simulation.plan import TilePlan, subband_freqs_hz
from contimg.simulation.sky import CALIBRATOR, Source, beam_response
from contimg.simulation.visibilities import Run

GAIN_CONVENTION = (
    "UVH5: visibility of (antenna 1, antenna 2) = conj(g1) g2 V12; Measurement Set, the conjugate: g1 conj(g2) V12, "
    "so these are the gains that CASA solves for"
)


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


def _save_gains(file: IO[bytes], run: Run, plan: TilePlan) -> None:
    freqs_hz = np.concatenate([subband_freqs_hz(run.options, subband) for subband in range(BAND.subbands)])
    numbers = run.array.numbers
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
