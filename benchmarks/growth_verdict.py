"""How fast a cost grows: the power of a curve, the powers between neighbouring points, and whether there is a cliff."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

MARGIN = 0.5  # a local power may exceed the expected one by so much
ANTENNAS, INTEGRATIONS, CHANNELS, PIXELS = "antennas", "integrations", "channels", "pixels"
# Samples go with antennas squared, integrations and channels, and every stage with the samples it reads. An image's own
# part, npix² log npix, has a power of 2 and a little.
EXPECTED = {ANTENNAS: 2.0, INTEGRATIONS: 1.0, CHANNELS: 1.0, PIXELS: 2.0}


@dataclass(frozen=True)
class Curve:
    """One cost of one stage against one dimension, ascending."""

    stage: str
    dimension: str
    cost: str
    sizes: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def power(self) -> float:
        """Slope of the straight line through the logarithms, by least squares."""
        x, y = ([math.log(one) for one in axis] for axis in (self.sizes, self.values))
        middle_x, middle_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
        across = math.fsum((one - middle_x) * (other - middle_y) for one, other in zip(x, y, strict=True))
        return across / math.fsum((one - middle_x) ** 2 for one in x)

    @property
    def local_powers(self) -> tuple[float, ...]:
        """Slopes between neighbours."""
        points = pairwise(zip(self.sizes, self.values, strict=True))
        return tuple(math.log(more / less) / math.log(large / small) for (small, less), (large, more) in points)

    @property
    def expected(self) -> float:
        """The power at which this cost grows where nothing else counts any more."""
        return EXPECTED[self.dimension]

    def cliffs(self, margin: float = MARGIN) -> list[str]:
        """Where the cost grows faster than it may."""
        steps = zip(pairwise(self.sizes), self.local_powers, strict=True)
        return [
            f"{self.stage}: {self.cost} grows with power {power:.2f} from {small} to {large} {self.dimension}, "
            f"expected {self.expected:g} and at most {self.expected + margin:g}"
            for (small, large), power in steps
            if power > self.expected + margin
        ]


def curve(stage: str, dimension: str, cost: str, points: Mapping[int, float]) -> Curve:
    """The curve of measured points, in order."""
    sizes = tuple(sorted(points))
    return Curve(stage, dimension, cost, sizes, tuple(points[size] for size in sizes))


def verdict(curves: Sequence[Curve], margin: float = MARGIN) -> list[str]:
    """All cliffs of all curves; empty when there is none."""
    return [cliff for one in curves for cliff in one.cliffs(margin)]
