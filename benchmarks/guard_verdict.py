"""The recorded ratios, and what has been lost or gained against them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contimg.errors import Misconfigured

MOST_LOSS = 0.30
WORTH_RECORDING = 0.25  # a gain that, if it is not recorded, would hide a later loss


@dataclass(frozen=True)
class Recorded:
    """Ratios that were measured once.

    Attributes
    ----------
    size : of the tile and the image they are of; ratios of another size are not comparable.
    ratios : by stage: seconds of cores over those of the stage's reference.
    machine : what they were measured on.
    """

    size: str
    ratios: Mapping[str, float]
    machine: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, size: str) -> "Recorded":
        """The record in a file; raises Misconfigured when there is none or it is of another size."""
        again = 'record them: make bench-guard ARGS="--record"'
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise Misconfigured(f"{path}: no recorded ratios ({error}); {again}") from error
        if found.size != size:
            raise Misconfigured(f"{path}: ratios of {found.size}, not of {size}; {again}")
        return found

    def write(self, path: Path) -> None:
        """Write the record."""
        rounded = asdict(self) | {"ratios": {stage: round(ratio, 3) for stage, ratio in self.ratios.items()}}
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)


def losses(ratios: Mapping[str, float], recorded: Recorded) -> dict[str, str]:
    """What to say of each stage whose ratio is worse than the recorded one by more than is allowed."""
    missing = ratios.keys() ^ recorded.ratios.keys()
    if missing:
        raise Misconfigured(f"{', '.join(sorted(missing))}: measured or recorded, not both; record the ratios anew")
    return {
        stage: f"{stage}: {ratio:.2f} times its reference, recorded {recorded.ratios[stage]:.2f}: "
        f"{ratio / recorded.ratios[stage] - 1:.0%} dearer, {MOST_LOSS:.0%} are allowed"
        for stage, ratio in ratios.items()
        if not ratio <= (1 + MOST_LOSS) * recorded.ratios[stage]
    }


def report(least: Mapping[str, tuple[float, float]], ratios: Mapping[str, float], recorded: Recorded) -> str:
    """A line for each stage."""
    lines = [f"{'':9}{'core s':>8}{'reference':>11}{'ratio':>8}{'recorded':>10}{'change':>8}"]
    for stage, (ours, reference) in least.items():
        change = ratios[stage] / recorded.ratios[stage] - 1
        hint = "   worth recording" if change < -WORTH_RECORDING else ""
        lines.append(
            f"{stage:9}{ours:8.2f}{reference:11.2f}{ratios[stage]:8.2f}{recorded.ratios[stage]:10.2f}{change:+8.0%}{hint}"
        )
    return "\n".join(lines)
