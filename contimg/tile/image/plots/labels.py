"""Labels of sources in a picture: which sources are named, and where their names are written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from astropy.wcs import WCS
from matplotlib.transforms import Bbox

from contimg.tile.image.plots.drawing import flux_text
from contimg.tile.image.result import ImagingResult
from contimg.tile.image.sources.matches import CatalogueSource, FoundSource

MAX_LABELS = 12  # of catalogued sources, of found sources, and of names in one picture
SAME_BEAMS = 1.5  # a found source within so many beams of a catalogued one is the same source
MIN_PEAK_FRACTION = 2e-3  # a found source fainter than this fraction of the peak may be a sidelobe
RING, HEIGHT, LETTER = 0.016, 0.022, 0.0092  # radius of a ring, size of a line and of a letter, over the picture's side


@dataclass(frozen=True)
class Label:
    """Name, apparent flux (Jy per beam) and pixel of a source, x to the west and y to the north.

    The text stands to the right or left of the source, `lift` pixels above it.
    """

    name: str
    peak_jy: float
    x: float
    y: float
    catalogued: bool
    right: bool = True
    lift: float = 0.0

    @property
    def text(self) -> str:
        """Text beside the source."""
        return f"{self.name}  {flux_text(self.peak_jy)}"

    def box(self, size: int) -> Bbox:
        """Return the box of the text in a picture of a size.

        Parameters
        ----------
        size : side of the picture, pixels of the image.

        Returns
        -------
        The box in pixels of the image; its width is an estimate from the number of letters.
        """
        near, length = RING * size, LETTER * size * len(self.text)
        sides = (-near, near + length) if self.right else (near + length, -near)
        return _box(self, *sides, HEIGHT * size, self.lift)


def label_sources(tile_image: ImagingResult, wcs: WCS) -> list[Label]:
    """Label the catalogued sources, then those found elsewhere, each the brightest first.

    Parameters
    ----------
    tile_image : its matches and found sources.
    wcs : celestial coordinates of the image.
    """
    catalogued = [
        Label(match.source.name, match.apparent_jy, *_pixel(wcs, match.source), True) for match in tile_image.matches
    ]
    radius = SAME_BEAMS * tile_image.beam_major_arcsec / tile_image.cell_arcsec
    uncatalogued = []
    for source in tile_image.found_sources:
        x, y = _pixel(wcs, source)
        is_new = all((x - label.x) ** 2 + (y - label.y) ** 2 > radius**2 for label in catalogued)
        if is_new and source.peak_jy > MIN_PEAK_FRACTION * tile_image.peak_jy:
            uncatalogued.append(Label(source.name, source.peak_jy, x, y, False))
    brightest = (sorted(labels, key=lambda label: -label.peak_jy)[:MAX_LABELS] for labels in (catalogued, uncatalogued))
    return [label for labels in brightest for label in labels]


def place_labels(labels: Sequence[Label], size: int) -> Iterator[Label]:
    """Place labels within a picture of a size, none over another or over another source's ring; some find no place.

    Parameters
    ----------
    labels : in order of precedence; only the first `MAX_LABELS` are placed.
    size : side of the picture, pixels of the image.

    Yields
    ------
    The labels that find a place, in the same order.
    """
    labels = [label for label in labels[:MAX_LABELS] if 0 <= label.x < size and 0 <= label.y < size]
    rings = [_box(label, RING * size, RING * size, HEIGHT * size) for label in labels]
    texts: list[Bbox] = []
    for number, label in enumerate(labels):
        occupied = rings[:number] + rings[number + 1 :] + texts
        sides = ((right, lift * HEIGHT * size) for lift in (0.0, 1.2, -1.2) for right in (True, False))
        candidates = (replace(label, right=right, lift=lift) for right, lift in sides)
        placed = next((candidate for candidate in candidates if _is_free(candidate.box(size), occupied, size)), None)
        if placed:
            texts.append(placed.box(size))
            yield placed


def _is_free(box: Bbox, occupied: Sequence[Bbox], size: int) -> bool:
    return bool(min(box.x0, box.y0) >= 0 and max(box.x1, box.y1) < size and not box.count_overlaps(occupied))


def _box(label: Label, left: float, right: float, height: float, lift: float = 0.0) -> Bbox:
    middle = label.y + lift
    return Bbox.from_extents(label.x - left, middle - height / 2, label.x + right, middle + height / 2)


def _pixel(wcs: WCS, source: CatalogueSource | FoundSource) -> tuple[float, float]:
    x, y = wcs.all_world2pix(source.ra_deg, source.dec_deg, 0)
    return float(x), float(y)
