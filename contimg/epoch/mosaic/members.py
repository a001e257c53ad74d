"""Tile images as input of a mosaic: read, checked, and left out with a reason where they cannot be used."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from numpy.typing import NDArray
from scipy.ndimage import zoom

from contimg.common.errors import BadFile, BadInput
from contimg.epoch.mosaic.options import MosaicOptions
from contimg.epoch.products import OmittedMember
from contimg.formats.caltables.caltable_set import STRIP_DEG
from contimg.instrument.coordinates import separation_rad
from contimg.instrument.dsa110 import primary_beam
from contimg.quality.grades import BAD
from contimg.tile.image.result import Beam

Image = NDArray[np.float32]
FREQUENCY_TOLERANCE = 0.05  # of the median: half a band without its other half is within
UNIT = "jy/beam"
COMPANIONS = ".pb.fits", ".pbcor.fits", "-pb.fits"  # files of a tile image that the pattern of a shell includes
_NO_FITS = (OSError, ValueError, TypeError, IndexError, AttributeError, KeyError, fits.VerifyError)


@dataclass(frozen=True)
class TileHeader:
    """What the header of a tile image states.

    Attributes
    ----------
    path, pb_path : the image and its primary beam; None where an Airy disk takes its place.
    header : of the image.
    wcs : its celestial coordinates.
    shape : rows and columns.
    beam : synthesized beam; the angle is from north at the centre.
    cell_arcsec : size of a pixel.
    freq_hz, bandwidth_hz : NaN where the header has none.
    mjd, exposure_s : middle and length of the observation; NaN where the header has none.
    ra_deg, dec_deg : centre of the middle pixel, ICRS.
    """

    path: Path
    pb_path: Path | None
    header: fits.Header
    wcs: WCS
    shape: tuple[int, int]
    beam: Beam
    cell_arcsec: float
    freq_hz: float
    bandwidth_hz: float
    mjd: float
    exposure_s: float
    ra_deg: float
    dec_deg: float


def select_tiles(paths: Iterable[Path], options: MosaicOptions) -> tuple[list[TileHeader], list[OmittedMember]]:
    """Read the headers of tile images and leave out those that cannot be used.

    Parameters
    ----------
    paths : in any order; primary beams and corrected images among them are ignored.
    options : of the stage.

    Returns
    -------
    The usable ones, in order of time and name, and the others with the reasons.
    """
    tiles: list[TileHeader] = []
    omitted: list[OmittedMember] = []
    for path in sorted(path for path in set(paths) if not path.name.endswith(COMPANIONS)):
        try:
            tiles.append(read_tile_header(path, options))
        except BadFile as error:
            omitted.append(OmittedMember(fits_path=path, reason=error.reason))
    tiles, outliers = split_strips(tiles)
    return tiles, omitted + outliers


def split_strips(tiles: Sequence[TileHeader]) -> tuple[list[TileHeader], list[OmittedMember]]:
    """Leave out the tiles whose declination or frequency differs from that of the others.

    Parameters
    ----------
    tiles : in any order.

    Returns
    -------
    The tiles of one strip, in order of time and name, and the others with the reasons.
    """
    declinations_deg = [tile.dec_deg for tile in tiles]
    tiles, of_other_strips = _split_outliers(tiles, declinations_deg, "declination", "deg", lambda _: STRIP_DEG)
    freqs_mhz = [tile.freq_hz / 1e6 for tile in tiles]
    tiles, of_other_bands = _split_outliers(tiles, freqs_mhz, "frequency", "MHz", lambda mhz: FREQUENCY_TOLERANCE * mhz)
    tiles.sort(key=lambda tile: (tile.mjd if np.isfinite(tile.mjd) else np.inf, tile.path.name))
    return tiles, of_other_strips + of_other_bands


def _split_outliers(
    tiles: Sequence[TileHeader], values: Sequence[float], name: str, unit: str, limit_of: Callable[[float], float]
) -> tuple[list[TileHeader], list[OmittedMember]]:
    """Tiles with a value near the median, and the others with the reason."""
    if not tiles:
        return [], []
    # The lower median is a value of a tile: of two strips with as many tiles one is used, and never neither.
    median = sorted(values)[(len(values) - 1) // 2]
    limit = limit_of(median)
    is_near = [abs(value - median) <= limit for value in values]
    reason = f"{unit} differs from that of the other tile images, {median:.2f} {unit} (limit {limit:.2g} {unit})"
    return [tile for tile, near in zip(tiles, is_near, strict=True) if near], [
        OmittedMember(fits_path=tile.path, reason=f"{name} {value:.2f} {reason}")
        for tile, value, near in zip(tiles, values, is_near, strict=True)
        if not near
    ]


def read_tile_header(path: Path, options: MosaicOptions) -> TileHeader:
    """Read and check the header of a tile image.

    Parameters
    ----------
    path : the FITS image.
    options : of the stage.

    Raises
    ------
    BadFile : the image cannot be used; the reason is without the path.
    """
    header = _read_header(path)
    if str(header.get("VERDICT", "")).strip() == BAD:
        raise BadFile(path, "graded bad")
    unit = str(header.get("BUNIT", "")).replace(" ", "").lower()
    if unit != UNIT:
        raise BadFile(path, f"unit {header.get('BUNIT', 'missing')!s}; give an image in Jy/beam")
    axes = [int(header[f"NAXIS{number}"]) for number in range(1, int(header["NAXIS"]) + 1)]
    if len(axes) < 2 or any(length != 1 for length in axes[2:]):
        raise BadFile(path, f"axes {axes}; give an image of one frequency and Stokes I")
    beam = [header.get(keyword) for keyword in ("BMAJ", "BMIN", "BPA")]
    if not all(isinstance(value, (int, float)) for value in beam) or not beam[0] >= beam[1] > 0:
        raise BadFile(path, "its header has no synthesized beam (BMAJ, BMIN, BPA); image the tile again")
    wcs = read_celestial(path, header)
    rows, columns = axes[1], axes[0]
    ra_deg, dec_deg = (float(angle) for angle in wcs.wcs_pix2world((columns - 1) / 2, (rows - 1) / 2, 0))
    if not np.isfinite([ra_deg, dec_deg]).all():
        raise BadFile(path, "its middle pixel has no celestial coordinates")
    start, middle = (float(header.get(keyword) or np.nan) for keyword in ("MJD-OBS", "MJD-AVG"))
    exposure_s = float(header.get("EXPTIME") or np.nan)
    if np.isnan(middle):
        middle = start + (0.0 if np.isnan(exposure_s) else exposure_s / 2 / 86400)
    freq_hz, bandwidth_hz = _read_frequency(header)
    tile = TileHeader(
        path=path, pb_path=None, header=header, wcs=wcs, shape=(rows, columns),
        beam=Beam(beam[0] * 3600, beam[1] * 3600, beam[2]),
        cell_arcsec=float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix)))) * 3600,
        freq_hz=freq_hz, bandwidth_hz=bandwidth_hz, mjd=middle, exposure_s=exposure_s, ra_deg=ra_deg % 360,
        dec_deg=dec_deg,
    )  # fmt: skip
    return _with_primary_beam(tile, options)


def read_celestial(path: Path, header: fits.Header) -> WCS:
    """Return the celestial coordinates of a header.

    Parameters
    ----------
    path : of the image, for messages.
    header : of the image.

    Raises
    ------
    BadFile : there are none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(header).celestial
    except _NO_FITS as error:
        raise BadFile(path, f"its coordinates cannot be read ({_on_one_line(error)})") from None
    if wcs.naxis != 2 or not wcs.has_celestial:
        raise BadFile(path, "its header has no celestial coordinates")
    return wcs


