"""Growth of a cost: power of a curve, powers between neighbouring points, and steps above the limit (cliffs)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

MARGIN = 0.5  # maximum excess of a local power over the expected power
ANTENNAS, INTEGRATIONS, CHANNELS, PIXELS = "antennas", "integrations", "channels", "pixels"
# The number of samples is proportional to antennas squared, integrations and channels; the cost of a stage, to the
# samples it reads. The image-plane part of imaging, npix² log npix, has a power slightly above 2.
EXPECTED = {ANTENNAS: 2.0, INTEGRATIONS: 1.0, CHANNELS: 1.0, PIXELS: 2.0}


@dataclass(frozen=True)
class Curve:
    """Cost of a stage against a dimension, in ascending order of size."""

    stage: str
    dimension: str
    cost: str
    sizes: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def power(self) -> float:
        """Return the slope of the least-squares line through the logarithms."""
        x, y = ([math.log(value) for value in axis] for axis in (self.sizes, self.values))
        mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
        covariance = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
        return covariance / math.fsum((a - mean_x) ** 2 for a in x)

    @property
    def local_powers(self) -> tuple[float, ...]:
        """Return the slopes between neighbouring points."""
        points = pairwise(zip(self.sizes, self.values, strict=True))
        return tuple(math.log(more / less) / math.log(large / small) for (small, less), (large, more) in points)

    @property
    def expected(self) -> float:
        """Return the power of the asymptotic growth of this cost."""
        return EXPECTED[self.dimension]

    def cliffs(self, margin: float = MARGIN) -> list[str]:
        """Return a line for each step where the cost grows faster than the limit."""
        steps = zip(pairwise(self.sizes), self.local_powers, strict=True)
        return [
            f"{self.stage}: {self.cost} grows with power {power:.2f} from {small} to {large} {self.dimension}, "
            f"expected {self.expected:g}, limit {self.expected + margin:g}"
            for (small, large), power in steps
            if power > self.expected + margin
        ]


def fit_curve(stage: str, dimension: str, cost: str, points: Mapping[int, float]) -> Curve:
    """Return the curve of measured points, sorted by size."""
    sizes = tuple(sorted(points))
    return Curve(stage, dimension, cost, sizes, tuple(points[size] for size in sizes))


def find_cliffs(curves: Sequence[Curve], margin: float = MARGIN) -> list[str]:
    """Return a line for each cliff of each curve; empty when there is none."""
    return [cliff for curve in curves for cliff in curve.cliffs(margin)]
