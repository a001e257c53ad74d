"""The chaos run uses the tests' own PostgreSQL server and ways of waiting."""

import sys
from pathlib import Path

for _room in ("store", "workers"):
    _path = str(Path(__file__).resolve().parents[1] / _room)
    if _path not in sys.path:
        sys.path.append(_path)
