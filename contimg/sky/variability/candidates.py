"""Rule that selects candidates of variability from the statistics of sources.

The thresholds come from simulated measurement tables: `benchmarks/variability_curves.py` gives the rate of false alarms
and the completeness (docs/variability.md).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.sky.variability.options import CandidateRule
from contimg.sky.variability.statistics import FluxSums

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Reason(StrEnum):
    """Why a source is a candidate."""

    VARIABLE = "variable"  # over several epochs
    SINGLE_EPOCH = "single epoch"  # one epoch differs from all


@dataclass(frozen=True)
class Candidates:
    """The sources that a rule selects; arrays of shape (candidates,).

    Attributes
    ----------
    index : of the source in the sums.
    reason : value of `Reason`.
    """

    index: NDArray[np.intp]
    reason: NDArray[np.str_]


def eta_threshold(n: ArrayLike, rule: CandidateRule) -> Values:
    """Return the smallest η, without the most deviating epoch, of a candidate of so many epochs.

    Without one of n epochs, η times n - 2 follows χ² of n - 2 degrees of freedom for a steady source.

    Parameters
    ----------
    n : numbers of epochs, any shape.
    rule : probability and smallest η.
    """
    from scipy.special import chdtri  # heavy, and the store imports this module

    count, inverse = np.unique(np.asarray(n, dtype=np.int64), return_inverse=True)
    degrees = np.maximum(count - 2, 1)
    thresholds = np.maximum(rule.min_eta, chdtri(degrees, rule.probability) / degrees)
    return np.asarray(thresholds[inverse].reshape(np.shape(n)))


def select(sums: FluxSums, rule: CandidateRule | None = None) -> Candidates:
    """Return the candidates among sources, such as those of an epoch.

    Parameters
    ----------
    sums : of the sources.
    rule : thresholds; the defaults where None.
    """
    rule = rule or CandidateRule()
    with np.errstate(invalid="ignore"):
        is_measured = sums.n >= rule.min_epochs
        is_strong = is_measured & (sums.modulation_index >= rule.min_v) & (sums.vs >= rule.min_vs)
        is_variable = is_strong & (sums.eta_without_extreme >= eta_threshold(sums.n, rule))
        is_single = is_strong & ~is_variable & (sums.vs >= rule.single_vs)
    is_single &= ~_find_crowded(sums, is_single, is_measured, rule)
    index = np.flatnonzero(is_variable | is_single)
    return Candidates(index, np.where(is_variable[index], Reason.VARIABLE, Reason.SINGLE_EPOCH).astype(np.str_))


def _find_crowded(sums: FluxSums, is_single: Mask, is_measured: Mask, rule: CandidateRule) -> Mask:
    """Sources whose deviating epoch deviates for many sources: a wrong epoch, not a flare of each."""
    mean, limit = sums.weighted_mean_jy, max(1, round(rule.crowd * int(is_measured.sum())))
    with np.errstate(invalid="ignore"):
        is_high = (sums.high_jy - mean) / sums.high_error_jy > (mean - sums.low_jy) / sums.low_error_jy
    days = np.nan_to_num(np.round(np.where(is_high, sums.high_mjd, sums.low_mjd), 1))
    is_crowded = np.zeros(is_single.size, dtype=np.bool_)
    for day in np.unique(days[is_single]):
        is_of_day = is_single & (days == day)
        is_crowded |= is_of_day if is_of_day.sum() > limit else False
    return is_crowded
