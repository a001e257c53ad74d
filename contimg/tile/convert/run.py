"""The function of the convert stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from contimg.common.files.staging import size_bytes, staged
from contimg.formats.ms.flags import carry_manual_flags
from contimg.formats.ms.subtables import write_subtables
from contimg.formats.ms.writer import create_main_table
from contimg.formats.uvh5.group import SubbandGroup, read_group
from contimg.instrument.time import DAY_S, MJD_ZERO_JD
from contimg.tile.convert.geometry import TileGeometry
from contimg.tile.convert.options import ConvertOptions
from contimg.tile.convert.result import Conversion
from contimg.tile.convert.visibilities import UnevenWeights, write_visibilities


def write_ms(files: Mapping[int, Path], target: Path, options: ConvertOptions, scratch: Sequence[Path]) -> Conversion:
    """Convert the subband files of one group; see `contimg.tile.convert.convert`."""
    start_s = perf_counter()
    group = read_group(files, options.plan, own_telescope=options.own_telescope, locking=options.file_locking)
    geometry = TileGeometry.of(group)
    try:
        flags, written = _write(target, group, geometry, options, scratch, weight_spectrum=False)
    except UnevenWeights:
        flags, written = _write(target, group, geometry, options, scratch, weight_spectrum=True)
    start_half_day, end_half_day = 0.5 * group.integrations_s[[0, -1]] / DAY_S
    values = group.rows * group.channels * group.correlations * len(group.headers)
    return Conversion(
        path=target, mjd_start=float(group.times_jd[0] - MJD_ZERO_JD - start_half_day),
        mjd_end=float(group.times_jd[-1] - MJD_ZERO_JD + end_half_day),
        ra_deg=float(np.rad2deg(geometry.phase_centre[0])), dec_deg=float(np.rad2deg(geometry.phase_centre[1])),
        rows=group.rows, integrations=group.times_jd.size,
        channels=group.freqs_hz.size, antennas=int(np.unique([group.slots_1, group.slots_2]).size),
        subbands=len(group.headers), missing_subbands=group.missing, flagged_fraction=sum(flags.values()) / values,
        bytes_read=sum(header.path.stat().st_size for header in group.headers.values()), bytes=written,
        seconds=perf_counter() - start_s, flags=flags, notes=group.notes,
    )  # fmt: skip


def _write(
    target: Path, group: SubbandGroup, geometry: TileGeometry, options: ConvertOptions, scratch: Sequence[Path],
    weight_spectrum: bool,
) -> tuple[dict[str, int], int]:  # fmt: skip
    """Write the Measurement Set; returns the flag counts and its size."""
    need = _bytes_needed(group, weight_spectrum)
    with staged(target, scratch, need, options.durable) as temporary:
        with create_main_table(temporary, group, weight_spectrum, need) as main:
            flags = write_visibilities(main, group, geometry, options.block_mb, weight_spectrum)
        counts = ", ".join(f"{count} {reason}" for reason, count in flags.items() if count)
        notes = [*group.notes, str(geometry), f"flagged values: {counts or 'none'}"]
        direction = (geometry.phase_centre, geometry.pointing, geometry.tracking)
        object_name = "" if group.own_telescope else group.reference.phasing.name
        write_subtables(temporary, group, object_name or target.name.removesuffix(".ms"), *direction, notes)
        carry_manual_flags(target, temporary)
        return flags, size_bytes(temporary)


def _bytes_needed(group: SubbandGroup, weight_spectrum: bool) -> int:
    """Size of the Measurement Set: data and two flags a value, 140 bytes a row, 8 MB of tables."""
    values = group.rows * group.freqs_hz.size * group.correlations
    return int(values * (8.25 + 4 * weight_spectrum)) + 140 * group.rows + (8 << 20)
