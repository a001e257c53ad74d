"""Parameters of VO services: names in any case, values as of IVOA DALI 1.1 and SIA 2.0."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flask import request

from contimg.formats.votables import MEDIA_TYPE
from contimg.quality.grades import GOOD, GRADES
from contimg.sky.regions import Circle, Polygon, Range, Region
from web.http.errors import RequestError
from web.http.parameters import MAX_ID

DEFAULT_RECORDS, MAX_RECORDS = 1000, 10_000
MAX_VALUES, MAX_TEXT = 20, 4000  # of one parameter; characters of all
FORMATS = {"votable", "text/xml", MEDIA_TYPE}
Interval = tuple[float, float]
Values = Mapping[str, Sequence[str]]


def fault(text: str) -> RequestError:
    """Return the error of a request that is not as the standard has it.

    Parameters
    ----------
    text : what is wrong.
    """
    return RequestError(400, f"UsageFault: {text}", "the parameters are described in docs/publish.md")


def read_values(known: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of the request's parameters by their names in capitals; empty ones are absent.

    Parameters
    ----------
    known : names; others are ignored, as the standards demand.

    Raises
    ------
    RequestError : 400, when there are too many values, or `RESPONSEFORMAT` is none that is written.
    """
    if len(request.query_string) > MAX_TEXT:
        raise fault(f"the request has {len(request.query_string)} characters (limit {MAX_TEXT})")
    values: dict[str, list[str]] = {}
    for name, value in request.args.items(multi=True):
        if value.strip() and name.upper() in {*known, "RESPONSEFORMAT"}:
            values.setdefault(name.upper(), []).append(value.strip())
    for name, texts in values.items():
        if len(texts) > MAX_VALUES:
            raise fault(f"{name}: given {len(texts)} times (limit {MAX_VALUES})")
    for text in values.pop("RESPONSEFORMAT", []):
        if text.split(";")[0].strip().lower() not in FORMATS:
            raise fault(f"RESPONSEFORMAT {text!r}: only {MEDIA_TYPE} is written")
    return values


def read_number(values: Values, name: str, low: float, high: float, default: float | None = None) -> float:
    """Return the value of a parameter that is a number.

    Parameters
    ----------
    values : of `read_values`.
    name : of the parameter.
    low, high : limits.
    default : value of an absent parameter; None where it is required.

    Raises
    ------
    RequestError : 400, when it is absent, given twice, no number, or outside its limits.
    """
    texts = values.get(name, [])
    if not texts and default is not None:
        return default
    if len(texts) != 1:
        raise fault(f"{name}: give it once")
    number = parse_number(name, texts[0])
    if not low <= number <= high:
        raise fault(f"{name} {texts[0]}: not from {low:g} to {high:g}")
    return number


def read_maximum(values: Values) -> int:
    """Return the maximum number of records, from `MAXREC`.

    Parameters
    ----------
    values : of `read_values`.
    """
    number = read_number(values, "MAXREC", 0, MAX_ID, DEFAULT_RECORDS)
    if number != int(number):
        raise fault(f"MAXREC {number}: no whole number")
    return min(int(number), MAX_RECORDS)


def parse_number(name: str, text: str) -> float:
    """Return a number; infinities are numbers.

    Parameters
    ----------
    name, text : of the parameter.
    """
    try:
        number = float(text)
    except ValueError:
        raise fault(f"{name}: {text[:40]!r} is no number") from None
    if math.isnan(number):
        raise fault(f"{name}: NaN is no value")
    return number


def parse_interval(name: str, text: str) -> Interval:
    """Return an interval from its limits, or from one value.

    Parameters
    ----------
    name, text : of the parameter.
    """
    numbers = [parse_number(name, word) for word in text.split()]
    if len(numbers) not in (1, 2) or numbers[0] > numbers[-1]:
        raise fault(f"{name} {text[:80]!r}: give one value, or the lower and the upper limit")
    return numbers[0], numbers[-1]


def parse_region(text: str) -> Region:
    """Return the region of a `POS` parameter.

    Parameters
    ----------
    text : `CIRCLE ra dec radius`, `RANGE ra1 ra2 dec1 dec2` or `POLYGON ra1 dec1 ra2 dec2 ra3 dec3 …`, degrees, ICRS.
    """
    word, *rest = text.split()
    numbers = [parse_number("POS", number) for number in rest]
    if word not in _REGIONS:
        raise fault(f"POS {text[:80]!r}: begins with none of {', '.join(_REGIONS)}")
    return _REGIONS[word](text, numbers)


