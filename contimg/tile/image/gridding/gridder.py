"""Gridding of visibilities to images and back with ducc0's w-gridder (Arras et al. 2021, A&A 646, A58).

Images are indexed [y, x] as in FITS: y to the north, x to the west, the phase centre at pixel size/2 of both.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import ducc0
import numpy as np
from numpy.typing import NDArray

from contimg.tile.image.gridding.visibilities import Visibilities

ACCURACY = 1e-3  # of a dirty image, relative to its contents; each major cycle of clean grids the residual again
PREDICTION_ACCURACY = 1e-4  # of predicted visibilities, whose errors stay in the residual

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
    """

    visibilities: Visibilities
    weights: NDArray[np.float32]
    size: int
    pixel_rad: float
    threads: int

    def dirty(self, stokes_i: NDArray[np.complex64]) -> Image:
        """Return the dirty image of visibilities, Jy per beam.

        Parameters
        ----------
        stokes_i : on the uv coordinates of `visibilities`, shape (rows, channels), Jy.
        """
        image = ducc0.wgridder.vis2dirty(
            vis=stokes_i, wgt=self.weights, npix_x=self.size, npix_y=self.size, **self._geometry(ACCURACY)
        )
        image /= np.float32(self.total_weight)
        return np.asarray(image, dtype=np.float32)

    def psf(self) -> Image:
        """Return the point-spread function: the image of 1 Jy at the phase centre."""
        return self.dirty(np.ones(self.weights.shape, np.complex64))

    def residual(self, model: Image) -> Image:
        """Return the dirty image of the visibilities minus those of a model (Jy per pixel), Jy per beam.

        Parameters
        ----------
        model : shape (size, size).
        """
        residual = self.predict(model)
        np.subtract(self.visibilities.stokes_i, residual, out=residual)
        return self.dirty(residual)

    def predict(self, model: Image) -> NDArray[np.complex64]:
        """Return the visibilities of a model, Jy, shape (rows, channels).

        Parameters
        ----------
        model : Jy per pixel, shape (size, size).
        """
        return np.asarray(ducc0.wgridder.dirty2vis(dirty=model, **self._geometry(PREDICTION_ACCURACY)))

    def select_rows(self, rows: NDArray[np.int64]) -> "Gridder":
        """Return the gridder of some rows, with the weights that they have among all.

        Parameters
        ----------
        rows : their numbers.
        """
        data = self.visibilities
        selected = {
            name: getattr(data, name)[rows] for name in ("uvw_m", "stokes_i", "weights", "row_weights", "times")
        }
        return replace(self, visibilities=replace(data, **selected), weights=self.weights[rows])

    def part(self, channels: slice) -> "Gridder":
        """Return the gridder of a part of the band, with the weights that its channels have in the whole band.

        Parameters
        ----------
        channels : the part.
        """
        data = self.visibilities
        stokes_i, weights = data.stokes_i[:, channels], data.weights[:, channels]
        part = replace(data, freqs_hz=data.freqs_hz[channels], stokes_i=stokes_i, weights=weights)
        return replace(self, visibilities=part, weights=self.weights[:, channels])

    @cached_property
    def total_weight(self) -> float:
        """Sum of the imaging weights."""
        return float(self.weights.sum(dtype=np.float64))

    @cached_property
    def _ducc_uvw_m(self) -> NDArray[np.float64]:
        # The MS's V = Σ S exp(+2πi f/c (u l + v m + w (n-1))) in ducc0's sign, with its first axis to the north and
        # its second to the west: (u, v, w) -> (-v, u, w).
        u, v, w = self.visibilities.uvw_m.T
        return np.ascontiguousarray(np.stack([-v, u, w], axis=1))

    def _geometry(self, accuracy: float) -> dict[str, object]:
        return {
            "uvw": self._ducc_uvw_m, "freq": self.visibilities.freqs_hz, "pixsize_x": self.pixel_rad,
            "pixsize_y": self.pixel_rad, "epsilon": accuracy, "do_wgridding": True, "divide_by_n": False,
            "nthreads": self.threads,
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

    def dirty(self) -> Image:
        """Return the dirty images of the data."""
        return np.stack([part.dirty(part.visibilities.stokes_i) for part in self.gridders])

    def psf(self) -> Image:
        """Return the point-spread functions."""
        return np.stack([part.psf() for part in self.gridders])

    def residual(self, models: Image) -> Image:
        """Return the residuals that the models of the parts leave.

        Parameters
        ----------
        models : Jy per pixel, shape (parts, size, size).

        Returns
        -------
        Jy per beam, shape (parts, size, size).
        """
        return np.stack([part.residual(model) for part, model in zip(self.gridders, models, strict=True)])

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
