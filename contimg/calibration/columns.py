"""The note on a data column: which calibration made it."""

import json
from typing import Any

from casacore.tables import table

NOTE = "CONTIMG_CALIBRATION"


def write_note(main: table, column: str, note: dict[str, Any]) -> None:
    """Say on a column which calibration made it: {"set": name, ...} or {"set": None, "reason": "..."}."""
    main.putcolkeyword(column, NOTE, json.dumps(note, sort_keys=True))


def read_note(main: table, column: str) -> dict[str, Any] | None:
    """What `write_note` left on a column, or None."""
    if column not in main.colnames() or NOTE not in main.getcolkeywords(column):
        return None
    note: dict[str, Any] = json.loads(main.getcolkeyword(column, NOTE))
    return note
