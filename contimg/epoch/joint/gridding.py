"""Gridding of several tiles onto one tangent plane, each with its own primary beam.

With A_t the primary beam of tile t, d_t the dirty image of its residual and σ_t the noise of that image, the image that
is cleaned is F = Σ A_t d_t/σ_t² / √(W W₀), where W = Σ A_t²/σ_t² is the weight and W₀ its maximum. Its noise is flat,
W₀^-½, and a source of the flux S has S √(W/W₀) in it, as if √(W/W₀) were the primary beam of the sum. A model m of
such fluxes is m A_t √(W₀/W) in tile t (Cornwell, Holdaway & Uson 1993, A&A 271, 697; Sault, Staveley-Smith & Brouw
1996, A&AS 120, 375).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import ducc0
import numba
import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from contimg.common.errors import BadInput
from contimg.epoch.joint.members import SampledMember
from contimg.epoch.mosaic.grid import STEP, Grid, Window
from contimg.instrument.coordinates import sin_deproject, unit_vectors
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.gridder import ACCURACY, PREDICTION_ACCURACY, Image
from contimg.tile.image.gridding.modes import (
    BAND_BINS,
    KNOTS,
    Field,
    Mode,
    compute_responses,
    find_modes,
    weigh_cells,
)

MAX_RADIUS_DEG = 20.0  # of the tiles' centres from that of the plane, where pixels are 6 % longer on the sky
MIN_RESPONSE = 1e-3  # of the sum's response, below which nothing is cleaned


@dataclass(frozen=True)
class Plane:
    """The common tangent plane.

    Attributes
    ----------
    centre_rad : right ascension and declination (ICRS) of the point of contact, shape (2,).
    grid : pixels of the mosaic, with the windows of the tiles.
    pixel_rad : size of a pixel.
    """

    centre_rad: NDArray[np.float64]
    grid: Grid
    pixel_rad: float

    def direction_cosines(
        self, rows: NDArray[np.float64], columns: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return l (to the east) and m (to the north) of pixels, counted from 0.

        Parameters
        ----------
        rows, columns : of one shape.
        """
        reference = self.grid.wcs.wcs.crpix - 1
        return -(columns - reference[0]) * self.pixel_rad, (rows - reference[1]) * self.pixel_rad


def make_plane(members: Sequence[SampledMember], side: int, max_megapixels: float) -> Plane:
    """Choose the tangent plane: it touches the sky at the mean direction of the tiles.

    Parameters
    ----------
    members : at least one.
    side : of a tile's window, pixels.
    max_megapixels : maximum size of the mosaic.

    Raises
    ------
    BadInput : a tile is too far from the others, or the mosaic would be too large.
    """
    pixel_rad = members[0].gridder.pixel_rad
    centres = np.array([member.member.ms.phase_centre_rad for member in members])
    directions = unit_vectors(*centres.T)
    mean = directions.mean(axis=0)
    mean /= np.linalg.norm(mean)
    centre_rad = np.array([np.arctan2(mean[1], mean[0]) % (2 * np.pi), np.arcsin(mean[2])])
    distance_deg = np.rad2deg(np.arccos(np.clip(directions @ mean, -1, 1)))
    cosines = directions @ _axes(centre_rad)[:2].T
    start = np.floor((cosines * [-1, 1] / pixel_rad - side / 2) / STEP).astype(int) * STEP
    low = start.min(axis=0)
    columns, rows = (int(length) for length in start.max(axis=0) + side - low)
    farthest = int(np.argmax(distance_deg))
    if distance_deg[farthest] > MAX_RADIUS_DEG or columns * rows > max_megapixels * 1e6:
        raise BadInput(
            f"{members[farthest].member.ms.path}: {distance_deg[farthest]:.1f} deg from the middle of the tiles (limit "
            f"{MAX_RADIUS_DEG:g} deg); the mosaic would have {columns} x {rows} pixels (limit {max_megapixels:g} "
            "megapixels); give the Measurement Sets of one epoch"
        )
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---SIN", "DEC--SIN"
    wcs.wcs.crval = np.rad2deg(centre_rad)
    wcs.wcs.cdelt = -np.rad2deg(pixel_rad), np.rad2deg(pixel_rad)
    wcs.wcs.cunit = "deg", "deg"
    wcs.wcs.crpix = 1.0 - low
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    windows = tuple(Window(int(row), int(column), side, side) for column, row in start - low)
    return Plane(centre_rad, Grid(wcs, (rows, columns), float(np.rad2deg(pixel_rad)) * 3600, windows), pixel_rad)