def read_pixels(tile: TileHeader, options: MosaicOptions) -> tuple[Image, Image]:
    """Read a tile image and its primary beam; both are 0 where either cannot be used.

    Parameters
    ----------
    tile : its header.
    options : of the stage.

    Returns
    -------
    The apparent image, Jy per beam, and the primary beam, 0 where it is below the cut-off; shape (rows, columns).

    Raises
    ------
    BadFile : the image is blank, or a file cannot be read, also when it was deleted meanwhile.
    """
    image = _read_plane(tile.path)
    pb = _airy_disk(tile, options.dish_diameter_m) if tile.pb_path is None else _read_plane(tile.pb_path)
    if image.shape != pb.shape:
        raise BadFile(
            tile.path, f"its primary beam {tile.pb_path} has {pb.shape[1]} x {pb.shape[0]} pixels, the image "
            f"{image.shape[1]} x {image.shape[0]}"
        )  # fmt: skip
    blank = ~np.isfinite(image)
    image[blank] = 0.0
    with np.errstate(invalid="ignore"):
        blank |= ~(pb >= options.pb_cutoff)
    pb[blank] = 0.0
    if not image.any():
        raise BadFile(tile.path, "every pixel is blank or zero")
    if blank.all():
        raise BadFile(tile.path, f"its primary beam {tile.pb_path} is nowhere {options.pb_cutoff:g} or more")
    return image, pb


