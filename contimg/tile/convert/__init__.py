"""The convert stage: from the subband files of one group to one Measurement Set.

Importing this package is light; the numerical libraries are imported with the first conversion.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from contimg.tile.convert.options import ConvertOptions
from contimg.tile.convert.result import Conversion

__all__ = ["Conversion", "ConvertOptions", "convert"]


def convert(
    files: Mapping[int, Path], target: Path, options: ConvertOptions | None = None, *, scratch: Sequence[Path] = ()
) -> Conversion:
    """Convert the subband files of one group into a Measurement Set.

    The phase centre is the meridian at mid-tile, expressed in ICRS, or a phased file's own; see docs/maths.md.

    Parameters
    ----------
    files : path by the subband in the file's name; the channels of a missing subband are flagged.
    target : `<group>.ms`; replaced when it exists, and what was flagged by hand in it is flagged again.
    options : defaults when not given.
    scratch : directories to write in, such as a tmpfs, the first with enough space; the finished Measurement Set is
        then moved. Without one it is written beside the target.

    Raises
    ------
    BadFile : a file is damaged, or not of this group.
    BadInput : there is no file.
    Transient : the disk is full, or a file cannot be reached.
    """
    from contimg.tile.convert.run import write_ms

    return write_ms(files, target, options or ConvertOptions(), scratch)
