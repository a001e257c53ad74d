"""Recorded ratios of the regression guard, and changes against them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contimg.common.errors import Misconfigured

MAX_LOSS = 0.30
WORTH_RECORDING = 0.25  # a larger gain that is not recorded would hide a later loss


@dataclass(frozen=True)
class Recorded:
    """Ratios of an earlier measurement.

    Attributes
    ----------
    size : of the tile and the image; ratios of different sizes are not comparable.
    ratios : by stage: core seconds divided by those of the stage's reference.
    machine : machine of the measurement.
    """

    size: str
    ratios: Mapping[str, float]
    machine: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, size: str) -> "Recorded":
        """Read the record in a file; raise Misconfigured when it is missing, unreadable or of another size."""
        remedy = 'record them: make bench-guard ARGS="--record"'
        try:
            recorded = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise Misconfigured(f"{path}: no recorded ratios ({error}); {remedy}") from error
        if recorded.size != size:
            raise Misconfigured(f"{path}: has ratios of size {recorded.size}, {size} is needed; {remedy}")
        return recorded

    def write(self, path: Path) -> None:
        """Write the record atomically."""
        rounded = asdict(self) | {"ratios": {stage: round(ratio, 3) for stage, ratio in self.ratios.items()}}
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)


def find_losses(ratios: Mapping[str, float], recorded: Recorded) -> dict[str, str]:
    """Return a message for each stage whose ratio exceeds the recorded ratio by more than the limit."""
    missing = ratios.keys() ^ recorded.ratios.keys()
    if missing:
        raise Misconfigured(
            f"{', '.join(sorted(missing))}: measured or recorded, but not both; record the ratios again"
        )
    return {
        stage: f"{stage}: ratio {ratio:.2f}, recorded {recorded.ratios[stage]:.2f}: "
        f"{ratio / recorded.ratios[stage] - 1:.0%} more expensive (limit {MAX_LOSS:.0%})"
        for stage, ratio in ratios.items()
        if not ratio <= (1 + MAX_LOSS) * recorded.ratios[stage]
    }


def format_report(minima: Mapping[str, tuple[float, float]], ratios: Mapping[str, float], recorded: Recorded) -> str:
    """Return the measured and recorded ratios, a line per stage."""
    lines = [f"{'':9}{'core s':>8}{'reference':>11}{'ratio':>8}{'recorded':>10}{'change':>8}"]
    for stage, (ours, reference) in minima.items():
        change = ratios[stage] / recorded.ratios[stage] - 1
        hint = "   worth recording" if change < -WORTH_RECORDING else ""
        lines.append(
            f"{stage:9}{ours:8.2f}{reference:11.2f}{ratios[stage]:8.2f}{recorded.ratios[stage]:10.2f}{change:+8.0%}{hint}"
        )
    return "\n".join(lines)