def _on_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _read_header(path: Path) -> fits.Header:
    try:
        with fits.open(path, memmap=True) as units:
            return units[0].header.copy()
    except FileNotFoundError:
        raise BadFile(path, "does not exist") from None
    except _NO_FITS as error:
        raise BadFile(path, f"not a readable FITS image ({_on_one_line(error)})") from None


def _read_plane(path: Path) -> Image:
    try:
        with fits.open(path, memmap=False) as units:
            data = units[0].data
            return np.array(data.reshape(data.shape[-2:]), dtype=np.float32)
    except FileNotFoundError:
        raise BadFile(path, "was deleted meanwhile") from None
    except _NO_FITS as error:
        raise BadFile(path, f"not a readable FITS image ({_on_one_line(error)})") from None


def _read_frequency(header: fits.Header) -> tuple[float, float]:
    """Frequency and bandwidth, Hz; NaN where the header has none."""
    for number in range(3, int(header["NAXIS"]) + 1):
        if str(header.get(f"CTYPE{number}", "")).startswith("FREQ"):
            step = float(header.get(f"CDELT{number}", np.nan))
            offset = 1 - float(header.get(f"CRPIX{number}", 1))
            return float(header[f"CRVAL{number}"]) + offset * step, abs(step)
    for keyword in ("RESTFRQ", "RESTFREQ", "FREQ"):
        if isinstance(header.get(keyword), (int, float)):
            return float(header[keyword]), float("nan")
    return float("nan"), float("nan")


def _with_primary_beam(tile: TileHeader, options: MosaicOptions) -> TileHeader:
    if np.isnan(tile.freq_hz):
        raise BadFile(tile.path, "its header has no frequency (an axis FREQ, or RESTFRQ)")
    stem = tile.path.name.removesuffix(".fits")
    names = [f"{stem}.pb.fits", f"{stem.removesuffix('.image')}.pb.fits", f"{stem.removesuffix('-image')}-pb.fits"]
    pb_path = next((path for name in names if (path := tile.path.with_name(name)).exists()), None)
    if pb_path is not None:
        return replace(tile, pb_path=pb_path)
    if not options.dish_diameter_m:
        raise BadFile(
            tile.path, f"its primary beam {names[0]} does not exist; image the tile again, or give the diameter of "
            "the dishes (--dish-diameter-m)"
        )  # fmt: skip
    return tile


def _airy_disk(tile: TileHeader, dish_diameter_m: float) -> Image:
    """Airy disk around the middle pixel; exact on every 16th pixel, and linear between."""
    rows, columns = tile.shape
    y, x = (np.linspace(0, length - 1, max(2, length // 16)) for length in (rows, columns))
    ra, dec = tile.wcs.wcs_pix2world(*(axis.ravel() for axis in np.meshgrid(x, y)), 0)
    positions = np.deg2rad(np.stack([ra, dec], axis=-1))
    centre = np.deg2rad([tile.ra_deg, tile.dec_deg])
    coarse = primary_beam(separation_rad(positions, centre), tile.freq_hz, dish_diameter_m, None)
    coarse = np.nan_to_num(coarse.reshape(y.size, x.size))
    factors = rows / y.size, columns / x.size
    return np.asarray(zoom(coarse, factors, order=1, grid_mode=False), dtype=np.float32)


def refuse_none(
    tiles: Sequence[TileHeader], omitted: Sequence[OmittedMember], noun: str = "tile image"
) -> None:  # fmt: skip
    """Raise BadInput where no tile is left.

    Parameters
    ----------
    tiles : the usable ones.
    omitted : the others.
    noun : what a tile is given as, for the message.
    """
    if not tiles:
        reasons = "; ".join(f"{member.fits_path}: {member.reason}" for member in omitted[:3])
        more = f"; and {len(omitted) - 3} more" if len(omitted) > 3 else ""
        raise BadInput(f"no {noun} can be used: {reasons or 'none is given'}{more}")
