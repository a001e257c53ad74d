"""The flux scale of a tile from its single catalogued sources, and the mean amplitude that follows from it.

A catalogue has sources whose flux is wrong: variable ones, blends. In the sum over all sources the brightest decides;
here each has a flux of its own, their scale is a weighted median, and its error follows from their scatter.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import Data
from contimg.formats.ms.info import MSInfo
from contimg.tile.calibrate.sky_gains.field import FieldModel
from contimg.tile.calibrate.sky_gains.prediction import predict_row
from contimg.tile.calibrate.sky_gains.products import THREADS, BaselineSums, channel_turns, split_band

MAX_FITTED = 24  # sources with a flux of their own; the others have one factor together
MIN_SOURCE_SNR = 10.0  # of a source's flux
MIN_SOURCES = 3  # whose scatter measures the error of the catalogue
CATALOGUE_ERROR = 0.01  # of a flux, at least: with less the brightest sources, of least noise, would decide alone
MEAN_SIGMA = 3.0  # of the walk of the mean amplitude and of the scale's error, up to which it is taken from the model
MAX_MEAN_CHANGE = 0.1  # of the fluxes; a model may be wrong by more
MAX_UNTIED_CHANGE = 0.02  # where the scale of the catalogue was not compared with the set's, or too few sources
_TRIMMED = 5  # the fifth of the sources that deviate most does not count for the scatter
_TRIMMED_TO_RMS = 1.79  # of the mean modulus of the other four fifths of normal errors
_MEDIAN_ERROR = float(np.sqrt(np.pi / 2))  # of a median over that of a mean, of normal errors
_SCATTER_STEPS = 5
Floats = NDArray[np.float64]
Gains = NDArray[np.complex128]


@dataclass(frozen=True)
class FluxScale:
    """Fluxes of a tile over those of the model.

    Attributes
    ----------
    log_ratio : logarithm of the scale.
    error : of `log_ratio`, from the scatter of the sources' fluxes and from noise; infinite without a source.
    sources : number that it rests on.
    """

    log_ratio: float
    error: float
    sources: int


def measure_flux_scale(ms: MSInfo, sums: BaselineSums, field: FieldModel, gains: Gains, noise_jy: float) -> FluxScale:
    """Measure the flux scale of a tile: the weighted median over its sources.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    sums : of its visibilities, with the data of some integrations.
    field : the model.
    gains : of the antennas against the caltable set, shape (kept integrations, slots, receptors).
    noise_jy : rms of a complex sample of unit weight.
    """
    power, products = _sum_sources(ms, sums, field, gains)
    # A source of no power, as the others where there are none, gets the flux 0 and an infinite error.
    is_empty = np.diag(power) <= 1e-9 * np.diag(power).max(initial=1e-30)
    power[is_empty], power[:, is_empty], products[is_empty] = 0.0, 0.0, 0.0
    inverse = np.linalg.pinv(power, hermitian=True)
    ratios, errors = inverse @ products, noise_jy * np.sqrt(np.maximum(np.diag(inverse), 0.0) / 2)
    is_measured = ~is_empty & (ratios > MIN_SOURCE_SNR * errors)
    is_measured[-1] = False
    return average_ratios(np.log(ratios[is_measured]), (errors / np.where(is_measured, ratios, 1.0))[is_measured])


def average_ratios(log_ratios: Floats, errors: Floats) -> FluxScale:
    """Average the logarithms of flux ratios by their weighted median; see docs/maths.md.

    Parameters
    ----------
    log_ratios : shape (sources,).
    errors : by noise, shape (sources,). The error of the catalogue is added, from the scatter of the ratios.
    """
    if not log_ratios.size:
        return FluxScale(0.0, np.inf, 0)
    catalogue_error, mean = CATALOGUE_ERROR, 0.0
    for _ in range(_SCATTER_STEPS):
        weights = 1 / (errors**2 + catalogue_error**2)
        order = np.argsort(log_ratios)
        cumulative = np.cumsum(weights[order])
        mean = float(np.interp(0.5 * cumulative[-1], cumulative - 0.5 * weights[order], log_ratios[order]))
        deviations = np.sort(np.abs(log_ratios - mean))
        scatter = _TRIMMED_TO_RMS * float(deviations[: deviations.size - deviations.size // _TRIMMED].mean())
        catalogue_error = np.sqrt(max(CATALOGUE_ERROR**2, scatter**2 - float(np.median(errors**2))))
    error = _MEDIAN_ERROR / np.sqrt(float(np.sum(1 / (errors**2 + catalogue_error**2))))
    error *= 1 + 2 / log_ratios.size  # the scatter of few sources may be small by chance
    return FluxScale(mean, float(error), log_ratios.size)


def choose_mean(
    scale: FluxScale, catalogue_ratio: float | None, scatter: float, error: float, receptors: int
) -> tuple[float, str]:
    """Choose the mean of the amplitudes: the model's as far as their walk explains the difference, else the set's, 1.

    Fluxes go with the square of the mean over all receptors, which walks by 2 walk / sqrt(receptors). The difference
    is that of the catalogue's scale at the calibrator and in the tile, weighted by the variance of the walk over its
    sum with the variance of the error.

    Parameters
    ----------
    scale : of the tile's fluxes over the model's.
    catalogue_ratio : flux scale of the model over the caltable set's; None where it is not known.
    scatter, error : rms of the logarithms of the amplitudes, and of their errors.
    receptors : number of amplitudes.

    Returns
    -------
    The mean amplitude, and a text for the note.
    """
    if not scale.sources:
        return 1.0, ", their mean that of the set: no source has a flux of its own"
    change = scale.log_ratio + np.log(catalogue_ratio or 1.0)
    walk = 2 * np.sqrt(max(scatter**2 - error**2, 0.0) / receptors)
    total = np.hypot(2 * scatter / np.sqrt(receptors), scale.error)
    limit = min(MEAN_SIGMA * total, MAX_MEAN_CHANGE)
    fluxes = f"{scale.sources} source{'s' if scale.sources > 1 else ''}"
    if abs(change) > limit:
        difference = f"the fluxes of {fluxes} differ by {np.expm1(change):+.1%} from the catalogue's, limit {limit:.1%}"
        return 1.0, f", their mean that of the set: {difference}"
    change *= (walk / total) ** 2
    tie = f"of {fluxes}, accurate to {scale.error:.1%}"
    if catalogue_ratio is None or scale.sources < MIN_SOURCES:
        change = float(np.clip(change, -MAX_UNTIED_CHANGE, MAX_UNTIED_CHANGE))
        reason = "the calibrator is not in it" if catalogue_ratio is None else f"{MIN_SOURCES} sources needed"
        tie = f"{tie}, at most {MAX_UNTIED_CHANGE:.0%}: {reason}"
    else:
        tie = f"{tie}, which has {catalogue_ratio:.3f} of the calibrator's"
    return float(np.exp(change / 2)), f", fluxes changed by {np.expm1(-change):+.1%} to the catalogue's {tie}"


def _sum_sources(ms: MSInfo, sums: BaselineSums, field: FieldModel, gains: Gains) -> tuple[Floats, Floats]:
    """Sum w Re(M_s M_t*) over pairs of sources and w Re(V M_s*), (sources + 1, sources + 1) and (sources + 1,)."""
    edges = split_band(ms)
    fitted, kept = min(len(field.lmn), MAX_FITTED), sums.kept
    power = np.zeros((THREADS, fitted + 1, fitted + 1))
    products = np.zeros((THREADS, fitted + 1))
    declination = float(ms.phase_centre_rad[1])

    def add(part: int) -> None:
        _add_sources(
            kept.visibilities, kept.weight, kept.uvw_m, kept.times, sums.antenna1, sums.antenna2,
            gains.astype(np.complex64), channel_turns(ms, edges), int(edges[1] - edges[0]), ms.integration_s,
            np.sin(declination), np.cos(declination), field.lmn, field.apparent_jy, field.shapes, part, THREADS,
            power[part], products[part],
        )  # fmt: skip

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(add, range(THREADS)))
    half = power.sum(axis=0)
    return half + half.T - np.diag(np.diag(half)), products.sum(axis=0)


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator,unused-ignore]
def _add_sources(
    data: Data, weight: NDArray[np.float32], uvw_m: Floats, times: NDArray[np.int64], ant1: NDArray[np.int64],
    ant2: NDArray[np.int64], gains: Data, turns: Floats, averaged: int, integration_s: float, sine: float,
    cosine: float, lmn: Floats, apparent_jy: NDArray[np.float32], shapes: Floats, part: int, parts: int, power: Floats,
    products: Floats,
) -> None:  # fmt: skip
    """Add every `parts`-th baseline to the lower triangle of `power`, and to `products`."""
    fitted, channels = power.shape[0] - 1, turns.shape[0]
    models = np.zeros((fitted + 1, channels), dtype=np.complex128)
    weights = np.zeros(channels)
    corrected = np.zeros(channels, dtype=np.complex128)
    for slot in range(data.shape[0]):
        for baseline in range(part, data.shape[1], parts):
            i, j = ant1[baseline], ant2[baseline]
            weights[:] = 0.0
            corrected[:] = 0.0
            for hand in range(data.shape[3]):
                gain = gains[slot, i, hand] * np.conj(gains[slot, j, hand])
                squared = gain.real**2 + gain.imag**2
                for channel in range(channels):
                    w = weight[slot, baseline, channel, hand]
                    weights[channel] += w * squared
                    corrected[channel] += w * np.conj(gain) * data[slot, baseline, channel, hand]
            if not (weights > 0).any():
                continue
            for source in range(fitted + 1):
                last = source + 1 if source < fitted else lmn.shape[0]
                predict_row(
                    uvw_m[slot, baseline], times[slot], turns, averaged, integration_s, sine, cosine, lmn[source:last],
                    apparent_jy[source:last], shapes[source:last], models[source],
                )  # fmt: skip
            for source in range(fitted + 1):
                row = models[source]
                total = 0.0
                for channel in range(channels):
                    total += corrected[channel].real * row[channel].real + corrected[channel].imag * row[channel].imag
                products[source] += total
                for second in range(source + 1):
                    column, total = models[second], 0.0
                    for channel in range(channels):
                        x = row[channel].real * column[channel].real + row[channel].imag * column[channel].imag
                        total += weights[channel] * x
                    power[source, second] += total
