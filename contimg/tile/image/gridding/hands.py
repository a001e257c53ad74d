"""The parallel hands of an image: which are imaged, and the ratio of the fluxes in them.

Stokes I is (XX + YY)/2 only where both hands have the same flux scale: with one of them 20 % low it is 10 % low.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.formats.tables import open_table
from contimg.tile.image.gridding.gridder import ACCURACY, Gridder, Image
from contimg.tile.image.gridding.visibilities import find_hands

SAMPLED_ROWS = 8192  # on which the flags of the hands are counted
_RUN_ROWS = 256
ALONE = 2.0  # samples of a hand over those of both hands together, above which it is imaged alone
MAX_ERROR = 0.1  # of a ratio that is worth stating


@dataclass(frozen=True)
class HandRatio:
    """Flux in the first hand over that in the second, and its standard error; None where it is not measured."""

    ratio: float | None = None
    error: float | None = None


def choose_hands(ms: MSInfo) -> tuple[int, int]:
    """Choose the correlations of Stokes I: both parallel hands, or one twice where the other has hardly any data.

    n samples of one hand have the noise of n/2 samples of both, so one hand is imaged alone where it has more than
    twice as many unflagged samples as both together. They are counted on some of the rows.

    Parameters
    ----------
    ms : metadata of the Measurement Set.

    Returns
    -------
    Positions of the two hands in `MSInfo.correlations`.

    Raises
    ------
    BadInput : there is no parallel hand.
    """
    hands = find_hands(ms)
    if hands[0] == hands[1]:
        return hands
    alone, together = np.zeros(2), 0.0
    with open_table(ms.path) as main:
        is_cross = main.getcol("ANTENNA1") != main.getcol("ANTENNA2")
        has_weight = (main.getcol("WEIGHT")[:, hands] > 0) & (is_cross & ~main.getcol("FLAG_ROW"))[:, None]
        step = max(_RUN_ROWS, ms.rows * _RUN_ROWS // SAMPLED_ROWS)
        for start in range(0, ms.rows, step):
            count = min(_RUN_ROWS, ms.rows - start)
            is_good = ~main.getcol("FLAG", start, count)[..., hands] & has_weight[start : start + count, None]
            alone += np.count_nonzero(is_good, axis=(0, 1))
            together += float(np.count_nonzero(is_good.all(axis=2)))
    better = int(np.argmax(alone))
    return (hands[better], hands[better]) if alone[better] > ALONE * together else hands


def measure_hand_ratio(gridder: Gridder, model: Image) -> HandRatio:
    """Measure the ratio of the fluxes in the two hands by fitting the model of the image to each.

    With visibilities I = (XX + YY)/2 and D = (XX - YY)/2, natural weights w and model visibilities M, the factors of
    least squares are a = Re Σ w I M* / Σ w |M|² and b alike of D; XX is a + b and YY is a - b times the model.

    Parameters
    ----------
    gridder : the visibilities; the fit uses the rows of which `half_difference` is kept.
    model : Jy per pixel, shape (size, size).

    Returns
    -------
    The ratio and its error from the scatter of D; None where there is one hand, no model, or the error exceeds
    `MAX_ERROR`.
    """
    data = gridder.visibilities
    if data.half_difference is None or not model.any():
        return HandRatio()
    sample = gridder.select_rows(data.half_difference.rows)
    difference, predicted = data.half_difference.values, sample.predict_constant(model, exact=False, accuracy=ACCURACY)
    return fit_hand_ratio(sample.visibilities.stokes_i, difference, predicted, _fit_weights(sample))


def fit_hand_ratio(
    stokes_i: NDArray[np.complex64], half_difference: NDArray[np.complex64], model: NDArray[np.complex64],
    weights: NDArray[np.float32],
) -> HandRatio:  # fmt: skip
    """Fit the model to both hands, as `measure_hand_ratio` does.

    Parameters
    ----------
    stokes_i, half_difference, model : (XX + YY)/2, (XX - YY)/2 and the model, Jy, of one shape.
    weights : of that shape, proportional to inverse variances.
    """
    power = float(np.sum(weights * np.abs(model) ** 2, dtype=np.float64))
    if power <= 0:
        return HandRatio()
    mean = float(np.sum(weights * (stokes_i * model.conj()).real, dtype=np.float64)) / power
    half = float(np.sum(weights * (half_difference * model.conj()).real, dtype=np.float64)) / power
    if mean <= abs(half):
        return HandRatio()
    scatter = np.abs(half_difference - np.float32(half) * model) ** 2  # half of it is of the real part
    error_of_half = np.sqrt(0.5 * float(np.sum(weights**2 * np.abs(model) ** 2 * scatter, dtype=np.float64))) / power
    error = 2 * mean * error_of_half / (mean - half) ** 2
    return HandRatio((mean + half) / (mean - half), error) if error <= MAX_ERROR else HandRatio()


def _fit_weights(gridder: Gridder) -> NDArray[np.float32]:
    """The natural weights of the samples that the image uses; 0 of the others, such as short baselines."""
    return np.where(gridder.weights > 0, gridder.visibilities.weights, np.float32(0))
