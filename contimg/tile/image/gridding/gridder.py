"""Gridding of visibilities to images and back with ducc0's w-gridder (Arras et al. 2021, A&A 646, A58).

Images are indexed [y, x] as in FITS: y to the north, x to the west, the phase centre at pixel size/2 of both.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import ducc0
import numpy as np
from numpy.typing import NDArray

from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.modes import Mode
from contimg.tile.image.gridding.slant import LEVEL, Slant
from contimg.tile.image.gridding.visibilities import Visibilities

ACCURACY = 1e-3  # of a dirty image, relative to its contents; each major cycle of clean grids the residual again
PREDICTION_ACCURACY = 1e-4  # of predicted visibilities, whose errors stay in the residual
MAX_PHASE_RAD = 0.3  # rms at the corner of the field, below which the w term can be left out of early cycles

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Gridder:
    """Grids one set of weighted visibilities to images of one geometry.

    Attributes
    ----------
    visibilities : the data.
    weights : imaging weights, shape (rows, channels).
    size : pixels on a side.
    pixel_rad : size of a pixel, radians.
    threads : threads of ducc0.
    slant : of the images' coordinates.
    modes : changes of the sky's apparent fluxes within the tile, for predicted visibilities.
    """

    visibilities: Visibilities
    weights: NDArray[np.float32]
    size: int
    pixel_rad: float
    threads: int
    slant: Slant = LEVEL
    modes: tuple[Mode, ...] = ()

    def dirty(self, stokes_i: NDArray[np.complex64], exact: bool = True) -> Image:
        """Return the dirty image of visibilities, Jy per beam.

        Parameters
        ----------
        stokes_i : on the uv coordinates of `visibilities`, shape (rows, channels), Jy.
        exact : whether to take the w term into account; without it, a fifth of the time is needed.
        """
        image = ducc0.wgridder.vis2dirty(
            vis=stokes_i, wgt=self.weights, npix_x=self.size, npix_y=self.size, **self._geometry(ACCURACY, exact)
        )
        image /= np.float32(self.total_weight)
        return np.asarray(image, dtype=np.float32)

    def psf(self) -> Image:
        """Return the point-spread function: the image of 1 Jy at the phase centre."""
        return self.dirty(np.ones(self.weights.shape, np.complex64), exact=False)

    def residual(self, model: Image) -> Image:
        """Return the dirty image of the visibilities minus those of a model (Jy per pixel), Jy per beam.

        Parameters
        ----------
        model : shape (size, size).
        """
        return self.dirty(self.visibilities.stokes_i - self.predict(model))

    def predict(self, model: Image) -> NDArray[np.complex64]:
        """Return the visibilities of a model, Jy, shape (rows, channels).

        Parameters
        ----------
        model : Jy per pixel, shape (size, size).
        """
        predicted = self.predict_constant(model)
        for change in self.predict_changes(model):
            predicted += change
        return predicted

    def predict_constant(
        self, model: Image, exact: bool = True, accuracy: float = PREDICTION_ACCURACY
    ) -> NDArray[np.complex64]:
        """Return the visibilities of a model whose apparent fluxes do not change, Jy, shape (rows, channels).

        Parameters
        ----------
        model : Jy per pixel, shape (size, size).
        exact : whether to take the w term into account.
        accuracy : relative to the model.
        """
        return np.asarray(ducc0.wgridder.dirty2vis(dirty=model, **self._geometry(accuracy, exact)))

    def predict_changes(self, model: Image) -> Iterator[NDArray[np.complex64]]:
        """Yield what each mode adds to the visibilities of a model, without the w term, Jy, shape (rows, channels).

        Parameters
        ----------
        model : Jy per pixel, shape (size, size).
        """
        for mode in self.modes:
            change = self.predict_constant(model * mode.factor, exact=False, accuracy=ACCURACY)
            change *= mode.rows @ mode.channels
            yield change

    def select_rows(self, rows: NDArray[np.int64]) -> "Gridder":
        """Return the gridder of some rows, with the weights that they have among all and no modes.

        Parameters
        ----------
        rows : their numbers.
        """
        data = self.visibilities
        selected = {
            name: getattr(data, name)[rows] for name in ("uvw_m", "stokes_i", "weights", "row_weights", "times")
        }
        return replace(self, visibilities=replace(data, **selected), weights=self.weights[rows], modes=())

    def part(self, channels: slice) -> "Gridder":
        """Return the gridder of a part of the band, with its channels' weights in the whole band and no modes.

        Parameters
        ----------
        channels : the part.
        """
        data = self.visibilities
        stokes_i, weights = data.stokes_i[:, channels], data.weights[:, channels]
        part = replace(data, freqs_hz=data.freqs_hz[channels], stokes_i=stokes_i, weights=weights)
        return replace(self, visibilities=part, weights=self.weights[:, channels], modes=())

    @cached_property
    def total_weight(self) -> float:
        """Sum of the imaging weights."""
        return float(self.weights.sum(dtype=np.float64))

    @cached_property
    def _ducc_uvw_m(self) -> NDArray[np.float64]:
        # The MS's V = Σ S exp(+2πi f/c (u l + v m + w (n-1))) in ducc0's sign, with its first axis to the north and
        # its second to the west: (u, v, w) -> (-v, u, w). ducc0 takes n of l', m' for that of l, m, which differ by
        # a l w' (n - 1) in phase: nothing.
        u, v, _ = self.visibilities.uvw_m.T
        return np.ascontiguousarray(np.stack([-v, u, self.slant.remainder_m(self.visibilities.uvw_m)], axis=1))

    @cached_property
    def is_flat(self) -> bool:
        """Whether the array is flat enough for early major cycles to leave out the w term."""
        weights = self.weights.sum(axis=1, dtype=np.float64)
        rms_m = np.sqrt(np.average(self.slant.remainder_m(self.visibilities.uvw_m) ** 2, weights=weights))
        depth = (self.size / 2 * self.pixel_rad) ** 2  # 1 - n at a corner
        return bool(2 * np.pi * rms_m * self.visibilities.freqs_hz.max() / C_M_S * depth < MAX_PHASE_RAD)

    def _geometry(self, accuracy: float, exact: bool) -> dict[str, object]:
        return {
            "uvw": self._ducc_uvw_m, "freq": self.visibilities.freqs_hz, "pixsize_x": self.pixel_rad,
            "pixsize_y": self.pixel_rad, "epsilon": accuracy, "do_wgridding": exact or not self.is_flat,
            "divide_by_n": False, "nthreads": self.threads,
        }  # fmt: skip


@dataclass(frozen=True)
class BandParts:
    """Parts of the band that are imaged separately and cleaned together; images have the shape (parts, size, size)."""

    gridders: tuple[Gridder, ...]

    @classmethod
    def of(cls, gridder: Gridder, count: int) -> "BandParts":
        """Split a gridder's band into parts by frequency, ascending; parts without data are left out.

        Parameters
        ----------
        gridder : of the whole band.
        count : number of parts; where it does not divide the number of channels, parts differ by one channel.
        """
        edges = np.linspace(0, gridder.visibilities.freqs_hz.size, count + 1).astype(np.int64)
        parts = (gridder.part(slice(int(low), int(high))) for low, high in pairwise(edges)) if count > 1 else (gridder,)
        return cls(tuple(part for part in parts if part.total_weight > 0))

    @property
    def pixel_rad(self) -> float:
        """Size of a pixel, radians."""
        return self.gridders[0].pixel_rad

    @property
    def weight_fractions(self) -> NDArray[np.float64]:
        """Fraction of the total weight in each part, shape (parts,)."""
        totals = np.array([part.total_weight for part in self.gridders])
        return np.asarray(totals / totals.sum())

    @property
    def edges_hz(self) -> NDArray[np.float64]:
        """Lower and upper edge of each part, shape (parts, 2)."""
        freqs_hz = [part.visibilities.freqs_hz for part in self.gridders]
        half_hz = 0.5 * float(freqs_hz[0][1] - freqs_hz[0][0]) if freqs_hz[0].size > 1 else 0.0
        return np.array([[part_hz[0] - half_hz, part_hz[-1] + half_hz] for part_hz in freqs_hz])

    def psf(self) -> Image:
        """Return the point-spread functions."""
        return np.stack([part.psf() for part in self.gridders])

    def mean(self, images: Image) -> Image:
        """Return the weighted mean of the parts' images: the image of the whole band.

        Parameters
        ----------
        images : shape (parts, size, size).

        Returns
        -------
        Shape (size, size), in the unit of `images`.
        """
        if len(self.gridders) == 1:
            return np.asarray(images[0])
        return np.asarray(np.tensordot(self.weight_fractions.astype(np.float32), images, axes=1))
