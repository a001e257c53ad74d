"""Flags set by hand, kept apart from those that the stages compute, so that a later calibration keeps them.

FLAG_ORIGINAL has the flags of the conversion, FLAG_WRITTEN what the last stage wrote to FLAG. Where FLAG differs from
it, a person has changed it, for example with CASA's `flagdata`; FLAG_MANUAL keeps those flags.
"""

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from casacore.tables import table

from contimg.common.errors import BadInput
from contimg.common.files.staging import final_path
from contimg.formats.arrays import Mask
from contimg.formats.ms.columns import CALIBRATION_KEYWORD, add_like, read_blocks
from contimg.formats.ms.info import MSInfo, read_ms_info
from contimg.formats.ms.revision import writable
from contimg.formats.tables import open_table

ORIGINAL, WRITTEN, MANUAL = "FLAG_ORIGINAL", "FLAG_WRITTEN", "FLAG_MANUAL"
FLAG_COLUMNS = ("FLAG", ORIGINAL, WRITTEN, MANUAL)
BLOCK_BYTES = 4 * 2**20
_SAME_TIME_S = 1e-3

log = logging.getLogger(__name__)


def collect_manual_flags(ms: MSInfo) -> None:
    """Carry what was changed in FLAG by hand into FLAG_MANUAL; make FLAG_ORIGINAL where the conversion made none.

    Parameters
    ----------
    ms : metadata of the Measurement Set, in a copy of it (see `revised`).

    Raises
    ------
    Transient : the disk is full.
    """
    is_new, count = MANUAL not in ms.columns, 0
    with writable(ms.path, ms.samples // 4) as main:
        _warn_of_unknown_changes(main, ms)
        if ORIGINAL not in ms.columns:
            _copy_flags(main, ORIGINAL)
        if is_new and not any(manual.any() for _, manual in _manual_flags(main, ms.columns)):
            return
        if is_new:
            add_like(main, MANUAL, "FLAG")
        for rows, manual in _manual_flags(main, ms.columns):
            count += int(np.count_nonzero(manual))
            main.putcol(MANUAL, manual, rows.start, len(manual))
    log.info("%s: %.3g %% of the samples are flagged by hand and stay flagged", ms.path, 100 * count / ms.samples)


def record_flags(ms: MSInfo) -> None:
    """Copy FLAG to FLAG_WRITTEN: what differs later was changed by hand.

    Parameters
    ----------
    ms : metadata of the Measurement Set, in a copy of it (see `revised`).

    Raises
    ------
    Transient : the disk is full.
    """
    with writable(ms.path, ms.samples // 8) as main:
        _copy_flags(main, WRITTEN)


def carry_manual_flags(old: Path, new: Path) -> None:
    """Set in a new Measurement Set the flags that were set by hand in the one that it replaces.

    Those are lost, with a warning, where the rows or channels differ or the old one cannot be read.

    Parameters
    ----------
    old : the Measurement Set that will be replaced; nothing is done where it does not exist.
    new : the new one of the same group.

    Raises
    ------
    Transient : another process has locked the old one, or the disk is full.
    """
    if not (old / "table.dat").exists():
        return
    try:
        before, after = read_ms_info(old), read_ms_info(new)
        with open_table(old) as source, writable(new) as main:
            _warn_of_unknown_changes(source, before)
            if not any(manual.any() for _, manual in _manual_flags(source, before.columns)):
                return
            if not _has_same_samples(before, after, source, main):
                log.warning("%s: flags set by hand are lost: the new one has other rows or channels", old)
                return
            for rows, manual in _manual_flags(source, before.columns):
                flags = main.getcol("FLAG", rows.start, len(manual))
                main.putcol("FLAG", flags | manual, rows.start, len(manual))
    except (BadInput, RuntimeError) as error:
        log.warning("%s: flags set by hand in it are lost, for it cannot be read (%s)", old, error)
        return
    log.info("%s: flags set by hand are carried over to the new Measurement Set", old)


def _has_same_samples(before: MSInfo, after: MSInfo, old: table, new: table) -> bool:
    if before.correlations != after.correlations or not np.array_equal(before.freqs_hz, after.freqs_hz):
        return False
    columns = ("TIME", "ANTENNA1", "ANTENNA2")
    pairs = [(old.getcol(name), new.getcol(name)) for name in columns]
    return before.rows == after.rows and all(np.allclose(*pair, rtol=0, atol=_SAME_TIME_S) for pair in pairs)


def _manual_flags(main: table, columns: Collection[str]) -> Iterator[tuple[slice, Mask]]:
    """Yield rows and their flags that are set by hand: those kept, those new, without those that were cleared."""
    if _has_unknown_changes(main, columns):
        return
    if WRITTEN not in columns and ORIGINAL not in columns:  # of another writer: none is known to be set by hand
        return
    names = ["FLAG", WRITTEN if WRITTEN in columns else ORIGINAL, *({MANUAL} & {*columns})]
    for rows, (flags, written, *kept) in read_blocks(main, names, BLOCK_BYTES):
        manual = flags & ~written
        if kept:
            manual |= kept[0] & (flags | ~written)
        yield rows, manual


def _has_unknown_changes(main: table, columns: Collection[str]) -> bool:
    """Whether it was calibrated by a version that did not write FLAG_WRITTEN, so what was set by hand is not known."""
    return WRITTEN not in columns and any(
        CALIBRATION_KEYWORD in main.getcolkeywords(name) for name in ("DATA", "CORRECTED_DATA") if name in columns
    )


def _warn_of_unknown_changes(main: table, ms: MSInfo) -> None:
    if _has_unknown_changes(main, ms.columns):
        log.warning(
            "%s: an earlier version of contimg calibrated it, so flags set by hand cannot be told apart from its own "
            "and are dropped by a calibration or conversion; set them again after that", final_path(ms.path),
        )  # fmt: skip


def _copy_flags(main: table, name: str) -> None:
    if name not in main.colnames():
        add_like(main, name, "FLAG")
    for rows, (flags,) in read_blocks(main, ("FLAG",), BLOCK_BYTES):
        main.putcol(name, flags, rows.start, len(flags))
