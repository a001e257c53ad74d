"""Compiled sums over sources: products of point sources' fields at antennas, and Gaussians for each baseline."""

from typing import Any

import numba
import numpy as np

COLUMNS = 3  # of the product of fields, computed together
RESTART = 64  # frequencies after which the phases are computed exactly


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def add_points(  # type: ignore[no-untyped-def]  # noqa: ANN201
    real: Any, imag: Any, delay_s: Any, voltages: Any, first_hz: float, step_hz: float, segment: int
):
    """Add conj(E1) E2 of point sources for all antennas 2 <= 1, in place.

    The phase goes from one frequency to the next by a complex factor; every RESTART frequencies it is exact.

    Parameters
    ----------
    real, imag : float32 (frequencies, padded, padded), antenna 2 first; padded is a multiple of COLUMNS.
    delay_s : float64 (antennas, points).
    voltages : float32 (edges of segments, antennas, points), linear in between.
    first_hz, step_hz : the frequencies.
    segment : frequencies in a segment.
    """
    frequencies, padded = real.shape[:2]
    antennas, points = delay_s.shape
    phase_real, phase_imag = np.empty((antennas, points), np.float32), np.empty((antennas, points), np.float32)
    step_real, step_imag = np.empty((antennas, points), np.float32), np.empty((antennas, points), np.float32)
    field_real, field_imag = np.zeros((padded, points), np.float32), np.zeros((padded, points), np.float32)
    for a in range(antennas):
        for s in range(points):
            angle = 2 * np.pi * delay_s[a, s] * step_hz
            step_real[a, s], step_imag[a, s] = np.cos(angle), np.sin(angle)
    for f in range(frequencies):
        edge, within = f // segment, f % segment
        fraction = np.float32(within / segment)
        for a in range(antennas):
            if f % RESTART == 0:
                for s in range(points):
                    cycles = delay_s[a, s] * (first_hz + f * step_hz)
                    angle = 2 * np.pi * (cycles - np.floor(cycles))
                    phase_real[a, s], phase_imag[a, s] = np.cos(angle), np.sin(angle)
            for s in range(points):
                voltage = voltages[edge, a, s] + fraction * (voltages[edge + 1, a, s] - voltages[edge, a, s])
                x, y = phase_real[a, s], phase_imag[a, s]
                field_real[a, s], field_imag[a, s] = voltage * x, voltage * y
                phase_real[a, s] = x * step_real[a, s] - y * step_imag[a, s]
                phase_imag[a, s] = x * step_imag[a, s] + y * step_real[a, s]
        _add_products(real[f], imag[f], field_real, field_imag, antennas)


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _add_products(real, imag, field_real, field_imag, antennas):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Lower triangle of the matrix product of fields, three columns at a time in registers."""
    points = field_real.shape[1]
    for i in range(antennas):
        for j in range(0, i + 1, 3):
            r0 = r1 = r2 = i0 = i1 = i2 = np.float32(0)
            for s in range(points):
                x, y = field_real[i, s], field_imag[i, s]
                p, q = field_real[j, s], field_imag[j, s]
                r0 += p * x + q * y
                i0 += p * y - q * x
                p, q = field_real[j + 1, s], field_imag[j + 1, s]
                r1 += p * x + q * y
                i1 += p * y - q * x
                p, q = field_real[j + 2, s], field_imag[j + 2, s]
                r2 += p * x + q * y
                i2 += p * y - q * x
            real[i, j] += r0
            real[i, j + 1] += r1
            real[i, j + 2] += r2
            imag[i, j] += i0
            imag[i, j + 1] += i1
            imag[i, j + 2] += i2


@numba.njit(nogil=True, cache=True)
def gather(values, real, imag, first, second):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Copy the products of antennas to baselines, in place.

    Parameters
    ----------
    values : complex64 (baselines, frequencies).
    real, imag : see `add_points`.
    first, second : int64 (baselines,).
    """
    for b in range(len(first)):
        i, j = first[b], second[b]
        for f in range(values.shape[1]):
            if j >= i:
                values[b, f] = complex(real[f, j, i], imag[f, j, i])
            else:
                values[b, f] = complex(real[f, i, j], -imag[f, i, j])


@numba.njit(nogil=True, cache=True)
def add_gaussians(  # type: ignore[no-untyped-def]  # noqa: ANN201
    values: Any, delay_s: Any, change_s: Any, axes_s: Any, voltages: Any, edges_hz: Any, first: Any, second: Any,
    first_hz: float, step_hz: float, segment: int,
):  # fmt: skip
    """Add elliptical Gaussians to visibilities, in place.

    The Fourier transform of a Gaussian of FWHM t is exp(-(pi t u)^2 / (4 ln 2)); the average over the integration is
    sin(pi n) / (pi n) for n cycles.

    Parameters
    ----------
    values : complex64 (baselines, frequencies).
    delay_s, change_s : delays, and their change in the integration, float64 (antennas, Gaussians).
    axes_s : antenna positions along the major and minor axis times FWHM / c, float64 (antennas, 2, Gaussians).
    voltages : float32 (edges of segments, antennas, Gaussians).
    edges_hz : float64 (edges,).
    first, second : int64 (baselines,).
    first_hz, step_hz, segment : see `add_points`.
    """
    amplitudes = np.empty(len(edges_hz))
    for b in range(len(first)):
        i, j = first[b], second[b]
        for g in range(delay_s.shape[1]):
            delay, change = delay_s[j, g] - delay_s[i, g], change_s[j, g] - change_s[i, g]
            extent = (axes_s[j, 0, g] - axes_s[i, 0, g]) ** 2 + (axes_s[j, 1, g] - axes_s[i, 1, g]) ** 2
            for edge, freq_hz in enumerate(edges_hz):
                angle = max(abs(np.pi * change * freq_hz), 1e-9)
                taper = np.exp(-(np.pi**2) / (4 * np.log(2)) * extent * freq_hz**2) * np.sin(angle) / angle
                amplitudes[edge] = voltages[edge, i, g] * voltages[edge, j, g] * taper
            step = np.exp(2j * np.pi * delay * step_hz)
            for start in range(0, values.shape[1], segment):
                phase = np.exp(2j * np.pi * delay * (first_hz + start * step_hz))
                low, high = amplitudes[start // segment], amplitudes[start // segment + 1]
                for within in range(min(segment, values.shape[1] - start)):
                    values[b, start + within] += (low + (high - low) * within / segment) * phase
                    phase *= step
