"""Writing a subband file in the correlator's layout: legacy UVH5, under an `_incomplete` name until it is renamed."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg.instrument import dsa110 as telescope
from contimg.instrument.dsa110 import BAND
from contimg.simulation import drift
from contimg.simulation.plan import TilePlan
from contimg.simulation.visibilities import Run

LINEAR_POLARIZATIONS = (-5, -6)  # XX, YY in the AIPS code


def incomplete_path(path: Path) -> Path:
    """Return the path of a file while it is being written.

    Parameters
    ----------
    path : final path of the subband file.

    Returns
    -------
    its sibling `STEM_incomplete.hdf5`, which the producer ignores.
    """
    return path.with_name(f"{path.stem}_incomplete.hdf5")


def write_subband(path: Path, run: Run, plan: TilePlan, subband: int, visibilities: NDArray[np.complex64]) -> None:
    """Write a file under its `_incomplete` name; the caller renames it.

    Parameters
    ----------
    path : final path of the file.
    run, plan : of the tile.
    subband : its number.
    visibilities : shape (times × baselines, 1, channels, 2).
    """
    with h5py.File(incomplete_path(path), "w") as file:
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
