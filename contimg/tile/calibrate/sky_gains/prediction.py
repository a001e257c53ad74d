"""The visibility of a model of the sky at one row of a Measurement Set.

It is smeared as the data are: by averaging over native channels, sin(n x) / (n sin x), and by the sinc of the turn over
an integration (Bridle & Schwab, in Synthesis Imaging II, ch. 18).
"""

import numba
import numpy as np
from numpy.typing import NDArray

EARTH_RAD_S = 7.2921159e-5


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator,unused-ignore]
def _sinc(turns: float) -> float:
    x = np.pi * turns
    return 1.0 - x * x / 6.0 if abs(x) < 1e-3 else np.sin(x) / x


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator,unused-ignore]
def predict_row(
    uvw_m: NDArray[np.float64], time: int, turns: NDArray[np.float64], averaged: int, integration_s: float, sine: float,
    cosine: float, lmn: NDArray[np.float64], apparent_jy: NDArray[np.float32], shapes: NDArray[np.float64],
    model: NDArray[np.complex128],
) -> None:  # fmt: skip
    """Write the visibility of a model at the channels of a row, smeared over channel and integration.

    Parameters
    ----------
    uvw_m : of the row, shape (3,).
    time : index of the row's time into `apparent_jy`.
    turns : frequency and width of each channel over the speed of light, evenly spaced, shape (channels, 2).
    averaged : number of native channels that were averaged into each.
    integration_s : length of the integration.
    sine, cosine : of the phase centre's declination.
    lmn, apparent_jy, shapes : the model, see `FieldModel`.
    model : the visibility, shape (channels,), written.
    """
    u, v, w = uvw_m[0], uvw_m[1], uvw_m[2]
    u_rate, v_rate, w_rate = EARTH_RAD_S * (w * cosine - v * sine), EARTH_RAD_S * u * sine, -EARTH_RAD_S * u * cosine
    channels = turns.shape[0]
    middle = channels // 2
    model[:] = 0.0
    for source in range(lmn.shape[0]):
        l, m, n = lmn[source, 0], lmn[source, 1], lmn[source, 2]  # noqa: E741
        path_m = u * l + v * m + w * n
        rate_m_s = u_rate * l + v_rate * m + w_rate * n
        across = turns[middle, 1] * path_m
        scale = _sinc(across) / _sinc(across / averaged) * _sinc(turns[middle, 0] * rate_m_s * integration_s)
        if shapes[source, 0] + shapes[source, 2] > 0.0:
            scale *= np.exp(-(shapes[source, 0] * u * u + shapes[source, 1] * u * v + shapes[source, 2] * v * v))
        step = turns[1, 0] - turns[0, 0] if channels > 1 else 0.0
        phase, turn = 2.0 * np.pi * turns[0, 0] * path_m, 2.0 * np.pi * step * path_m
        real, imaginary = scale * np.cos(phase), scale * np.sin(phase)
        turn_real, turn_imaginary = np.cos(turn), np.sin(turn)
        for channel in range(channels):
            flux = apparent_jy[source, time, channel]
            model[channel] += complex(flux * real, flux * imaginary)
            real, imaginary = (
                real * turn_real - imaginary * turn_imaginary,
                real * turn_imaginary + imaginary * turn_real,
            )
