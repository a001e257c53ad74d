"""Tile images as FITS files: Gaussian sources seen through an Airy disk, with noise of the beam's size.

Nothing of the mosaic stage is used: coordinates are astropy's, the rest is arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy import fft
from scipy.special import j1

FREQ_HZ, BANDWIDTH_HZ, DISH_M = 1.405e9, 187.5e6, 4.65
CADENCE_S, MJD = 309.0, 61093.1
REACH_SIGMAS = 5.0
# Fields of small tile images that cover the primary beam.
SMALL: dict[str, object] = {"size": 192, "cell_arcsec": 64.0, "beam": (300.0, 230.0, 20.0), "rms_jy": 3e-4}


@dataclass(frozen=True)
class Sky:
    """Point sources: positions (deg, ICRS) and fluxes (Jy), shape (sources,)."""

    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    flux_jy: NDArray[np.float64]


@dataclass(frozen=True)
class TileSpec:
    """A tile image: centre, pixels, beam (arcsec, arcsec, deg), noise, and its faults."""

    ra_deg: float
    dec_deg: float
    size: int = 512
    cell_arcsec: float = 24.0
    beam: tuple[float, float, float] = (110.0, 84.0, 20.0)
    rms_jy: float = 3e-4
    scale: float = 1.0
    background_jy: float = 0.0
    shift_arcsec: tuple[float, float] = (0.0, 0.0)
    pb_width: float = 1.0
    seed: int = 1


def random_sky(ra_deg: float, dec_deg: float, width_deg: float, height_deg: float, count: int, seed: int = 3) -> Sky:
    """Sources of counts N(>S) proportional to 1/S from 3 mJy on, in a strip around a position; none within 0.1 deg."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-0.5, 0.5, 4 * count) * width_deg, rng.uniform(-0.5, 0.5, 4 * count) * height_deg
    columns: list[int] = []
    for number in range(x.size):
        if len(columns) < count and all(np.hypot(x[number] - x[columns], y[number] - y[columns]) > 0.1):
            columns.append(number)
    dec = dec_deg + y[columns]
    ra = (ra_deg + x[columns] / np.cos(np.deg2rad(dec))) % 360
    return Sky(ra, dec, 3e-3 / (1 - rng.uniform(0, 0.998, len(columns))))


def strip(ra_deg: float, dec_deg: float, count: int, **fields: object) -> list[TileSpec]:
    """Tiles of a drift scan around a right ascension, with the telescope's cadence."""
    step_deg = CADENCE_S * 15.041 / 3600
    return [
        TileSpec((ra_deg + (number - (count - 1) / 2) * step_deg) % 360, dec_deg, seed=number, **fields)  # type: ignore[arg-type]
        for number in range(count)
    ]


def airy(radius_rad: NDArray[np.float64], width: float = 1.0) -> NDArray[np.float64]:
    """Power response of a dish at the middle of the band."""
    argument = np.maximum(np.pi * DISH_M / width * FREQ_HZ / 299792458.0 * np.sin(radius_rad), 1e-9)
    return np.asarray((2 * j1(argument) / argument) ** 2)


