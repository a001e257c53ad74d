"""Options of the archive, and the file of its places."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import field_validator

from contimg.common.errors import Misconfigured
from contimg.common.options import Options, option, suggest
from contimg.settings.retention import CALTABLES, IMAGE, MOSAIC, MS, PRODUCT_KINDS

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,19}")
_REMOTE = re.compile(r"(?P<user>[\w.-]+@)?(?P<host>[A-Za-z0-9][\w.-]*)(:(?P<port>\d{1,5}))?(?P<path>/.+)", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,62}(/[\w.~+-]+)*", re.ASCII)
_KEYS = {"name", "url", "kinds", "endpoint"}
DEFAULT_KINDS = (CALTABLES, IMAGE, MOSAIC)
SCHEMES = ("file", "ssh", "s3", "memory")


class ArchiveOptions(Options, env_prefix="CONTIMG_ARCHIVE_"):
    """Checksums of products and copies in other places. Environment: CONTIMG_ARCHIVE_<FIELD>."""

    places: str = option("", "TOML file that describes the places; relative paths are as in the configuration")
    kinds: str = option(
        f"{MS} {CALTABLES} {IMAGE} {MOSAIC}",
        f"Kinds of products whose files get a checksum when they are made: {', '.join(PRODUCT_KINDS)} (subband files)",
    )
    interval_s: float = option(600.0, "Time between two rounds of checks and copies", unit="s", minimum=1, maximum=900)
    verify_days: float = option(
        30.0, "Time in which every copy and every local file is read back once; 0: only after copying", unit="d",
        minimum=0,
    )  # fmt: skip

    @field_validator("kinds")
    @classmethod
    def _check_kinds(cls, text: str) -> str:
        check_kinds(text.split())
        return text

    @property
    def kind_names(self) -> tuple[str, ...]:
        """The kinds as a tuple."""
        return tuple(self.kinds.split())


@dataclass(frozen=True)
class PlaceRule:
    """A place that products are copied to.

    Attributes
    ----------
    name : at most 20 characters.
    url : `file:///DIRECTORY`, `ssh://[USER@]HOST[:PORT]/DIRECTORY` or `s3://BUCKET[/PREFIX]`.
    kinds : kinds of products that are copied there.
    endpoint : address of an S3-compatible service; empty for that of the library's own configuration.
    """

    name: str
    url: str
    kinds: tuple[str, ...] = DEFAULT_KINDS
    endpoint: str = ""

    @property
    def scheme(self) -> str:
        """One of `SCHEMES`."""
        return self.url.partition("://")[0]

    @property
    def location(self) -> str:
        """What follows the scheme."""
        return self.url.partition("://")[2]

    def remote_parts(self) -> dict[str, str]:
        """Return user (with @), host, port and path of an ssh URL; empty text for what it does not have."""
        match = _REMOTE.fullmatch(self.location)
        return {name: value or "" for name, value in (match.groupdict() if match else {}).items()}


def check_kinds(kinds: Iterable[str]) -> None:
    """Raise ValueError for a kind of product that is not known.

    Parameters
    ----------
    kinds : names.
    """
    for kind in kinds:
        if kind not in PRODUCT_KINDS:
            raise ValueError(f"{kind}: no such kind.{suggest(kind, PRODUCT_KINDS)} Known: {', '.join(PRODUCT_KINDS)}")


def read_places(options: ArchiveOptions, base_dir: Path) -> tuple[PlaceRule, ...]:
    """Read the places.

    Parameters
    ----------
    options : name the file; without one there is no place.
    base_dir : directory that a relative path is relative to.

    Raises
    ------
    Misconfigured : the file cannot be read, or a place is not described correctly.
    """
    if not options.places:
        return ()
    path = base_dir / Path(options.places).expanduser()
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("place", [])
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Misconfigured(f"CONTIMG_ARCHIVE_PLACES={path}: {reason}; see docs/archive.md for its form") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Misconfigured(f"CONTIMG_ARCHIVE_PLACES={path}: places are tables [[place]]; see docs/archive.md")
    places: list[PlaceRule] = []
    for entry in entries:
        try:
            places.append(_read_place(entry, options, {place.name for place in places}))
        except ValueError as error:
            raise Misconfigured(f"{path}: place {entry.get('name', len(places) + 1)}: {error}") from None
    return tuple(places)


def _read_place(entry: dict[str, Any], options: ArchiveOptions, names: set[str]) -> PlaceRule:
    """Check a table of the file; ValueError says what is wrong with it."""
    if unknown := entry.keys() - _KEYS:
        key = min(unknown)
        raise ValueError(f"{key}: no such key.{suggest(key, _KEYS)} Known: {', '.join(sorted(_KEYS))}")
    name, url = str(entry.get("name", "")), str(entry.get("url", ""))
    if not _NAME.fullmatch(name):
        raise ValueError("name: at most 20 of a-z, 0-9, - and _, the first a letter or digit")
    if name in names:
        raise ValueError("name: a second place of this name")
    kinds = entry.get("kinds", list(DEFAULT_KINDS))
    if not isinstance(kinds, list) or not kinds:
        raise ValueError('kinds: a list such as ["image", "mosaic"]')
    check_kinds(map(str, kinds))
    for kind in kinds:
        if kind not in options.kind_names:
            raise ValueError(f"kinds: {kind} is not in CONTIMG_ARCHIVE_KINDS, and its files are not registered")
    place = PlaceRule(name, url.rstrip("/"), tuple(kinds), str(entry.get("endpoint", "")))
    _check_location(place)
    return place


def _check_location(place: PlaceRule) -> None:
    if not place.url.isprintable() or "/../" in f"{place.url}/":
        raise ValueError("url: has control characters or ..")
    is_right = {
        "file": place.location.startswith("/") and len(place.location) > 1,
        "ssh": bool(place.remote_parts()),
        "s3": _BUCKET.fullmatch(place.location) is not None,
        "memory": bool(place.location),
    }
    if not is_right.get(place.scheme, False):
        raise ValueError("url: must be file:///DIRECTORY, ssh://[USER@]HOST[:PORT]/DIRECTORY or s3://BUCKET[/PREFIX]")
