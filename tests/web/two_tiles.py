"""Two tiles observed one after the other across right ascension 0h, with their products: what the viewer shows."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from observing_night import Night
from scipy.ndimage import gaussian_filter

from contimg.tile.products import TileImage

SIDE = 1800
CELL_DEG = 6 / 3600
CENTRES = ((359.5, 38.5), (0.791, 38.5))  # 309 s of drift
SOURCE = 0.25, 38.6  # in both
BEAM_PIXELS = 2.0  # standard deviation
RMS_JY, PEAK_JY = 0.001, 0.4
CUT = 0.05  # of the primary beam


@dataclass(frozen=True)
class Sky:
    """Sources: right ascension and declination (degrees), and true flux (Jy)."""

    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    flux_jy: NDArray[np.float64]


def make_sky(count: int = 40) -> Sky:
    rng = np.random.default_rng(5)
    ra, dec = 357.8 + 4.8 * rng.uniform(size=count), 37.3 + 2.4 * rng.uniform(size=count)
    ra[0], dec[0] = SOURCE[0] + 360, SOURCE[1]
    flux = 0.02 + 0.1 * rng.uniform(size=count)
    flux[0] = PEAK_JY
    return Sky(ra % 360, dec, flux)


def make_header(ra_deg: float, dec_deg: float, side: int = SIDE) -> fits.Header:
    """The keywords of the coordinates, as the image stage writes them."""
    header = fits.Header()
    for axis, kind, value, step in ((1, "RA---SIN", ra_deg, -CELL_DEG), (2, "DEC--SIN", dec_deg, CELL_DEG)):
        header.update({f"CTYPE{axis}": kind, f"CRPIX{axis}": side // 2 + 1.0, f"CRVAL{axis}": value})
        header.update({f"CDELT{axis}": step, f"CUNIT{axis}": "deg"})
    return header


def make_layers(sky: Sky, header: fits.Header, seed: int) -> dict[str, NDArray[np.float32]]:
    """Apparent image with noise as wide as the beam, primary beam, and the first over the second."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((SIDE, SIDE)), BEAM_PIXELS)
    image = RMS_JY * noise / noise.std()
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    beam = np.exp(-(np.hypot(x, y) ** 2) / (2 * (SIDE / 4.5) ** 2))
    positions = WCS(header).wcs_world2pix(np.column_stack([sky.ra_deg, sky.dec_deg]), 0)
    for (x0, y0), flux in zip(positions, sky.flux_jy, strict=True):
        if 20 < x0 < SIDE - 20 and 20 < y0 < SIDE - 20:
            rows, columns = (np.arange(int(middle) - 15, int(middle) + 16) for middle in (y0, x0))
            shape = np.exp(-((rows[:, None] - y0) ** 2 + (columns - x0) ** 2) / (2 * BEAM_PIXELS**2))
            image[np.ix_(rows, columns)] += flux * beam[round(y0), round(x0)] * shape
    corrected = np.where(beam >= CUT, image / beam, np.nan)
    layers = {".fits": image, ".pb.fits": beam, ".pbcor.fits": corrected}
    return {suffix: layer.astype(np.float32) for suffix, layer in layers.items()}


class TwoTiles(Night):
    """A night with two tiles; `layers` are the pixels of each by the end of the file's name."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sky = make_sky()
        self.layers: list[dict[str, NDArray[np.float32]]] = []

    def _image(self, group: str, mjd: float, peak_jy: float, calibrated: str | None, seed: int) -> TileImage:
        ra, dec = CENTRES[seed]
        header = make_header(ra, dec)
        self.layers.append(make_layers(self.sky, header, seed))
        image = super()._image(group, mjd, peak_jy, calibrated, seed)
        for suffix, layer in self.layers[-1].items():
            path = Path(f"{str(image.fits_path).removesuffix('.fits')}{suffix}")
            fits.PrimaryHDU(layer[None, None], header).writeto(path, overwrite=True)
        source = {
            "name": "J0001+3836",
            "ra_deg": SOURCE[0],
            "dec_deg": SOURCE[1],
            "flux_jy": 0.2,
            "true_flux_jy": PEAK_JY,
        }
        return replace(
            image, ra_deg=ra, dec_deg=dec, pixels=SIDE, cell_arcsec=CELL_DEG * 3600, rms_jy=RMS_JY, peak_jy=0.3,
            sources=(source, {"name": "no position", "flux_jy": 1.0}),
        )  # fmt: skip
