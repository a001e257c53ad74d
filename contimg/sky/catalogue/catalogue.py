"""Catalogue files: opened, queried by position, and found in a state directory.

A file is an SQLite database. `sources` holds a row for each source in the order of nested HEALPix pixels, so that a
cone reads neighbouring pages; `pixels` counts the sources in larger pixels; `identifications` names a merged source in
the catalogues that were merged; `properties` holds the record `Catalogue` as JSON. Files do not change once written.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput, Misconfigured
from contimg.formats.records import NO_UNIT, about
from contimg.instrument.coordinates import separation_rad
from contimg.sky.catalogue.pixels import DENSITY_NSIDE, cone_ranges
from contimg.sky.catalogue.sources import CatalogueSources

SUFFIX = ".catalogue"
DIRECTORY = "catalogues"
FORMAT = 1  # of the file
SURVEY, PIPELINE, SIMULATED, MERGED = "survey", "pipeline", "simulated", "merged"
COLUMNS = (
    "source_id", "ra_deg", "dec_deg", "position_error_deg", "flux_jy", "flux_error_jy", "spectral_index", "major_deg",
    "minor_deg", "angle_deg", "is_resolved", "is_confused", "is_isolated",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a catalogue is and where it comes from.

    Attributes
    ----------
    name : of the catalogue; it is the name of its file.
    kind : `survey` (a site's table), `pipeline` (found in the pipeline's own images), `simulated` or `merged`.
    frequency_hz : frequency of the fluxes.
    beam_deg : beam of the survey, full width at half maximum.
    flux_limit_jy : flux above which the catalogue is complete.
    spectral_index : index that is assumed where a source has none of its own.
    source_table : path or name of the table, or what the sources were found in.
    inputs : files and catalogues that it was made from, with their checksums or versions.
    is_complete : whether its fluxes must fit the source counts; a list of chosen sources does not fit them.
    """

    name: Annotated[str, about("Name of the catalogue", example="nvss")]
    kind: Annotated[
        str, about("survey, pipeline (found in the pipeline's own images), simulated or merged", example="survey")
    ]
    frequency_hz: Annotated[float, about("Frequency of the fluxes", "Hz", 1.4e9)]
    beam_deg: Annotated[float, about("Beam of the survey, FWHM", "deg", 0.0125)]
    flux_limit_jy: Annotated[float, about("Flux above which the catalogue is complete", "Jy", 0.0025)]
    spectral_index: Annotated[
        float, about("Spectral index that is assumed where a source has none", NO_UNIT, -0.7)
    ] = -0.7
    source_table: Annotated[str, about("Table or images that the sources come from", example="/data/nvss.dat")] = ""
    inputs: Annotated[
        tuple[str, ...], about("Files and catalogues it was made from, with checksums or versions", example=[])
    ] = ()
    is_complete: Annotated[
        bool,
        about("Whether its fluxes must fit the source counts; those of a list of chosen sources do not", example=True),
    ] = True


@dataclass(frozen=True)
class Identification:
    """A source of a merged catalogue as one of the merged catalogues has it.

    Attributes
    ----------
    source_id : in the merged catalogue.
    catalogue, catalogue_id : name of the other catalogue, and the source's id there.
    separation_deg : from the position in the merged catalogue.
    frequency_hz, flux_jy, flux_error_jy : in the other catalogue.
    """

    source_id: str
    catalogue: str
    catalogue_id: str
    separation_deg: float
    frequency_hz: float
    flux_jy: float
    flux_error_jy: float | None


