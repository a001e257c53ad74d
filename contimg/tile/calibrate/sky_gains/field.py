"""The catalogued sources of a tile as they are seen through the drifting primary beam."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.instrument.calibrators import Calibrator
from contimg.instrument.coordinates import separation_rad
from contimg.instrument.dsa110 import C_M_S, primary_beam
from contimg.sky.catalogue import Catalogue, CatalogueSources
from contimg.tile.calibrate.solve.sky_model import compute_direction_cosines

RADIUS_DEG = 6.0  # around the pointing: beyond the first sidelobe of the primary beam
MIN_TRUE_JY = 0.003
MIN_APPARENT_FRACTION = 0.002  # of all apparent flux; fainter sources are left out
MAX_SOURCES = 200
_GAUSSIAN = np.pi**2 / (4 * np.log(2))  # exponent of a Gaussian's visibility, for FWHM and baselines in wavelengths


@dataclass(frozen=True)
class FieldModel:
    """Sources of one tile, by apparent flux, descending.

    Attributes
    ----------
    positions_deg : right ascension and declination, ICRS, shape (sources, 2).
    flux_jy : true flux at mid-band, shape (sources,).
    lmn : direction cosines l, m and n - 1, shape (sources, 3).
    apparent_jy : flux after the primary beam, shape (sources, times, channels).
    shapes : a, b, c of the visibility exp(-(a u² + b u v + c v²)) of a Gaussian, u and v in metres at mid-band, shape
        (sources, 3); 0 for points.
    """

    positions_deg: NDArray[np.float64]
    flux_jy: NDArray[np.float64]
    lmn: NDArray[np.float64]
    apparent_jy: NDArray[np.float32]
    shapes: NDArray[np.float64]

    @property
    def mean_jy(self) -> NDArray[np.float64]:
        """Apparent fluxes, mean over tile and band, shape (sources,)."""
        return np.asarray(self.apparent_jy.mean(axis=(1, 2), dtype=np.float64))


def read_field(catalogue: Catalogue, ms: MSInfo, freqs_hz: NDArray[np.float64]) -> FieldModel:
    """Read the model of a tile from a reference catalogue.

    Parameters
    ----------
    catalogue : the catalogue, opened.
    ms : metadata of the Measurement Set; the primary beam follows its pointing at each time.
    freqs_hz : at which the fluxes are computed, shape (channels,).

    Raises
    ------
    Misconfigured : its file is damaged.
    """
    ra_deg, dec_deg = np.rad2deg(ms.pointing_rad[len(ms.times_mjd_s) // 2])
    return make_field(ms, catalogue.cone(float(ra_deg), float(dec_deg), RADIUS_DEG, min_flux_jy=MIN_TRUE_JY), freqs_hz)


def make_field(ms: MSInfo, sources: CatalogueSources, freqs_hz: NDArray[np.float64]) -> FieldModel:
    """Make the model of catalogued sources: the brightest through the primary beam A(theta(t), f).

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    sources : around the pointing, also outside the image.
    freqs_hz : at which the fluxes are computed, shape (channels,).
    """
    middle_hz = np.array([freqs_hz.mean()])
    at_middle = _apparent_jy(ms, sources, np.arange(sources.ra_deg.size), middle_hz)[:, :, 0].mean(axis=1)
    order = np.argsort(-at_middle, kind="stable")[:MAX_SOURCES]
    order = order[at_middle[order] > MIN_APPARENT_FRACTION * at_middle.sum()]
    positions_deg = np.stack([sources.ra_deg[order], sources.dec_deg[order]], axis=1)
    points = [Calibrator("", "", ra, dec, 0.0, 0.0, "P") for ra, dec in np.deg2rad(positions_deg)]
    return FieldModel(
        positions_deg, np.asarray(sources.flux_at(float(middle_hz[0])))[order],
        compute_direction_cosines(ms, points) if points else np.zeros((0, 3)),
        _apparent_jy(ms, sources, order, freqs_hz), _shapes(sources, order, float(middle_hz[0])),
    )  # fmt: skip


def _apparent_jy(
    ms: MSInfo, sources: CatalogueSources, index: NDArray[np.int64], freqs_hz: NDArray[np.float64]
) -> NDArray[np.float32]:
    positions_rad = np.deg2rad(np.stack([sources.ra_deg[index], sources.dec_deg[index]], axis=1))
    offset_rad = separation_rad(positions_rad[:, None], ms.pointing_rad[None])
    pb = primary_beam(offset_rad[..., None], freqs_hz, ms.dish_diameter_m, ms.mid_mjd)
    flux_jy = np.stack([np.asarray(sources.flux_at(float(freq_hz)))[index] for freq_hz in freqs_hz], axis=-1)
    return np.ascontiguousarray(flux_jy[:, None] * pb, dtype=np.float32)


def _shapes(sources: CatalogueSources, index: NDArray[np.int64], freq_hz: float) -> NDArray[np.float64]:
    """Quadratic forms of resolved sources; see `FieldModel.shapes`."""
    size_deg = [np.nan_to_num(values[index]) for values in (sources.major_deg, sources.minor_deg)]
    major, minor = (np.deg2rad(np.where(sources.is_resolved[index], size, 0.0)) for size in size_deg)
    angle = np.deg2rad(np.nan_to_num(sources.angle_deg[index]))
    scale = _GAUSSIAN * (freq_hz / C_M_S) ** 2
    sine, cosine = np.sin(angle), np.cos(angle)  # of the position angle, north through east
    a = (major * sine) ** 2 + (minor * cosine) ** 2
    b = 2 * (major**2 - minor**2) * sine * cosine
    c = (major * cosine) ** 2 + (minor * sine) ** 2
    return np.ascontiguousarray(scale * np.stack([a, b, c], axis=1))


def outside_field(field: FieldModel, ms: MSInfo, half_width_deg: float, min_jy: float) -> tuple[dict[str, Any], ...]:
    """List the sources of a model that lie outside the imaged field and are bright enough to disturb it.

    Parameters
    ----------
    field, ms : the model and its Measurement Set.
    half_width_deg : of the square that is imaged around the phase centre.
    min_jy : minimum apparent flux.
    """
    limit = np.sin(np.deg2rad(half_width_deg))
    is_outside = (np.abs(field.lmn[:, :2]) > limit).any(axis=1) & (field.mean_jy >= min_jy)
    return tuple(
        {
            "ra_deg": round(float(field.positions_deg[i, 0]), 5), "dec_deg": round(float(field.positions_deg[i, 1]), 5),
            "flux_jy": round(float(field.flux_jy[i]), 5), "apparent_jy": round(float(field.mean_jy[i]), 5),
        }
        for i in np.flatnonzero(is_outside)
    )  # fmt: skip