def _parse_circle(text: str, numbers: list[float]) -> Region:
    if len(numbers) != 3 or not _is_direction(*numbers[:2]) or not 0 <= numbers[2] <= 180:
        raise fault(
            f"POS {text[:80]!r}: give right ascension (0 to 360), declination (-90 to 90) and radius (0 to 180)"
        )
    return Circle(numbers[0] % 360, *numbers[1:])


def _parse_range(text: str, numbers: list[float]) -> Region:
    if len(numbers) != 4:
        raise fault(f"POS {text[:80]!r}: give two right ascensions and two declinations")
    ra_min, ra_max, dec_min, dec_max = numbers
    ra_min, ra_max = max(ra_min, 0.0), min(ra_max, 360.0)
    dec_min, dec_max = max(dec_min, -90.0), min(dec_max, 90.0)
    if ra_min > 360 or ra_max < 0 or dec_min > dec_max:
        raise fault(f"POS {text[:80]!r}: right ascensions are from 0 to 360, declinations in rising order")
    return Range(ra_min, ra_max, dec_min, dec_max)


def _parse_polygon(text: str, numbers: list[float]) -> Region:
    vertices = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    if len(numbers) % 2 or len(vertices) < 3 or not all(_is_direction(*vertex) for vertex in vertices):
        raise fault(f"POS {text[:80]!r}: give three or more vertices, right ascension and declination of each")
    return Polygon(vertices)


def _is_direction(ra_deg: float, dec_deg: float) -> bool:
    return 0 <= ra_deg <= 360 and -90 <= dec_deg <= 90


_REGIONS: Mapping[str, Callable[[str, list[float]], Region]] = {
    "CIRCLE": _parse_circle, "RANGE": _parse_range, "POLYGON": _parse_polygon,
}  # fmt: skip


@dataclass(frozen=True)
class ImageQuery:
    """What an image search asks for; empty tuples select everything.

    Attributes
    ----------
    regions : the image overlaps one of them.
    overlaps : intervals by ObsCore columns of a lower and an upper limit; the image's overlaps one of them.
    inside : intervals by ObsCore column; the image's value is in one of them.
    texts : values by ObsCore column, in small letters; the image's is one of them.
    grades : QA grades.
    maximum : number of records.
    """

    regions: tuple[Region, ...]
    overlaps: Mapping[tuple[str, str], tuple[Interval, ...]]
    inside: Mapping[str, tuple[Interval, ...]]
    texts: Mapping[str, frozenset[str]]
    grades: tuple[str, ...]
    maximum: int


OVERLAPS = {"BAND": ("em_min", "em_max"), "TIME": ("t_min", "t_max")}
INSIDE = {
    "FOV": "s_fov", "SPATRES": "s_resolution", "EXPTIME": "t_exptime", "SPECRP": "em_res_power",
    "TIMERES": "t_resolution", "CALIB": "calib_level",
}  # fmt: skip
TEXTS = {
    "ID": "obs_publisher_did", "COLLECTION": "obs_collection", "FACILITY": "facility_name",
    "INSTRUMENT": "instrument_name", "DPTYPE": "dataproduct_type", "FORMAT": "access_format", "TARGET": "target_name",
}  # fmt: skip
IMAGE_PARAMETERS = ("POS", *OVERLAPS, *INSIDE, *TEXTS, "POL", "GRADE", "MAXREC")


def read_image_query() -> ImageQuery:
    """Return what the request of an image search asks for.

    Raises
    ------
    RequestError : 400, when a parameter is not as the standard has it.
    """
    values = read_values(IMAGE_PARAMETERS)
    grades = tuple(grade.lower() for grade in values.get("GRADE", [GOOD]))
    if wrong := [grade for grade in grades if grade not in GRADES]:
        raise fault(f"GRADE {wrong[0][:40]!r}: none of {', '.join(GRADES)}")

    def intervals(name: str) -> tuple[Interval, ...]:
        return tuple(parse_interval(name, text) for text in values[name])

    texts = {TEXTS[name]: frozenset(text.lower() for text in values[name]) for name in TEXTS if name in values}
    if "POL" in values:
        texts["pol_states"] = frozenset(f"/{text.lower()}/" for text in values["POL"])
    return ImageQuery(
        regions=tuple(map(parse_region, values.get("POS", []))),
        overlaps={columns: intervals(name) for name, columns in OVERLAPS.items() if name in values},
        inside={column: intervals(name) for name, column in INSIDE.items() if name in values},
        texts=texts, grades=grades, maximum=read_maximum(values),
    )  # fmt: skip
