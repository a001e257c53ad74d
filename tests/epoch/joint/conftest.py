"""The Measurement Sets of point sources are made by the module of the image stage's tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tile" / "image"))
