"""Names for the sources of a picture: catalogued ones first, then the brightest found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from astropy.wcs import WCS

from contimg.tile.image.plots.drawing import flux_text
from contimg.tile.image.result import ImagingResult

MOST = 12  # names in one picture
SAME_BEAMS = 1.5  # a found source within so many beams of a catalogued one is that one
FAR_FROM_BRIGHT = 2e-3  # a found source fainter than this part of the peak may be a sidelobe: it gets no name
RING, HEIGHT, LETTER = 0.016, 0.022, 0.0092  # of a ring, a line and a letter, parts of the picture's side

Box = tuple[float, float, float, float]  # left, right, low, high


@dataclass(frozen=True)
class Label:
    """A source's name and apparent flux (Jy per beam) and its place in pixels, x to the west and y to the north."""

    name: str
    peak_jy: float
    x: float
    y: float
    catalogued: bool

    @property
    def text(self) -> str:
        """What is written beside it."""
        return f"{self.name}  {flux_text(self.peak_jy)}"


def labels(tile_image: ImagingResult, wcs: WCS) -> list[Label]:
    """The sources to name, the catalogue's before those found, each group the brightest first."""
    known = [Label(one.entry.name, one.apparent_jy, *_place(wcs, one.entry), True) for one in tile_image.matches]
    found = [
        Label(one.name, one.peak_jy, *_place(wcs, one), False)
        for one in tile_image.found_sources
        if one.peak_jy > FAR_FROM_BRIGHT * tile_image.peak_jy
    ]
    near = SAME_BEAMS * tile_image.beam_major_arcsec / tile_image.cell_arcsec
    new = [one for one in found if all((one.x - k.x) ** 2 + (one.y - k.y) ** 2 > near**2 for k in known)]
    return sorted(known, key=lambda one: -one.peak_jy)[:MOST] + sorted(new, key=lambda one: -one.peak_jy)[:MOST]


@dataclass(frozen=True)
class Text:
    """Where a name is written: to the right of its source or to the left, and so many pixels above it."""

    label: Label
    right: bool
    lift: float

    def box(self, size: int) -> Box:
        """What it covers of a picture of this size."""
        near, length = RING * size, LETTER * size * len(self.label.text)
        sides = (-near, near + length) if self.right else (near + length, -near)
        return _box(self.label, *sides, HEIGHT * size, self.lift)


def placed(wanted: Sequence[Label], size: int) -> Iterator[Text]:
    """Names of sources, none over another or over another source's ring, none out of the picture."""
    shown = [one for one in wanted[:MOST] if 0 <= one.x < size and 0 <= one.y < size]
    rings = [_box(one, RING * size, RING * size, HEIGHT * size) for one in shown]
    written: list[Box] = []
    for number, one in enumerate(shown):
        others = rings[:number] + rings[number + 1 :] + written
        for lift in (0.0, 1.2 * HEIGHT * size, -1.2 * HEIGHT * size):
            fits = [
                text for text in (Text(one, True, lift), Text(one, False, lift)) if _free(text.box(size), others, size)
            ]
            if fits:
                written.append(fits[0].box(size))
                yield fits[0]
                break


def _free(box: Box, others: Sequence[Box], size: int) -> bool:
    inside = min(box[0], box[2]) >= 0 and max(box[1], box[3]) < size
    return inside and not any(_overlap(box, other) for other in others)


def _box(source: Label, left: float, right: float, height: float, lift: float = 0.0) -> Box:
    middle = source.y + lift
    return source.x - left, source.x + right, middle - height / 2, middle + height / 2


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _place(wcs: WCS, source: object) -> tuple[float, float]:
    x, y = wcs.all_world2pix(source.ra_deg, source.dec_deg, 0)  # type: ignore[attr-defined]
    return float(x), float(y)
