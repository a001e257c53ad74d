"""Visibilities to images and back by ducc0's w-gridder (Arras et al. 2021, A&A 646, A58).

Images are indexed [y, x] as in FITS: y to the north, x to the west, the phase centre at pixel size/2 of both.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import ducc0
import numpy as np
from numpy.typing import NDArray

from contimg.tile.image.gridding.visibilities import Visibilities

ACCURACY = 1e-3  # of an image: its errors go with what is in it, and clean makes it anew of what is left
PREDICTION_ACCURACY = 1e-4  # of a model's visibilities: what they are wrong by stays in the residual

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Gridder:
    """Grids one set of visibilities with imaging weights, shape (rows, channels), to images of one geometry."""

    visibilities: Visibilities
    weights: NDArray[np.float32]
    size: int
    pixel_rad: float
    threads: int

    def dirty(self, stokes_i: NDArray[np.complex64]) -> Image:
        """The dirty image of visibilities of shape (rows, channels), Jy per beam."""
        image = ducc0.wgridder.vis2dirty(
            vis=stokes_i, wgt=self.weights, npix_x=self.size, npix_y=self.size, **self._geometry(ACCURACY)
        )
        image /= np.float32(self.total)
        return np.asarray(image, dtype=np.float32)

    def point_spread(self) -> Image:
        """The image of 1 Jy at the phase centre."""
        return self.dirty(np.ones(self.weights.shape, np.complex64))

    def parts(self, count: int) -> "list[Gridder]":
        """The same for each of so many parts of the band, with the weights that they have in the whole."""
        edges = np.linspace(0, self.visibilities.freqs_hz.size, count + 1).astype(np.int64)
        return [self._part(slice(int(low), int(high))) for low, high in pairwise(edges)] if count > 1 else [self]

    def _part(self, channels: slice) -> "Gridder":
        data = self.visibilities
        data = replace(
            data,
            freqs_hz=data.freqs_hz[channels],
            stokes_i=data.stokes_i[:, channels],
            weights=data.weights[:, channels],
        )
        return replace(self, visibilities=data, weights=self.weights[:, channels])

    def residual(self, model: Image) -> Image:
        """The dirty image of what a model (Jy per pixel) leaves of the visibilities."""
        left = ducc0.wgridder.dirty2vis(dirty=model, **self._geometry(PREDICTION_ACCURACY))
        np.subtract(self.visibilities.stokes_i, left, out=left)
        return self.dirty(left)

    @cached_property
    def total(self) -> float:
        """The sum of the weights."""
        return float(self.weights.sum(dtype=np.float64))

    @cached_property
    def _turned_m(self) -> NDArray[np.float64]:
        # The MS's V = Σ S exp(+2πi f/c (u l + v m + w (n-1))) in the gridder's own sign, its first axis to the
        # north and its second to the west: (u, v, w) -> (-v, u, w).
        u, v, w = self.visibilities.uvw_m.T
        return np.ascontiguousarray(np.stack([-v, u, w], axis=1))

    def _geometry(self, accuracy: float) -> dict[str, object]:
        return {
            "uvw": self._turned_m,
            "freq": self.visibilities.freqs_hz,
            "pixsize_x": self.pixel_rad,
            "pixsize_y": self.pixel_rad,
            "epsilon": accuracy,
            "do_wgridding": True,
            "divide_by_n": False,
            "nthreads": self.threads,
        }


@dataclass(frozen=True)
class Bands:
    """Parts of the band that are imaged one by one and cleaned together; images have the shape (parts, size, size)."""

    parts: tuple[Gridder, ...]

    @classmethod
    def of(cls, gridder: Gridder, count: int) -> "Bands":
        """So many equal parts of a gridder's band; those without any data are left out."""
        return cls(tuple(part for part in gridder.parts(count) if part.total > 0))

    @property
    def shares(self) -> NDArray[np.float64]:
        """The parts' shares of the whole image, shape (parts,)."""
        totals = np.array([part.total for part in self.parts])
        return np.asarray(totals / totals.sum())

    @property
    def edges_hz(self) -> NDArray[np.float64]:
        """Where each part begins and ends, shape (parts, 2)."""
        freqs = [part.visibilities.freqs_hz for part in self.parts]
        half = 0.5 * float(freqs[0][1] - freqs[0][0]) if freqs[0].size > 1 else 0.0
        return np.array([[one[0] - half, one[-1] + half] for one in freqs])

    def dirty(self) -> Image:
        """The dirty images of the data."""
        return np.stack([part.dirty(part.visibilities.stokes_i) for part in self.parts])

    def point_spread(self) -> Image:
        """The images of 1 Jy at the phase centre."""
        return np.stack([part.point_spread() for part in self.parts])

    def residual(self, models: Image) -> Image:
        """What the models of the parts leave."""
        return np.stack([part.residual(model) for part, model in zip(self.parts, models, strict=True)])

    def mean(self, images: Image) -> Image:
        """The image of the whole band."""
        if len(self.parts) == 1:
            return np.asarray(images[0])
        return np.asarray(np.tensordot(self.shares.astype(np.float32), images, axes=1))
