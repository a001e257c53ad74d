"""Positions to measure: of a built catalogue, a table, or arrays."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray

from contimg.common.errors import BadInput
from contimg.instrument.coordinates import separation_rad
from contimg.sky.catalogue import Catalogue, CatalogueSources
from contimg.sky.catalogue.catalogue import SUFFIX
from contimg.sky.catalogue.tables import open_table, readable

_NAMES = ("name", "source_id", "id")


@dataclass(frozen=True)
class Positions:
    """Positions on the sky; arrays of shape (positions,).

    Attributes
    ----------
    source_id : names, strings; empty where a position has none.
    ra_deg, dec_deg : ICRS.
    """

    source_id: NDArray[np.str_]
    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]

    @classmethod
    def of(cls, ra_deg: ArrayLike, dec_deg: ArrayLike, source_id: ArrayLike | None = None) -> Self:
        """Make positions of arrays, or of numbers.

        Parameters
        ----------
        ra_deg, dec_deg : ICRS; right ascension of any turn.
        source_id : names; None for empty ones.

        Raises
        ------
        BadInput : the arrays differ in length, or a value is no position.
        """
        ra, dec = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (ra_deg, dec_deg))
        names = np.full(ra.shape, "") if source_id is None else np.atleast_1d(np.asarray(source_id, dtype=np.str_))
        if not ra.shape == dec.shape == names.shape or ra.ndim != 1:
            raise BadInput(f"positions: {ra.size} right ascensions, {dec.size} declinations, {names.size} names")
        wrong = np.flatnonzero(~np.isfinite(ra) | ~(np.abs(dec) <= 90))
        if wrong.size:
            row = int(wrong[0])
            raise BadInput(
                f"position {row + 1}: ra_deg {ra[row]:g}, dec_deg {dec[row]:g}; give degrees, declination -90 to 90"
            )
        return cls(names, ra % 360, dec)

    def __len__(self) -> int:
        return len(self.ra_deg)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        return type(self)(self.source_id[rows], self.ra_deg[rows], self.dec_deg[rows])

    def join(self, following: Self) -> Self:
        """Return these positions with others after them.

        Parameters
        ----------
        following : the others.
        """
        names = [field.name for field in fields(self)]
        return type(self)(*(np.concatenate([getattr(self, name), getattr(following, name)]) for name in names))


def read_positions(path: Path) -> Positions:
    """Read the positions of a table with the columns `ra_deg` and `dec_deg` and, where it has one, `name`.

    Parameters
    ----------
    path : CSV, TSV, VOTable or FITS.

    Raises
    ------
    BadInput : it cannot be read, lacks a column, or a cell is no number.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; give a catalogue, or a CSV with ra_deg and dec_deg")
    table = open_table(path)
    columns = [table.find(name) if table.names else None for name in ("ra_deg", "dec_deg")]
    missing = [name for name, column in zip(("ra_deg", "dec_deg"), columns, strict=True) if column is None]
    if missing:
        raise BadInput(f"{path}: has no column {' and no column '.join(missing)}; give positions in degrees, ICRS")
    ra, dec = (str(column) for column in columns)
    label = next((column for name in _NAMES if (column := table.find(name))), None)
    with readable(path):
        batches = list(table.read([ra, dec, *([label] if label else [])]))
    if not batches:
        raise BadInput(f"{path}: has no row; give positions")
    values = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    try:
        return Positions.of(
            values[ra].astype(np.float64), values[dec].astype(np.float64), values[label] if label else None
        )
    except ValueError as error:
        raise BadInput(f"{path}: {error}; ra_deg and dec_deg are numbers of degrees") from None
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def read_catalogue_positions(
    catalogue: Catalogue, wcs: WCS, shape: tuple[int, ...]
) -> tuple[Positions, CatalogueSources]:
    """Return the positions of a built catalogue in the circle around an image, and its sources in the same order.

    Parameters
    ----------
    catalogue : opened.
    wcs, shape : celestial coordinates and shape (rows, columns) of the image.
    """
    ra_deg, dec_deg = image_centre(wcs, shape)
    x, y = np.array([-0.5, -0.5, shape[1] - 0.5, shape[1] - 0.5]), np.array([-0.5, shape[0] - 0.5] * 2)
    corners = np.deg2rad(np.stack(wcs.wcs_pix2world(x, y, 0), axis=-1))
    distances = np.rad2deg(separation_rad(corners, np.deg2rad([ra_deg, dec_deg])))
    # A corner outside the projection: the image may be of the whole sky.
    radius_deg = float(distances.max()) if np.isfinite(distances).all() else 180.0
    sources = catalogue.cone(ra_deg, dec_deg, min(radius_deg * 1.01, 180.0))
    return Positions.of(sources.ra_deg, sources.dec_deg, sources.source_id), sources


def is_catalogue(path: Path) -> bool:
    """Return whether a path is that of a built catalogue.

    Parameters
    ----------
    path : of the file.
    """
    return path.name.endswith(SUFFIX)


def image_centre(wcs: WCS, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return right ascension and declination of the middle of an image, degrees, ICRS.

    Parameters
    ----------
    wcs, shape : celestial coordinates and shape (rows, columns) of the image.
    """
    ra_deg, dec_deg = (float(angle) for angle in wcs.wcs_pix2world((shape[1] - 1) / 2, (shape[0] - 1) / 2, 0))
    return ra_deg % 360, dec_deg


def find_pixels(positions: Positions, wcs: WCS) -> NDArray[np.float64]:
    """Return the pixels x and y of positions, shape (positions, 2); NaN on the far side of the projection.

    Parameters
    ----------
    positions : on the sky.
    wcs : celestial coordinates of the image.
    """
    pixels = np.asarray(wcs.wcs_world2pix(np.stack([positions.ra_deg, positions.dec_deg], axis=-1), 0))
    # Beyond 90 degrees SIN repeats: a pixel must lead back to its position.
    with np.errstate(invalid="ignore"):
        back = np.deg2rad(wcs.wcs_pix2world(pixels, 0))
        separation = separation_rad(back, np.deg2rad(np.stack([positions.ra_deg, positions.dec_deg], axis=-1)))
        pixels[~(np.rad2deg(separation) * 3600 < 1e-3)] = np.nan
    return pixels


def find_inside(pixels: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return whether pixels are inside an image, shape (positions,).

    Parameters
    ----------
    pixels : of `find_pixels`.
    shape : rows and columns of the image.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(((pixels >= -0.5) & (pixels < np.array(shape[::-1]) - 0.5)).all(axis=1))
