"""Measure the false alarms and the completeness of the rule for candidates, and draw the figure of docs/variability.md.

usage: benchmarks/variability_curves.py [--tables N] [--plot PNG]

Steady sources have realistic errors: the flux scale of each epoch, a scatter of each measurement, soft flags with
errors that the noise does not show, and outliers (`contimg.simulation.variables.MeasurementErrors`). A source counts as
a candidate when the rule selects it after any of the 30 epochs. Each table has some events besides, few enough not to
determine the flux scale.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from contimg.simulation.variables import MeasurementErrors, flare, follow_epochs, measure_table, scatter, scintillate
from contimg.sky.variability.candidates import select
from contimg.sky.variability.options import CandidateRule

EPOCHS, RMS_JY, FAINTEST_SNR, COUNTS_SLOPE = 30, 3e-4, 5.0, 1.2
MJD = 61000.0 + np.arange(EPOCHS)
REFERENCES = 800  # steady sources of a table
EVENT_DAYS = 10.0
KINDS = ("dip", "brightening", "flare", "scintillation")
PROBABILITIES = 10.0 ** -np.arange(2.0, 7.1, 0.5)
DEPTHS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
SNRS = (5.0, 10.0, 20.0, 50.0, 200.0)
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Event(NamedTuple):
    """An event: kind, relative change of the flux, steady flux over the noise."""

    kind: str
    depth: float = 0.3
    snr: float = 20.0

    def draw(self, rng: Generator) -> Values:
        """Draw a light curve: ten days that begin and end within the epochs, or scintillation of five days."""
        middle = rng.uniform(MJD[0] + EVENT_DAYS / 2, MJD[-1] - EVENT_DAYS / 2)
        if self.kind == "scintillation":
            return scintillate(MJD, self.depth, EVENT_DAYS / 2, rng)
        if self.kind == "flare":
            return flare(MJD, middle - EVENT_DAYS / 2, EVENT_DAYS, self.depth)
        return scatter(MJD, middle, EVENT_DAYS, self.depth if self.kind == "dip" else -self.depth)


def select_in_table(
    rng: Generator, rules: Sequence[CandidateRule], events: Sequence[Event] = (),
    errors: MeasurementErrors | None = None,
) -> tuple[Mask, Mask]:  # fmt: skip
    """Which steady sources and which events each rule selects after any epoch, shape (rules, sources) each.

    The fluxes of the steady sources follow the counts N(>S) ~ S^-1.2 from five times the noise.
    """
    steady = RMS_JY * np.concatenate(
        [FAINTEST_SNR * rng.random(REFERENCES) ** (-1 / COUNTS_SLOPE), [event.snr for event in events]]
    )
    factor = np.ones((steady.size, EPOCHS))
    for row, event in zip(factor[REFERENCES:], events, strict=True):
        row[:] = event.draw(rng)
    table = measure_table(steady, factor, MJD, np.full(steady.size, RMS_JY), rng, errors)
    selected = np.zeros((len(rules), steady.size), dtype=np.bool_)
    for sums in follow_epochs(table):
        for number, rule in enumerate(rules):
            selected[number, select(sums, rule).index] = True
    return selected[:, :REFERENCES], selected[:, REFERENCES:]


def measure(
    rng: Generator, tables: int, rules: Sequence[CandidateRule], events: Sequence[Event] = (),
    errors: MeasurementErrors | None = None,
) -> tuple[Values, Values]:  # fmt: skip
    """False candidates in 1,000 steady sources over 30 epochs, and the part of each event that is found.

    The shapes are (rules,) and (rules, events).
    """
    results = [select_in_table(rng, rules, events, errors) for _ in range(tables)]
    false, detected = (np.mean([result[i] for result in results], axis=0) for i in (0, 1))
    return 1e3 * np.asarray(false.mean(axis=1)), np.asarray(detected)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows as a table of Markdown."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def main() -> None:
    """Measure, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=100, help="tables of 800 steady sources (default: 100)")
    parser.add_argument("--plot", type=Path, help="PNG to write")
    arguments = parser.parse_args()
    rng, default = np.random.default_rng(30), CandidateRule()
    sweep = [CandidateRule(probability=probability, min_eta=0.0) for probability in PROBABILITIES]
    of_kinds = [Event(kind) for kind in KINDS for _ in range(5)]
    of_depths = [Event("dip", depth, snr) for snr in SNRS for depth in DEPTHS]
    alarms, detected = measure(rng, arguments.tables, [default, *sweep], [*of_kinds, *of_depths])
    by_kind = detected[:, : len(of_kinds)].reshape(len(detected), len(KINDS), -1).mean(axis=2)
    by_depth = detected[0, len(of_kinds) :].reshape(len(SNRS), len(DEPTHS))
    print(f"{arguments.tables * REFERENCES} steady sources, {arguments.tables * 5} events of each kind\n")
    names = ("default", *(f"{probability:.1e}" for probability in PROBABILITIES))
    print_table(
        ("probability", "false in 1,000", *KINDS),
        ((name, f"{alarms[i]:.2f}", *(f"{100 * part:.1f} %" for part in by_kind[i])) for i, name in enumerate(names)),
    )
    print_table(
        ("dip of ten days", *(f"{100 * depth:g} %" for depth in DEPTHS)),
        ((f"{snr:g} σ", *(f"{100 * part:.0f} %" for part in row)) for snr, row in zip(SNRS, by_depth, strict=True)),
    )
    worse = {
        "scatter 2 %": MeasurementErrors(scatter_rms=0.02),
        "offsets of one noise": MeasurementErrors(offset_rms_jy=RMS_JY),
        "flux scales 10 %": MeasurementErrors(scale_rms=0.1),
        "a bad epoch": MeasurementErrors(bad_epochs=(12,)),
        "outliers of 20 σ": MeasurementErrors(outlier_sigma=20.0),
    }
    table_count = max(1, arguments.tables // 5)
    print_table(
        ("errors", "false in 1,000"),
        ((name, f"{measure(rng, table_count, [default], (), errors)[0][0]:.2f}") for name, errors in worse.items()),
    )
    if arguments.plot:
        plot(arguments.plot, alarms[1:], by_kind[1:], by_depth)


def plot(path: Path, alarms: Values, by_kind: Values, by_depth: Values) -> None:
    """Draw false alarms and completeness against the threshold, and completeness against depth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    twin: Any = left.twinx()
    for kind, parts in zip(KINDS, by_kind.T, strict=True):
        left.semilogx(PROBABILITIES, 100 * parts, marker=".", label=kind)
    left.set(xlabel="probability of the threshold", ylabel="found, 30 % in ten days at 20 σ [%]", ylim=(0, 102))
    left.invert_xaxis()
    left.axvline(CandidateRule().probability, color="0.6", lw=1)
    left.legend(loc="lower left", fontsize=8)
    twin.semilogx(PROBABILITIES, alarms, "k--", lw=1)
    twin.set(ylabel="false in 1,000 steady sources (dashed)")
    for snr, parts in zip(SNRS, by_depth, strict=True):
        right.plot([100 * depth for depth in DEPTHS], 100 * parts, marker=".", label=f"{snr:g} σ")
    right.set(xlabel="depth of a dip of ten days [%]", ylabel="found [%]", ylim=(0, 102))
    right.legend(fontsize=8)
    figure.savefig(path, dpi=75)


if __name__ == "__main__":
    main()
