"""Slanted coordinates, in which a nearly flat array needs almost no w term.

The antennas of an array on level ground lie in a plane, so w = a u + b v apart from the terrain. Then
u l + v m + w (n - 1) = u l' + v m' + w' (n - 1), with l' = l + a (n - 1), m' = m + b (n - 1) and the small remainder w'
of w (Perley, in Synthesis Imaging II, ch. 19). In FITS these coordinates are the slant orthographic projection
(Calabretta & Greisen 2002, A&A 395, 1077, sec. 5.1.5). Images are cleaned in them and then resampled to l and m.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

Image = NDArray[np.float32]
Cosines = NDArray[np.float64]

SPLINE_ORDER = 5  # of the interpolation; 1e-3 of a beam of three pixels
MIN_SHIFT_PIXELS = 0.01  # below which an image is cut out and not interpolated
_ITERATIONS = 8  # of l = l' - a (n - 1); each gains a factor of a l


@dataclass(frozen=True)
class Slant:
    """Plane w = a u + b v of an array; level with the uv plane by default."""

    a: float = 0.0
    b: float = 0.0

    @classmethod
    def fit(cls, uvw_m: NDArray[np.float64], weights: NDArray[np.float64]) -> "Slant":
        """Fit the plane by least squares.

        Parameters
        ----------
        uvw_m : shape (rows, 3).
        weights : imaging weights of the rows, shape (rows,).
        """
        root = np.sqrt(weights)[:, None]
        (a, b), *_ = np.linalg.lstsq(uvw_m[:, :2] * root, uvw_m[:, 2] * root[:, 0], rcond=None)
        return cls(float(a), float(b))

    def remainder_m(self, uvw_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return w', the distance of each baseline from the plane along w, shape (rows,).

        Parameters
        ----------
        uvw_m : shape (rows, 3).
        """
        return np.asarray(uvw_m[:, 2] - self.a * uvw_m[:, 0] - self.b * uvw_m[:, 1])

    def to_slanted(self, l: Cosines, m: Cosines) -> tuple[Cosines, Cosines]:  # noqa: E741
        """Return l', m' of direction cosines.

        Parameters
        ----------
        l, m : direction cosines; shapes that broadcast together.
        """
        depth = _depth(l, m)
        return l + self.a * depth, m + self.b * depth

    def to_cosines(self, slanted_l: Cosines, slanted_m: Cosines) -> tuple[Cosines, Cosines]:
        """Return l, m of slanted coordinates.

        Parameters
        ----------
        slanted_l, slanted_m : l' and m'; shapes that broadcast together.
        """
        l, m = slanted_l, slanted_m  # noqa: E741
        for _ in range(_ITERATIONS):
            depth = _depth(l, m)
            l, m = slanted_l - self.a * depth, slanted_m - self.b * depth  # noqa: E741
        return l, m

    def resample(self, image: Image, size: int, pixel_rad: float, threads: int) -> Image:
        """Bring an image on the grid of l' and m' to a grid of l and m.

        Parameters
        ----------
        image : shape (field size, field size), with y to the north and x to the west; sizes are even.
        size : of the new image, at most that of the field.
        pixel_rad : of both.
        threads : number of threads.

        Returns
        -------
        Shape (size, size).
        """
        margin = (image.shape[0] - size) // 2
        offsets: Cosines = (np.arange(size) - size // 2) * np.float64(pixel_rad)
        corner = np.full(1, np.abs(offsets[0]))
        shift = max(abs(self.a), abs(self.b)) * float(np.abs(_depth(corner, corner)).max()) / pixel_rad
        if shift < MIN_SHIFT_PIXELS:
            return image[margin : margin + size, margin : margin + size].copy()
        coefficients = spline_filter(image, SPLINE_ORDER, output=np.float32, mode="nearest")
        centre = image.shape[0] // 2

        def resample_rows(rows: Cosines) -> Image:
            slanted_l, slanted_m = self.to_slanted(-offsets[None, :], rows[:, None])
            y, x = np.broadcast_arrays(slanted_m / pixel_rad + centre, centre - slanted_l / pixel_rad)
            return np.asarray(
                map_coordinates(coefficients, [y, x], np.float32, SPLINE_ORDER, mode="nearest", prefilter=False)
            )

        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(resample_rows, np.array_split(offsets, 8 * threads))))


LEVEL = Slant()


def _depth(l: Cosines, m: Cosines) -> Cosines:  # noqa: E741
    """n - 1 of direction cosines; -1 at and beyond the horizon."""
    squares = np.square(l) + np.square(m)
    return np.asarray(-squares / (1 + np.sqrt(np.maximum(1 - squares, 0))))
