"""Make the benchmark scripts importable; their limits and tables are tested here, their measurements are not."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
