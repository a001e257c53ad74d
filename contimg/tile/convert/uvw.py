"""Where a tile looks: its phase centre, the uvw of its rows, and how much each row's w changes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.formats.uvh5 import Fixed, Sidereal
from contimg.formats.uvh5.group import SubbandGroup
from contimg.instrument import coordinates as geometry
from contimg.instrument.coordinates import Site, Vectors


@dataclass(frozen=True)
class Sky:
    """The geometry of one tile; see docs/maths.md.

    Attributes
    ----------
    phase_centre : right ascension and declination (ICRS), radians, shape (2,): a phased file's own; else the meridian
        at mid-tile at the dishes' declination.
    pointing : where the dishes look at each integration (ICRS), radians, shape (times, 2).
    tracking : whether they follow the sky.
    lengths_m : position of antenna 1 minus position of antenna 2 of each baseline, ITRF, shape (baselines, 3).
    axes : u, v and w unit vectors in ITRF at each integration, shape (times, 3, 3), axes first.
    w_old_m : w that the file's phases are of, in the Measurement Set's sense, shape (baselines,); None where it is
        the phase centre's own.
    """

    phase_centre: Vectors
    pointing: Vectors
    tracking: bool
    lengths_m: Vectors
    axes: Vectors
    w_old_m: Vectors | None

    @classmethod
    def of(cls, tile: SubbandGroup) -> "Sky":
        """The geometry of a tile."""
        header, phasing = tile.reference, tile.reference.phasing
        site = Site.from_itrf(header.array.centre_m)
        lengths = header.antenna_positions_m[tile.slots_1] - header.antenna_positions_m[tile.slots_2]
        middle = np.array([0.5 * (tile.times_jd[0] + tile.times_jd[-1])])
        declination = header.pointing_dec_rad
        tracking = isinstance(phasing, Sidereal) and declination is None
        standing = site.latitude_rad if declination is None else declination
        w_old: Vectors | None
        if isinstance(phasing, Sidereal):
            centre, w_old = np.array([phasing.ra_rad, phasing.dec_rad]), None
        else:
            centre = geometry.meridian_icrs(site, middle, standing)[0]
            fixed = isinstance(phasing, Fixed)
            w_old = lengths @ geometry.meridian_direction(site, standing) if fixed else np.zeros(len(lengths))
        pointing = geometry.meridian_icrs(site, tile.times_jd, standing)
        if tracking:
            pointing = np.tile(centre, (tile.times_jd.size, 1))
        axes = geometry.uvw_axes(site, tile.times_jd, centre[0], centre[1])
        return cls(centre, pointing, tracking, lengths, axes, w_old)

    def uvw_m(self, first: int, last: int) -> Vectors:
        """UVW of every baseline of integrations [first, last), shape (integrations × baselines, 3), metres."""
        return np.asarray(np.einsum("tij,bj->tbi", self.axes[first:last], self.lengths_m).reshape(-1, 3))

    def w_change_m(self, integration: NDArray[np.int64], baseline: NDArray[np.int64]) -> Vectors:
        """New minus old w of cells, in the Measurement Set's sense, shape (cells,), metres."""
        if self.w_old_m is None:
            return np.zeros(integration.size)
        new = np.einsum("tj,tj->t", self.axes[integration, 2], self.lengths_m[baseline])
        return np.asarray(new - self.w_old_m[baseline])