@dataclass(frozen=True, kw_only=True)
class Catalogue(Provenance):
    """An opened catalogue file. It holds no connection: it may be shared by threads and processes.

    Attributes
    ----------
    path : of the file.
    confusion_beam_deg : beam within which neighbours count as confusing.
    n_sources : number of sources.
    version : digest of the sources; equal sources have equal versions.
    created_at : epoch seconds.
    area_deg2 : area of the pixels that hold sources.
    count_ratio : fluxes over those of the source counts, median; None with too few sources.
    """

    path: Annotated[Path, about("Path of the file", example="/data/state/catalogues/nvss.catalogue")]
    confusion_beam_deg: Annotated[float, about("Beam within which neighbours count as confusing", "deg", 0.0125)]
    n_sources: Annotated[int, about("Number of sources", "sources", 1773484)]
    version: Annotated[str, about("Digest of the sources", example="5f1c0a9e7b3d")]
    created_at: Annotated[float, about("Time at which the file was written")]
    area_deg2: Annotated[float, about("Area that holds sources", "deg²", 33885.0)]
    count_ratio: Annotated[
        float | None, about("Fluxes over those of the source counts, median; null with too few sources", NO_UNIT, 1.02)
    ]

    @property
    def is_from_pipeline(self) -> bool:
        """Whether its sources were found in the pipeline's own images, so that a comparison is no independent one."""
        return self.kind == PIPELINE

    @property
    def label(self) -> str:
        """Name and version, with what a reader must know of a catalogue that is not a survey's."""
        note = {PIPELINE: ", the pipeline's own images", SIMULATED: ", simulated"}.get(self.kind, "")
        return f"{self.name} (version {self.version}{note})"

    def cone(self, ra_deg: float, dec_deg: float, radius_deg: float, *, min_flux_jy: float = 0.0) -> CatalogueSources:
        """Return the sources within a distance of a direction, in the order of the file.

        Parameters
        ----------
        ra_deg, dec_deg : centre, ICRS; right ascension of any turn.
        radius_deg : of the cone, 0 to 180.
        min_flux_jy : lowest flux at the catalogue's frequency.

        Raises
        ------
        BadInput : the centre or the radius is no direction or angle, or the file cannot be read.
        """
        if not (abs(dec_deg) <= 90 and np.isfinite(ra_deg) and 0 <= radius_deg <= 180):
            raise BadInput(
                f"cone at RA {ra_deg:g}, Dec {dec_deg:g}, radius {radius_deg:g} degrees: give a declination within "
                "±90 and a radius of 0 to 180"
            )
        query = f"SELECT {', '.join(COLUMNS)} FROM sources WHERE healpix >= ? AND healpix < ? AND flux_jy >= ?"  # noqa: S608
        rows: list[tuple[Any, ...]] = []
        with connected(self.path) as connection:
            for first, after in cone_ranges(ra_deg, dec_deg, radius_deg).tolist():
                rows += connection.execute(query, (first, after, min_flux_jy)).fetchall()
        sources = self._sources(rows)
        directions = np.deg2rad(np.stack([sources.ra_deg, sources.dec_deg], axis=-1))
        separation = separation_rad(directions, np.deg2rad([ra_deg, dec_deg]))
        return sources[separation <= np.deg2rad(radius_deg)]

    def batches(self, size: int = 50_000) -> Iterator[CatalogueSources]:
        """Yield all sources in the order of the file.

        Parameters
        ----------
        size : largest number of sources of a batch.
        """
        with connected(self.path) as connection:
            cursor = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM sources ORDER BY healpix, number")  # noqa: S608
            while rows := cursor.fetchmany(size):
                yield self._sources(rows)

    def identifications(self, source_id: str) -> tuple[Identification, ...]:
        """Return what a source of a merged catalogue is in the catalogues that were merged; empty for others.

        Parameters
        ----------
        source_id : of the source.
        """
        with connected(self.path) as connection:
            rows = connection.execute("SELECT * FROM identifications WHERE source_id = ?", (source_id,)).fetchall()
        return tuple(Identification(*row) for row in rows)

    def density(self) -> NDArray[np.int64]:
        """Return the number of sources in every nested HEALPix pixel of `DENSITY_NSIDE`, shape (12 nside²,)."""
        counts = np.zeros(12 * DENSITY_NSIDE**2, dtype=np.int64)
        with connected(self.path) as connection:
            for pixel, count in connection.execute("SELECT healpix, sources FROM pixels"):
                counts[pixel] = count
        return counts

    def _sources(self, rows: list[tuple[Any, ...]]) -> CatalogueSources:
        columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(COLUMNS, ())
        numbers = {name: np.array(columns[name], dtype=np.float64) for name in COLUMNS[1:]}  # None becomes NaN
        assumed = np.isnan(numbers["spectral_index"])
        numbers["spectral_index"] = np.where(assumed, self.spectral_index, numbers["spectral_index"])
        return CatalogueSources.of(self.frequency_hz, columns["source_id"], is_index_assumed=assumed, **numbers)


def open_catalogue(path: Path | str) -> Catalogue:
    """Read the record of a catalogue file.

    Parameters
    ----------
    path : of the file.

    Raises
    ------
    Misconfigured : there is no such file, or it is no catalogue of this format.
    """
    path = Path(path)
    with connected(path) as connection:
        rows = connection.execute("SELECT name, value FROM properties").fetchall()
    values = {name: json.loads(value) for name, value in rows}
    if values.get("format") != FORMAT:
        raise Misconfigured(
            f"{path}: is a catalogue of format {values.get('format')} and format {FORMAT} is needed; build it again "
            "with `contimg catalogue build`"
        )
    values["inputs"] = tuple(values["inputs"])
    names = {field.name for field in fields(Catalogue)}
    return Catalogue(**{name: value for name, value in values.items() if name in names}, path=path)


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a catalogue file for reading.

    Parameters
    ----------
    path : of the file.

    Raises
    ------
    Misconfigured : there is no such file, or it is damaged or no catalogue.
    """
    if not path.is_file():
        raise Misconfigured(f"{path}: no such catalogue; `contimg catalogue list` lists those that are installed")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise Misconfigured(
            f"{path}: cannot be read as a catalogue ({error}); build it with `contimg catalogue build`"
        ) from error


def catalogue_path(state_dir: Path, name: str) -> Path:
    """Return the path of an installed catalogue, whether it exists or not.

    Parameters
    ----------
    state_dir : state directory.
    name : of the catalogue.
    """
    return state_dir / DIRECTORY / f"{name}{SUFFIX}"


def installed_catalogues(state_dir: Path) -> tuple[Path, ...]:
    """Return the files of a state directory's catalogues, by name.

    Parameters
    ----------
    state_dir : state directory; it may lack a directory of catalogues.
    """
    return tuple(sorted((state_dir / DIRECTORY).glob(f"*{SUFFIX}")))


def reference_catalogue(state_dir: Path, name: str = "") -> Path | None:
    """Return the catalogue that images are compared with.

    Parameters
    ----------
    state_dir : state directory.
    name : of an installed catalogue, or the path of a file. Empty: the only one that is installed, else the newest
        merged one.

    Returns
    -------
    The file, None where none is installed, or several and none of them is a merged one.

    Raises
    ------
    Misconfigured : the named one does not exist.
    """
    if name:
        path = Path(name).expanduser() if "/" in name or name.endswith(SUFFIX) else catalogue_path(state_dir, name)
        if not path.is_file():
            raise Misconfigured(
                f"catalogue {name}: {path} does not exist; give one that `contimg catalogue list` lists, also in "
                "CONTIMG_REFERENCE_CATALOGUE"
            )
        return path
    paths = installed_catalogues(state_dir)
    if len(paths) < 2:
        return next(iter(paths), None)
    merged = [catalogue for catalogue in map(open_catalogue, paths) if catalogue.kind == MERGED]
    return max(merged, key=lambda catalogue: catalogue.created_at).path if merged else None
