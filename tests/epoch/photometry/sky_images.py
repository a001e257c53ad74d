"""Images of point sources in noise that was convolved with the beam, for tests of photometry.

Nothing of the measure stage is used: coordinates are astropy's, the rest is arithmetic.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.signal import oaconvolve

RMS_JY = 2e-4
BEAM = 36.0, 22.0, 35.0  # arcsec, arcsec, deg


@dataclass(frozen=True)
class SkyImage:
    """Geometry of an image: shape (rows, columns), coordinates and beam."""

    shape: tuple[int, int] = (600, 800)
    centre_deg: tuple[float, float] = (150.0, 30.0)
    cell_arcsec: float = 6.0
    beam: tuple[float, float, float] = BEAM
    projection: str = "SIN"

    @property
    def wcs(self) -> WCS:
        """Celestial coordinates with the centre in the middle."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = f"RA---{self.projection}", f"DEC--{self.projection}"
        wcs.wcs.crval = self.centre_deg
        wcs.wcs.crpix = self.shape[1] / 2, self.shape[0] / 2
        wcs.wcs.cdelt = -self.cell_arcsec / 3600, self.cell_arcsec / 3600
        wcs.wcs.set()
        return wcs

    def beam_at(self, dx: NDArray[np.float64], dy: NDArray[np.float64]) -> NDArray[np.float64]:
        """The beam at offsets in pixels, x to the west."""
        major, minor, angle = self.beam[0], self.beam[1], np.deg2rad(self.beam[2])
        east, north = -dx * self.cell_arcsec, dy * self.cell_arcsec
        along = east * np.sin(angle) + north * np.cos(angle)
        across = east * np.cos(angle) - north * np.sin(angle)
        return np.asarray(2.0 ** (-4 * ((along / major) ** 2 + (across / minor) ** 2)))

    def noise(self, seed: int = 1) -> NDArray[np.float64]:
        """White noise convolved with the beam, of the rms RMS_JY."""
        reach = int(np.ceil(1.6 * self.beam[0] / self.cell_arcsec))
        steps = np.arange(-reach, reach + 1, dtype=np.float64)
        kernel = self.beam_at(steps[None, :], steps[:, None])
        white = np.random.default_rng(seed).standard_normal([length + 2 * reach for length in self.shape])
        return np.asarray(oaconvolve(white, kernel, mode="valid") * RMS_JY / np.sqrt(np.sum(kernel**2)))

    def sources(self, pixels: NDArray[np.float64], flux_jy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Point sources at pixels (x, y), shape (count, 2)."""
        image = np.zeros(self.shape)
        reach = int(np.ceil(2.0 * self.beam[0] / self.cell_arcsec))
        for (x, y), flux in zip(pixels, flux_jy, strict=True):
            low_x, low_y = (max(0, round(float(value)) - reach) for value in (x, y))
            columns = np.arange(low_x, max(low_x, min(self.shape[1], round(float(x)) + reach + 1)), dtype=np.float64)
            rows = np.arange(low_y, max(low_y, min(self.shape[0], round(float(y)) + reach + 1)), dtype=np.float64)
            part = slice(low_y, low_y + rows.size), slice(low_x, low_x + columns.size)
            image[part] += flux * self.beam_at(columns[None, :] - x, rows[:, None] - y)
        return image

    def header(self) -> fits.Header:
        """Header of an image in Jy/beam."""
        header = self.wcs.to_header()
        header.update({"BUNIT": "JY/BEAM", "BMAJ": self.beam[0] / 3600, "BMIN": self.beam[1] / 3600})
        header.update({"BPA": self.beam[2], "RESTFRQ": 1.405e9, "MJD-OBS": 61093.1, "EXPTIME": 309.0})
        return header

    def write(self, path: Path, image: NDArray[np.float64], **cards: object) -> Path:
        """Write an image, with further cards; returns the path."""
        header = self.header()
        header.update(cards)
        fits.writeto(path, image.astype(">f4"), header, overwrite=True)
        return path


def scattered_pixels(shape: tuple[int, int], step: int, seed: int = 5) -> NDArray[np.float64]:
    """Positions on a lattice of a step, each moved by a part of a pixel, in random order; x and y."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[step : shape[0] - step + 1 : step, step : shape[1] - step + 1 : step]
    pixels = np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float64)
    return np.asarray(rng.permutation(pixels) + rng.uniform(-0.5, 0.5, pixels.shape))