def tile_wcs(spec: TileSpec) -> WCS:
    """Celestial coordinates of a tile image, as the image stage writes them."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---SIN", "DEC--SIN"
    wcs.wcs.crval = spec.ra_deg, spec.dec_deg
    wcs.wcs.crpix = spec.size // 2 + 1, spec.size // 2 + 1
    wcs.wcs.cdelt = -spec.cell_arcsec / 3600, spec.cell_arcsec / 3600
    wcs.wcs.set()
    return wcs


def beam_form(spec: TileSpec) -> NDArray[np.float64]:
    """Matrix Q of the beam exp(-d Q d) in pixels, d to the west and to the north."""
    major, minor, angle = spec.beam
    turn = np.deg2rad(angle)
    axes = np.array([[-np.sin(turn), np.cos(turn)], [np.cos(turn), np.sin(turn)]])
    widths = 4 * np.log(2) * (spec.cell_arcsec / np.array([major, minor])) ** 2
    return np.asarray(axes.T @ np.diag(widths) @ axes)


def make_tile(spec: TileSpec, sky: Sky) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the apparent image and the primary beam that goes with it."""
    wcs, form = tile_wcs(spec), beam_form(spec)
    size, rng = spec.size, np.random.default_rng(spec.seed)
    image = np.zeros((size, size))
    offsets = (np.arange(size) - size // 2) * np.deg2rad(spec.cell_arcsec / 3600)
    radius = np.hypot(offsets[:, None], offsets[None, :])
    pb = airy(np.arcsin(np.clip(radius, 0, 1)))
    dec = sky.dec_deg + spec.shift_arcsec[1] / 3600
    ra = sky.ra_deg + spec.shift_arcsec[0] / 3600 / np.cos(np.deg2rad(dec))
    far = np.cos(np.deg2rad(sky.ra_deg - spec.ra_deg)) < 0.9
    pixels = wcs.wcs_world2pix(np.stack([ra, dec], axis=-1), 0)
    reach = int(np.ceil(REACH_SIGMAS * max(spec.beam[:2]) / 2.3548 / spec.cell_arcsec))
    steps = np.arange(-reach, reach + 1)
    for (px, py), flux, is_far in zip(pixels, sky.flux_jy, far, strict=True):
        column, row = round(float(np.nan_to_num(px, nan=-1e6))), round(float(np.nan_to_num(py, nan=-1e6)))
        if is_far or not (-reach <= column < size + reach and -reach <= row < size + reach):
            continue
        offset = np.hypot(px - size // 2, py - size // 2) * np.deg2rad(spec.cell_arcsec / 3600)
        response = float(airy(np.arcsin(np.clip(offset, 0, 1)), spec.pb_width))
        rows, columns = row + steps, column + steps
        inside_y, inside_x = (rows >= 0) & (rows < size), (columns >= 0) & (columns < size)
        dy, dx = (rows[inside_y] - py)[:, None], (columns[inside_x] - px)[None, :]
        peak = flux * response * spec.scale
        image[np.ix_(rows[inside_y], columns[inside_x])] += peak * np.exp(
            -(form[0, 0] * dx**2 + 2 * form[0, 1] * dx * dy + form[1, 1] * dy**2)
        )
    image += make_noise(spec, rng) + spec.background_jy
    return image.astype(np.float32), pb.astype(np.float32)


def make_noise(spec: TileSpec, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise with the correlation of an image with this beam."""
    size, inverse = spec.size, np.linalg.inv(beam_form(spec))
    v, u = fft.fftfreq(size)[:, None], fft.rfftfreq(size)[None, :]
    transfer = np.exp(-(np.pi**2) / 2 * (inverse[0, 0] * u**2 + 2 * inverse[0, 1] * u * v + inverse[1, 1] * v**2))
    white = fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    noise = fft.irfft2(white * transfer, (size, size))
    return np.asarray(noise * (spec.rms_jy / noise.std()), dtype=np.float32)


def write_tile(path: Path, spec: TileSpec, sky: Sky, number: int = 0, **cards: object) -> Path:
    """Write a tile image and its primary beam, with the keywords of the image stage that a mosaic reads."""
    image, pb = make_tile(spec, sky)
    header = tile_wcs(spec).to_header()
    header.update({"BUNIT": "JY/BEAM", "BMAJ": spec.beam[0] / 3600, "BMIN": spec.beam[1] / 3600, "BPA": spec.beam[2]})
    header.update({"CTYPE3": "FREQ", "CRVAL3": FREQ_HZ, "CRPIX3": 1.0, "CDELT3": BANDWIDTH_HZ, "CUNIT3": "Hz"})
    header.update({"CTYPE4": "STOKES", "CRVAL4": 1.0, "CRPIX4": 1.0, "CDELT4": 1.0})
    mjd = MJD + number * CADENCE_S / 86400
    header.update({"MJD-OBS": mjd, "MJD-AVG": mjd + CADENCE_S / 2 / 86400, "EXPTIME": CADENCE_S, "VERDICT": "good"})
    header.update(cards)
    for target, data in ((path, image), (path.with_name(f"{path.name.removesuffix('.fits')}.pb.fits"), pb)):
        fits.PrimaryHDU(data[None, None].astype(">f4"), header).writeto(target, overwrite=True)
    return path


@dataclass(frozen=True)
class Truth:
    """Fluxes and positions of a mosaic against the truth, for sources above 20 times the noise and weight 0.1.

    Attributes
    ----------
    sources : their number.
    ratio, rms : median of flux over true flux, and their scatter beyond the noise.
    offset_beams : median distance from the true position, minor axes of the beam.
    depth_gain : median noise of true fluxes in the half-power disk of a tile, over the mosaic's.
    flux_ratio, ra_deg, dec_deg : of each source.
    """

    sources: int
    ratio: float
    rms: float
    offset_beams: float
    depth_gain: float
    flux_ratio: NDArray[np.float64]
    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]


def measure_truth(
    mosaic: Path, sky: Sky, tile: tuple[Path, float] | None = None, min_snr: float = 20.0, min_weight: float = 0.1
) -> Truth:
    """Fit the beam of the header to each source of a mosaic, by linear steps from its true position.

    `tile` is a tile image and its noise at the common beam.
    """
    stem = mosaic.name.removesuffix(".fits")
    flux, weight, noise = (
        np.squeeze(fits.getdata(mosaic.with_name(f"{stem}{suffix}")))
        for suffix in (".fits", ".weight.fits", ".rms.fits")
    )
    header = fits.getheader(mosaic)
    wcs, cell = WCS(header).celestial, abs(header["CDELT1"]) * 3600
    spec = TileSpec(0, 0, cell_arcsec=cell, beam=(header["BMAJ"] * 3600, header["BMIN"] * 3600, header["BPA"]))
    form, minor = beam_form(spec), spec.beam[1] / cell
    half = int(np.ceil(spec.beam[0] / cell))
    rows: list[tuple[float, ...]] = []
    pixels = np.nan_to_num(wcs.wcs_world2pix(np.stack([sky.ra_deg, sky.dec_deg], axis=-1), 0), nan=-1e6)
    steps = np.arange(-half, half + 1)
    for number, (x, y) in enumerate(pixels):
        column, row = round(float(x)), round(float(y))
        if not (half <= column < flux.shape[1] - half and half <= row < flux.shape[0] - half):
            continue
        stamp = flux[row - half : row + half + 1, column - half : column + half + 1].astype(np.float64)
        sigma = float(noise[row, column])
        is_deep = weight[row, column] >= min_weight * weight.max() and sky.flux_jy[number] >= min_snr * sigma
        if not is_deep or not np.isfinite(stamp).all():
            continue
        px, py, peak = x, y, sky.flux_jy[number]
        for _ in range(6):
            dx, dy = (steps + column - px)[None, :], (steps + row - py)[:, None]
            model = np.exp(-(form[0, 0] * dx**2 + 2 * form[0, 1] * dx * dy + form[1, 1] * dy**2))
            slopes = [model, 2 * peak * model * (form[0, 0] * dx + form[0, 1] * dy),
                      2 * peak * model * (form[0, 1] * dx + form[1, 1] * dy)]  # fmt: skip
            near = model > 0.3
            design = np.stack([slope[near] for slope in slopes], axis=-1)
            change = np.linalg.lstsq(design, (stamp - peak * model)[near], rcond=None)[0]
            peak, px, py = peak + change[0], px + change[1], py + change[2]
        rows.append((peak / sky.flux_jy[number], sigma / sky.flux_jy[number], np.hypot(px - x, py - y) / minor,
                     sky.ra_deg[number], sky.dec_deg[number]))  # fmt: skip
    ratio, error, offset, ra, dec = np.array(rows).T
    excess = np.mean((ratio - np.median(ratio)) ** 2) - np.mean(error**2)
    return Truth(len(rows), float(np.median(ratio)), float(np.sqrt(max(0.0, excess))), float(np.median(offset)),
                 measure_depth_gain(noise, weight, tile), ratio,
                 ra, dec)  # fmt: skip


def measure_depth_gain(
    noise: NDArray[np.float32], weight: NDArray[np.float32], tile: tuple[Path, float] | None
) -> float:
    """Median noise of true fluxes in the half-power disk of a tile, over the mosaic's where its weight is high."""
    if tile is None:
        return float("nan")
    path, rms_jy = tile
    pb = np.squeeze(fits.getdata(path.with_name(f"{path.name.removesuffix('.fits')}.pb.fits")))
    return float(np.median(rms_jy / pb[pb >= 0.5]) / np.median(noise[weight >= 0.5 * weight.max()]))


def write_strip(directory: Path, specs: Sequence[TileSpec], sky: Sky) -> list[Path]:
    """Write the tile images of a strip, `tile00.fits` and so on, in order of time."""
    return [write_tile(directory / f"tile{number:02d}.fits", spec, sky, number) for number, spec in enumerate(specs)]
