"""Visibilities to images and back by ducc0's w-gridder (Arras et al. 2021, A&A 646, A58).

Images are indexed [y, x] as in FITS: y to the north, x to the west, the phase centre at pixel size/2 of both.
"""

from dataclasses import dataclass
from functools import cached_property

import ducc0
import numpy as np
from numpy.typing import NDArray

from contimg.imaging.visibilities import Visibilities

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
        image /= np.float32(self._total)
        return np.asarray(image, dtype=np.float32)

    def point_spread(self) -> Image:
        """The image of 1 Jy at the phase centre."""
        return self.dirty(np.ones(self.weights.shape, np.complex64))

    def residual(self, model: Image) -> Image:
        """The dirty image of what a model (Jy per pixel) leaves of the visibilities."""
        left = ducc0.wgridder.dirty2vis(dirty=model, **self._geometry(PREDICTION_ACCURACY))
        np.subtract(self.visibilities.stokes_i, left, out=left)
        return self.dirty(left)

    @cached_property
    def _total(self) -> float:
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
