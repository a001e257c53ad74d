"""Whether the tiles lie inside the reference catalogue that they are compared with."""

from dataclasses import dataclass
from pathlib import Path

from contimg.sky.catalogue import open_catalogue
from contimg.sky.coverage import find_covered
from contimg.store import ImageFilter, Store

TILES = 12  # newest ones that count: an hour
MIN_COVERED = 0.5  # of them


@dataclass(frozen=True)
class TileCoverage:
    """The newest tiles against a catalogue: its name, their number, those it covers, and the newest declination."""

    catalogue: str
    tiles: int
    covered: int
    dec_deg: float

    @property
    def problem(self) -> str | None:
        """What is wrong, with what to do; None while the catalogue covers at least half of the tiles."""
        if self.covered >= MIN_COVERED * self.tiles:
            return None
        outside = self.tiles - self.covered
        return (
            f"catalogue: {outside} of the last {self.tiles} tiles, at declination {self.dec_deg:+.2f} deg, are outside "
            f"catalogue {self.catalogue}; install one of this declination with `contimg catalogue build`, or name it "
            "in CONTIMG_REFERENCE_CATALOGUE"
        )


def check_tiles(store: Store, path: Path | None) -> TileCoverage | None:
    """Compare the positions of the newest tiles with the reference catalogue.

    Parameters
    ----------
    store : gives the tiles.
    path : file of the catalogue; None without one.

    Returns
    -------
    None without a catalogue, or without tiles.

    Raises
    ------
    BadInput : the file is not a catalogue.
    """
    tiles = store.products.tiles(ImageFilter(), TILES) if path is not None else ()
    if path is None or not tiles:
        return None
    catalogue = open_catalogue(path)
    covered = find_covered(catalogue, [tile.ra_deg for tile in tiles], [tile.dec_deg for tile in tiles])
    return TileCoverage(catalogue.name, len(tiles), int(covered.sum()), tiles[-1].dec_deg)
