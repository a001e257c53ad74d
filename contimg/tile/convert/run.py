"""The convert stage itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from contimg.files.staging import Ballast, size_bytes, staged
from contimg.formats.ms.subtables import write_subtables
from contimg.formats.ms.writer import MainTable
from contimg.formats.uvh5.group import SubbandGroup, read_group
from contimg.tile.convert.options import ConvertOptions
from contimg.tile.convert.result import Conversion, FlagCounts
from contimg.tile.convert.uvw import Sky
from contimg.tile.convert.visibilities import UnevenWeights, put_tile


def convert(
    files: Mapping[int, Path],
    target: Path,
    options: ConvertOptions | None = None,
    *,
    rooms: Sequence[Path] = (),
) -> Conversion:
    """Convert one group of subband files into the Measurement Set `target`.

    The phase centre is the meridian at mid-tile, expressed in ICRS, or a phased file's own; see docs/maths.md.

    Parameters
    ----------
    files : path by subband number, as the names say; a missing subband becomes a flagged gap.
    target : `<group>.ms`; replaced when it exists.
    rooms : directories to write in, such as a tmpfs, the first that has room; the finished Measurement Set is then
        moved. Without one it is written beside the target.

    Raises
    ------
    BadFile naming the file that spoils the group; Transient when the disk is full or a file cannot be reached.
    """
    began = perf_counter()
    options = options or ConvertOptions()
    tile = read_group(
        files, options.plan, own_telescope=options.own_telescope, locking=options.file_locking
    )  # fmt: skip
    sky = Sky.of(tile)
    name = target.name.removesuffix(".ms")
    try:
        flags, written = _write(target, tile, sky, name, options, rooms, weight_spectrum=False)
    except UnevenWeights:
        flags, written = _write(target, tile, sky, name, options, rooms, weight_spectrum=True)
    half = 0.5 * tile.reference.integration_s / 86400
    values = tile.rows * tile.channels * len(tile.reference.polarizations) * len(tile.headers)
    return Conversion(
        path=target,
        mjd_start=float(tile.times_jd[0] - 2400000.5 - half),
        mjd_end=float(tile.times_jd[-1] - 2400000.5 + half),
        ra_deg=float(np.rad2deg(sky.phase_centre[0])),
        dec_deg=float(np.rad2deg(sky.phase_centre[1])),
        rows=tile.rows,
        integrations=len(tile.times_jd),
        channels=tile.freqs_hz.size,
        antennas=int(np.unique([tile.slots_1, tile.slots_2]).size),
        subbands=len(tile.headers),
        missing_subbands=tile.missing,
        flagged_fraction=flags.total / values,
        bytes_read=sum(one.path.stat().st_size for one in tile.headers.values()),
        bytes=written,
        seconds=perf_counter() - began,
        flags=flags,
    )


def _write(
    target: Path,
    tile: SubbandGroup,
    sky: Sky,
    name: str,
    options: ConvertOptions,
    rooms: Sequence[Path],
    weight_spectrum: bool,
) -> tuple[FlagCounts, int]:
    """Write the Measurement Set; returns what is flagged and its size."""
    need = _bytes_needed(tile, weight_spectrum)
    with staged(target, rooms, need, options.durable) as temporary:
        with Ballast(temporary, need) as ballast, MainTable(temporary, tile, weight_spectrum, ballast.drop) as main:
            flags = put_tile(main, tile, sky, options.block_mb, weight_spectrum)
        notes = [_phasing_note(sky), f"flagged values: {flags}"]
        write_subtables(temporary, tile, name, sky.phase_centre, sky.pointing, sky.tracking, notes)
        return flags, size_bytes(temporary)


def _bytes_needed(tile: SubbandGroup, weight_spectrum: bool) -> int:
    """Size of the Measurement Set: data and two flags a value, 140 bytes a row, 8 MB of tables."""
    values = tile.rows * tile.freqs_hz.size * len(tile.reference.polarizations)
    return int(values * (8.25 + 4 * weight_spectrum)) + 140 * tile.rows + (8 << 20)


def _phasing_note(sky: Sky) -> str:
    if sky.w_old_m is None:
        return "phased to the files' own phase centre"
    undone = "fringe-stop to the meridian undone" if sky.w_old_m.any() else "never fringe-stopped"
    return f"{undone}, phased to the meridian of mid-tile"