def _axes(centre_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors to the east, to the north and to a direction, shape (3, 3)."""
    ra, dec = centre_rad
    return np.stack([unit_vectors(ra + np.pi / 2, 0.0), unit_vectors(ra + np.pi, np.pi / 2 - dec),
                     unit_vectors(ra, dec)])  # fmt: skip


@dataclass(frozen=True)
class _WindowField(Field):
    """Knots of a window of the common plane, in the direction cosines of the tile; smooth functions stay on them."""

    cosines: tuple[NDArray[np.float64], NDArray[np.float64]] = (np.zeros(0), np.zeros(0))

    def knot_cosines(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.cosines

    def interpolate(self, values: NDArray[np.float64]) -> Image:
        return values.astype(np.float32)


@dataclass(frozen=True)
class JointTile:
    """The samples of a tile, phased to the centre of the common plane, and the tile's window of it.

    Attributes
    ----------
    window : of the plane.
    centre_rad : m and -l of the window's middle pixel, shape (2,).
    pixel_rad : size of a pixel.
    uvw_m : in ducc0's axes, shape (rows, 3).
    freqs_hz : shape (channels,).
    stokes_i, weights : shape (rows, channels).
    total_weight : sum of the weights.
    knot_response : the primary beam on the knots, shape (KNOTS, KNOTS).
    modes : changes of the apparent fluxes, with factors on the knots.
    noise_jy : of the dirty image.
    threads : of ducc0.
    """

    window: Window
    centre_rad: NDArray[np.float64]
    pixel_rad: float
    uvw_m: NDArray[np.float64]
    freqs_hz: NDArray[np.float64]
    stokes_i: NDArray[np.complex64]
    weights: NDArray[np.float32]
    total_weight: float
    knot_response: NDArray[np.float64]
    modes: tuple[Mode, ...]
    noise_jy: float
    threads: int

    @classmethod
    def of(
        cls, sampled: SampledMember, plane: Plane, window: Window, changing_sky: bool, spectral_index: float
    ) -> "JointTile":
        """Phase the samples of a tile to the centre of the plane; their file is overwritten.

        Parameters
        ----------
        sampled : the tile.
        plane, window : the common plane and the tile's part of it.
        changing_sky, spectral_index : as in `ImageOptions`.
        """
        ms, gridder = sampled.member.ms, sampled.gridder
        data = gridder.visibilities
        edges = [np.linspace(start, start + length, KNOTS) for start, length in ((window.row, window.rows),
                 (window.column, window.columns))]  # fmt: skip
        rows, columns = np.meshgrid(*edges, indexing="ij")
        tile_axes = _axes(ms.phase_centre_rad)
        directions = sin_deproject(*plane.direction_cosines(rows, columns), plane.centre_rad)
        cosines = directions @ tile_axes[0], directions @ tile_axes[1]
        field = _WindowField(window.rows, plane.pixel_rad, cosines=cosines)
        freqs_hz, cells = weigh_cells(data, gridder.weights, ms.times_mjd_s.size, BAND_BINS)
        response = np.einsum("tf,tfyx->yx", cells, compute_responses(ms, field, freqs_hz))
        modes = find_modes(ms, data, gridder.weights, field, spectral_index) if changing_sky else ()
        uvw_m = data.uvw_m @ (_axes(plane.centre_rad) @ tile_axes.T).T
        _turn_phases(data.stokes_i, (data.uvw_m[:, 2] - uvw_m[:, 2]) / C_M_S, data.freqs_hz)
        l, m = plane.direction_cosines(  # noqa: E741
            np.array(window.row + window.rows // 2, dtype=np.float64),
            np.array(window.column + window.columns // 2, dtype=np.float64),
        )
        return cls(
            window, np.array([m, -l]), plane.pixel_rad,
            np.ascontiguousarray(np.stack([-uvw_m[:, 1], uvw_m[:, 0], uvw_m[:, 2]], axis=1)), data.freqs_hz,
            data.stokes_i, gridder.weights, gridder.total_weight, response, modes, sampled.noise_jy, gridder.threads,
        )  # fmt: skip

    def response(self) -> Image:
        """Return the primary beam in the window, shape (rows, columns)."""
        return self._expand(self.knot_response)

    def residual(self, model: Image) -> Image:
        """Return the dirty image of the samples minus a model's, Jy per beam.

        Parameters
        ----------
        model : apparent fluxes of the tile, Jy per pixel, shape of the window.
        """
        if not model.any():
            return self._dirty(self.stokes_i)
        residual = self.predict(model)
        np.subtract(self.stokes_i, residual, out=residual)
        return self._dirty(residual)

    def predict(self, model: Image) -> NDArray[np.complex64]:
        """Return the visibilities of a model, Jy, shape (rows, channels).

        Parameters
        ----------
        model : apparent fluxes of the tile, Jy per pixel, shape of the window.
        """
        predicted = np.asarray(ducc0.wgridder.dirty2vis(dirty=model, **self._geometry(PREDICTION_ACCURACY)))
        for mode in self.modes:
            change = ducc0.wgridder.dirty2vis(dirty=model * self._expand(mode.factor), **self._geometry(ACCURACY))
            change *= mode.rows @ mode.channels
            predicted += change
        return predicted

    def psf(self) -> Image:
        """Return the point-spread function at the middle of the window, shape of the window."""
        # Close to a direction w (n - 1) is linear in l and m, and adds to u and v.
        x, y = self.centre_rad
        tilt = np.array([x, y]) / np.sqrt(1 - x * x - y * y)
        uvw_m = np.zeros_like(self.uvw_m)
        uvw_m[:, :2] = self.uvw_m[:, :2] + self.uvw_m[:, 2:] * tilt
        source = np.ones(self.stokes_i.shape, np.complex64)
        flat = replace(self, uvw_m=uvw_m, centre_rad=np.zeros(2))
        return flat._dirty(source, exact=False)

    def _dirty(self, stokes_i: NDArray[np.complex64], exact: bool = True) -> Image:
        image = ducc0.wgridder.vis2dirty(
            vis=stokes_i, wgt=self.weights, npix_x=self.window.rows, npix_y=self.window.columns,
            **self._geometry(ACCURACY, exact),
        )  # fmt: skip
        image /= np.float32(self.total_weight)
        return np.asarray(image, dtype=np.float32)

    def _expand(self, values: NDArray[np.floating]) -> Image:
        """Interpolate values at the knots to the pixels of the window with a cubic spline."""
        knots = np.linspace(0, 1, KNOTS)
        down, across = (
            make_interp_spline(knots, np.eye(KNOTS), k=3)(np.arange(length) / length).astype(np.float32)
            for length in (self.window.rows, self.window.columns)
        )
        return np.asarray(down @ values.astype(np.float32) @ across.T)

    def _geometry(self, accuracy: float, exact: bool = True) -> dict[str, object]:
        return {
            "uvw": self.uvw_m, "freq": self.freqs_hz, "pixsize_x": self.pixel_rad, "pixsize_y": self.pixel_rad,
            "center_x": float(self.centre_rad[0]), "center_y": float(self.centre_rad[1]), "epsilon": accuracy,
            "do_wgridding": exact, "divide_by_n": False, "nthreads": self.threads,
        }  # fmt: skip


@numba.njit(cache=True)
def _turn_phases(stokes_i, delays_s, freqs_hz):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Multiply each visibility by exp(2πi f τ), in place."""
    for row in range(stokes_i.shape[0]):
        for channel in range(freqs_hz.size):
            stokes_i[row, channel] *= np.complex64(np.exp(2j * np.pi * delays_s[row] * freqs_hz[channel]))


class JointBands:
    """The tiles as clean uses them, one part of the band; images have the shape (1, rows, columns).

    Attributes
    ----------
    tiles : the tiles.
    weight : sum of A_t²/σ_t², 1/Jy², shape (rows, columns).
    response : flux of a source in the images over its true flux, shape (rows, columns); 0 where nothing is cleaned.
    """

    def __init__(self, tiles: Sequence[JointTile], shape: tuple[int, int]) -> None:
        self.tiles = tiles
        self.weight = np.zeros(shape, dtype=np.float32)
        for tile in tiles:
            self.weight[tile.window.slices] += np.square(tile.response() / np.float32(tile.noise_jy))
        self.response = np.sqrt(self.weight / self.weight.max())
        self.response[self.response < MIN_RESPONSE] = 0

    @property
    def noise_jy(self) -> float:
        """Noise of the images that the tiles' noise predicts, Jy per beam."""
        return float(1 / np.sqrt(self.weight.max()))

    @property
    def pixel_rad(self) -> float:
        """Size of a pixel, radians."""
        return self.tiles[0].pixel_rad

    @property
    def weight_fractions(self) -> NDArray[np.float64]:
        """Fraction of the total weight in each part of the band: 1."""
        return np.ones(1)

    @property
    def edges_hz(self) -> NDArray[np.float64]:
        """Lower and upper edge of the band, shape (1, 2)."""
        return np.array([[min(tile.freqs_hz[0] for tile in self.tiles), max(tile.freqs_hz[-1] for tile in self.tiles)]])

    def dirty(self) -> Image:
        """Return the dirty image of the data."""
        return self.image(np.zeros((1, *self.weight.shape), dtype=np.float32))

    def exact_image(self) -> Image:
        """Return the dirty image of the data, for clean where it finds nothing."""
        return self.dirty()

    def pending_fraction(self, models: Image) -> float:
        """Return 0: all components are predicted with the w term and the changes.

        Parameters
        ----------
        models : Jy per pixel, shape (1, rows, columns).
        """
        return 0.0

    def image(self, models: Image, with_w: bool = True, with_changes: bool = True) -> Image:
        """Return the residual that a model leaves, Jy per beam.

        Parameters
        ----------
        models : Jy per pixel, shape (1, rows, columns).
        with_w, with_changes : without effect: the w term and the changes are taken into account always.
        """
        total = np.zeros(self.weight.shape, dtype=np.float32)
        for tile in self.tiles:
            part, pb = tile.window.slices, tile.response()
            inverse = np.divide(1, self.response[part], out=np.zeros_like(pb), where=self.response[part] > 0)
            image = tile.residual(models[0][part] * pb * inverse)
            total[part] += image * pb * inverse * np.float32(1 / tile.noise_jy**2)
        total *= np.float32(self.noise_jy**2)
        return total[None]

    def mean(self, images: Image) -> Image:
        """Return the image of the whole band.

        Parameters
        ----------
        images : shape (1, rows, columns).
        """
        return np.asarray(images[0])

    def psf(self) -> Image:
        """Return the mean of the tiles' point-spread functions, weighted with their sensitivity, shape of a window."""
        weights = np.array([1 / tile.noise_jy**2 for tile in self.tiles])
        psf = np.zeros((self.tiles[0].window.rows, self.tiles[0].window.columns), dtype=np.float32)
        for tile, weight in zip(self.tiles, weights / weights.sum(), strict=True):
            psf += np.float32(weight) * tile.psf()
        return psf
