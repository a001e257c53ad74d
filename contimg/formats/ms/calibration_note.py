"""The note on a data column: which calibration made it. Calibrate writes it, image reads it."""

import json
from typing import Any

from casacore.tables import table

from contimg.errors import BadInput

NOTE = "CONTIMG_CALIBRATION"


def write_note(main: table, column: str, note: dict[str, Any]) -> None:
    """Say on a column which calibration made it: {"set": name, ...} or {"set": None, "reason": "..."}."""
    main.putcolkeyword(column, NOTE, json.dumps(note, sort_keys=True))


def read_note(main: table, column: str) -> dict[str, Any] | None:
    """What `write_note` left on a column, or None; BadInput when it is damaged."""
    if column not in main.colnames() or NOTE not in main.getcolkeywords(column):
        return None
    try:
        note = json.loads(main.getcolkeyword(column, NOTE))
    except ValueError as error:
        raise BadInput(
            f"{main.name()}: the note {NOTE} on {column} is damaged ({error}); calibrate the group again"
        ) from None
    return note if isinstance(note, dict) else None
