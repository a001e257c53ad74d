"""The default rule for candidates at reduced size: false alarms among steady sources, and events that are found."""

import numpy as np
import variability_curves as curves

from contimg.simulation.variables import MeasurementErrors
from contimg.sky.variability.options import CandidateRule

RULE = CandidateRule()
SCALED = MeasurementErrors(scale_rms=0.05, scatter_rms=0.02)


def test_fewer_than_one_false_candidate_in_1000_and_nine_of_ten_events() -> None:
    """Over 30 epochs, with errors of normalisation of 2 %, soft flags and outliers; events of 30 %, ten days, 20 σ."""
    events = [curves.Event(kind) for kind in ("dip", "brightening") for _ in range(10)]
    alarms, detected = curves.measure(np.random.default_rng(1), 4, [RULE], events)
    assert alarms[0] < 1.0
    assert detected[0].mean() >= 0.9
    alarms, _ = curves.measure(np.random.default_rng(2), 1, [RULE], (), SCALED)
    assert alarms[0] < 1.0


def test_one_bad_epoch_makes_no_candidates() -> None:
    """Half of the sources 30 % off in one epoch: its normalisation is refused, or its deviations are its own."""
    errors = MeasurementErrors(bad_epochs=(15,))
    selected, _ = curves.select_in_table(np.random.default_rng(3), [RULE], (), errors)
    assert selected.mean() < 1e-3
