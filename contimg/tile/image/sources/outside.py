"""Catalogued sources beyond the field that is cleaned: subtracted from the visibilities before imaging.

Cleaning removes what lies in its field, which is wider than the image. Sources beyond it would leave sidelobes and
aliases in the image.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.instrument.coordinates import separation_rad
from contimg.instrument.dsa110 import C_M_S
from contimg.sky.catalogue import open_catalogue
from contimg.tile.calibrate.sky_gains.field import RADIUS_DEG, FieldModel, make_field
from contimg.tile.calibrate.sky_gains.prediction import predict_row
from contimg.tile.image.gridding.visibilities import Visibilities
from contimg.tile.image.sources.finding import position_name
from contimg.tile.image.sources.matches import SubtractedSource

MAX_SOURCES = 60
MIN_SIGMA = 3.0  # of apparent flux, over the thermal noise
SCALES = 0.5, 2.0  # of the catalogue's apparent flux; other measured values contradict it
THREADS = 2
MIN_TRUE_JY = 0.02  # the primary beam is below a tenth there


def subtract_outside(
    ms: MSInfo, visibilities: Visibilities, catalogue_path: Path, half_width_rad: float, thermal_rms_jy: float
) -> tuple[SubtractedSource, ...]:
    """Subtract catalogued sources beyond a field from visibilities, in place.

    Each is scaled by the factor that fits the visibilities best, because the primary beam is hardly known so far out,
    and is subtracted only where that factor is within `SCALES`: then the residual falls.

    Parameters
    ----------
    ms : metadata of the Measurement Set; the primary beam is known.
    visibilities : calibrated, not yet averaged in time.
    catalogue_path : of the reference catalogue.
    half_width_rad : half the width of the field that is cleaned.
    thermal_rms_jy : noise expected in the image, Jy per beam.

    Returns
    -------
    The sources that were subtracted, the brightest first, with no components.

    Raises
    ------
    Misconfigured : the file is not a catalogue.
    """
    ra_deg, dec_deg = np.rad2deg(ms.pointing_rad[len(ms.times_mjd_s) // 2]).tolist()
    sources = open_catalogue(catalogue_path).cone(ra_deg, dec_deg, RADIUS_DEG, min_flux_jy=MIN_TRUE_JY)
    sources = sources[_is_beyond(ms, sources.ra_deg, sources.dec_deg, half_width_rad)]
    field = make_field(ms, sources, visibilities.freqs_hz)
    field = _select(field, np.flatnonzero(field.mean_jy >= MIN_SIGMA * thermal_rms_jy)[:MAX_SOURCES])
    if not len(field.lmn):
        return ()
    scales = _run(ms, visibilities, field, is_subtracted=False)
    is_kept = (scales > SCALES[0]) & (scales < SCALES[1])
    scaled = replace(field, apparent_jy=(field.apparent_jy * scales[:, None, None]).astype(np.float32))
    scaled = _select(scaled, np.flatnonzero(is_kept))
    _run(ms, visibilities, scaled, is_subtracted=True)
    distances_deg = np.rad2deg(separation_rad(np.deg2rad(scaled.positions_deg), np.array(ms.phase_centre_rad)))
    listed = [
        SubtractedSource(position_name(ra, dec), ra % 360, dec, flux_jy, distance_deg, 0)
        for (ra, dec), flux_jy, distance_deg in zip(
            scaled.positions_deg.tolist(), scaled.mean_jy.tolist(), distances_deg.tolist(), strict=True
        )
    ]
    return tuple(sorted(listed, key=lambda source: -source.flux_jy))


def _is_beyond(
    ms: MSInfo, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], half_width_rad: float
) -> NDArray[np.bool_]:
    """Whether positions are outside a square around the phase centre, in the orthographic projection."""
    ra_rad, centre_dec_rad = np.deg2rad(ra_deg) - ms.phase_centre_rad[0], ms.phase_centre_rad[1]
    dec_rad = np.deg2rad(dec_deg)
    east = np.cos(dec_rad) * np.sin(ra_rad)
    north = np.sin(dec_rad) * np.cos(centre_dec_rad) - np.cos(dec_rad) * np.sin(centre_dec_rad) * np.cos(ra_rad)
    return np.asarray(np.maximum(np.abs(east), np.abs(north)) > np.sin(half_width_rad))


def _select(field: FieldModel, index: NDArray[np.int64]) -> FieldModel:
    """The model with some of its sources."""
    arrays = {name: np.ascontiguousarray(values[index]) for name, values in vars(field).items()}
    return FieldModel(**arrays)


def _run(ms: MSInfo, visibilities: Visibilities, field: FieldModel, *, is_subtracted: bool) -> NDArray[np.float64]:
    """Subtract a model from visibilities, or give the factor of each source that fits them best."""
    widths_hz = np.full(visibilities.freqs_hz.size, ms.channel_width_hz * visibilities.channel_average)
    turns = np.stack([visibilities.freqs_hz, widths_hz], axis=1) / C_M_S
    sine, cosine = np.sin(ms.phase_centre_rad[1]), np.cos(ms.phase_centre_rad[1])
    model: tuple[Any, ...] = (
        turns,
        visibilities.channel_average,
        ms.integration_s,
        sine,
        cosine,
        field.lmn,
        field.apparent_jy,
        field.shapes,
    )
    sums = np.zeros((THREADS, len(field.lmn), 2))
    rows = (visibilities.stokes_i, visibilities.weights, visibilities.uvw_m, visibilities.times)

    def run(part: int) -> None:
        if is_subtracted:
            _subtract(*rows, *model, part, THREADS)
        else:
            _fit(*rows, *model, part, THREADS, sums[part])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, range(THREADS)))
    products, power = sums.sum(axis=0).T
    return np.asarray(products / np.maximum(power, 1e-30))


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator,unused-ignore]
def _subtract(
    stokes_i: NDArray[np.complex64], weights: NDArray[np.float32], uvw_m: NDArray[np.float64],
    times: NDArray[np.int64], turns: NDArray[np.float64], averaged: int, integration_s: float, sine: float,
    cosine: float, lmn: NDArray[np.float64], apparent_jy: NDArray[np.float32], shapes: NDArray[np.float64], part: int,
    parts: int,
) -> None:  # fmt: skip
    """Subtract a model from every `parts`-th row, where it has weight."""
    model = np.zeros(turns.shape[0], dtype=np.complex128)
    for row in range(part, stokes_i.shape[0], parts):
        predict_row(
            uvw_m[row], times[row], turns, averaged, integration_s, sine, cosine, lmn, apparent_jy, shapes, model
        )
        for channel in range(turns.shape[0]):
            if weights[row, channel] > 0.0:
                stokes_i[row, channel] -= np.complex64(model[channel])


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator,unused-ignore]
def _fit(
    stokes_i: NDArray[np.complex64], weights: NDArray[np.float32], uvw_m: NDArray[np.float64],
    times: NDArray[np.int64], turns: NDArray[np.float64], averaged: int, integration_s: float, sine: float,
    cosine: float, lmn: NDArray[np.float64], apparent_jy: NDArray[np.float32], shapes: NDArray[np.float64], part: int,
    parts: int, sums: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add Re(w V M*) and w |M|^2 of each source in every `parts`-th row to `sums`, shape (sources, 2)."""
    model = np.zeros(turns.shape[0], dtype=np.complex128)
    for row in range(part, stokes_i.shape[0], parts):
        for source in range(lmn.shape[0]):
            predict_row(
                uvw_m[row], times[row], turns, averaged, integration_s, sine, cosine, lmn[source : source + 1],
                apparent_jy[source : source + 1], shapes[source : source + 1], model,
            )  # fmt: skip
            for channel in range(turns.shape[0]):
                value, w = stokes_i[row, channel], weights[row, channel]
                product = value.real * model[channel].real + value.imag * model[channel].imag
                sums[source, 0] += w * product
                sums[source, 1] += w * (model[channel].real ** 2 + model[channel].imag ** 2)
