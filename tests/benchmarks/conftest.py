"""The benchmarks are scripts beside the package; what they judge by is tested here, what they measure is not."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
