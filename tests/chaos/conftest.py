"""Make the PostgreSQL server and the waiting helpers of other tests importable."""

import sys
from pathlib import Path

for _name in ("store", "workers"):
    _path = str(Path(__file__).resolve().parents[1] / _name)
    if _path not in sys.path:
        sys.path.append(_path)
