"""A survey published from the store, brought up to date, and made again from its manifest."""

import glob
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from contimg.common.errors import BadFile, BadInput, Transient
from contimg.common.files.locks import is_locked, lock
from contimg.common.files.staging import MARK, disk_errors, remove, staged
from contimg.formats.records import about
from contimg.formats.table_streams import Batch, read_parquet, stream_table
from contimg.store import Store
from contimg.store.epochs.mosaics import StoredMosaic
from contimg.store.sky.export import ExportFilter, read_measurements
from contimg.store.survey.publication import (
    MosaicReference,
    PublicationSelection,
    find_mosaics,
    read_mosaics,
    select_mosaics,
)
from contimg.survey.publication import light_curves, pages, sky, tables
from contimg.survey.publication.manifest import (
    CHECKSUMS,
    MANIFEST,
    Entry,
    Header,
    first_difference,
    read_entries,
    read_header,
    sha256_of,
    software_versions,
    walk,
    write_manifest,
)

MIN_POINTS = 2  # of a light curve
_MAPS = ("fits", "weight.fits", "rms.fits")
_PRIMARY = ("mosaics/", f"{tables.MOSAICS}.parquet", f"{tables.PARTS}/")  # what everything else is made from
_MEDIA_TYPES = {
    ".fits": "application/fits", ".png": "image/png", ".parquet": "application/vnd.apache.parquet",
    ".vot": "application/x-votable+xml", ".html": "text/html", ".txt": "text/plain",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A publication that was written, or found up to date."""

    directory: Annotated[Path, about("The publication", example="/data/survey")]
    is_changed: Annotated[bool, about("Whether it was written; false where nothing has changed", example=True)]
    mosaics: Annotated[int, about("Mosaics in it", "mosaics", 48)]
    sources: Annotated[int, about("Sources in it", "sources", 5210)]
    measurements: Annotated[int, about("Measurements in it", "measurements", 250080)]
    light_curves: Annotated[int, about("Light curves in it", "light curves", 5100)]
    from_manifest: Annotated[
        tuple[str, ...], about("Files that are taken from the manifest's directory, not from the store")
    ] = ()


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a publication would hold."""

    mosaics: Annotated[int, about("Mosaics of the selection", "mosaics", 48)]
    bytes: Annotated[int, about("Size of their FITS files on disk", "bytes", 14880000000)]
    missing: Annotated[tuple[str, ...], about("Files that are not on disk")]


def preview(store: Store, selection: PublicationSelection) -> Preview:
    """Return what a publication would hold, without writing anything.

    Parameters
    ----------
    store : with the mosaics.
    selection : which mosaics.
    """
    with store.database.read() as session:
        references = select_mosaics(session, selection)
    files = [path for mosaic in _iterate(store, references) for _, path in _maps_of(mosaic)]
    sizes = [path.stat().st_size for path in files if path.is_file()]
    missing = tuple(str(path) for path in files if not path.is_file())
    return Preview(mosaics=len(references), bytes=sum(sizes), missing=missing)


def publish(
    store: Store, directory: Path, selection: PublicationSelection, *, clock: Callable[[], float],
    has_hips: bool = True, part_rows: int = tables.PART_ROWS,
) -> Publication:  # fmt: skip
    """Publish a selection of mosaics with what was measured in them, or bring a publication up to date.

    It is written under a temporary name beside the directory and renamed. FITS files are linked, or copied to another
    file system; of an earlier publication in the directory what has not changed is linked. Where nothing has, it stays.

    Parameters
    ----------
    store : with mosaics and measurements.
    directory : of the publication.
    selection : which mosaics.
    clock : gives the time that is recorded, UTC, epoch seconds.
    has_hips : whether the HiPS and the MOC are made.
    part_rows : rows of the measurements after which a new part begins.

    Raises
    ------
    BadInput : no mosaic matches, a file of one is not on disk, or the directory holds something else.
    Transient : mosaics have changed meanwhile, or the disk is full or cannot be written.
    """
    previous = _check_target(directory)
    with store.database.read() as session:
        references = select_mosaics(session, selection)
    if not references:
        raise BadInput(f"{directory}: no mosaic matches; `contimg epochs list` lists the epochs, --grade takes others")
    header = Header(created_at=clock(), selection=selection, has_hips=has_hips)
    try:
        with _staged_directory(directory) as temporary:
            for mosaic in _iterate(store, references):
                for ending, path in _maps_of(mosaic):
                    _take(path, temporary / f"mosaics/{mosaic.epoch}.{ending}", previous)
            header = _write_tables(store, temporary, header, references, part_rows)
            _check_unchanged(temporary, header, previous)
            header = _write_derived(temporary, header, previous)
    except _UpToDate as unchanged:
        return _result(directory, unchanged.header, is_changed=False)
    return _result(directory, header, is_changed=True)


def republish(manifest: Path, directory: Path, store: Store | None) -> Publication:
    """Make a publication again from its manifest, the same bit for bit.

    Mosaics and measurements are those of the store where they have the checksums of the manifest, else the files
    beside the manifest. All else is made again, and compared.

    Parameters
    ----------
    manifest : `manifest.json` of a publication.
    directory : of the new one; it must not exist.
    store : None for the files beside the manifest alone.

    Raises
    ------
    BadInput : a file has another checksum, which is named; the directory exists.
    Transient : the disk is full or cannot be written.
    """
    header = read_header(manifest)
    with _staged_directory(directory, replaces=False) as temporary:
        if store is not None:
            _write_again(store, temporary, header, manifest)
        reused = tuple(_complete(temporary, manifest))
        _write_derived(temporary, header, None)
        if sha256_of(temporary / MANIFEST) != sha256_of(manifest):
            raise BadInput(_describe_difference(temporary, manifest, header))
        if (temporary / CHECKSUMS).read_bytes() != (manifest.parent / CHECKSUMS).read_bytes():
            raise BadFile(manifest.parent / CHECKSUMS, f"differs from {MANIFEST}; one of both was changed")
    return replace(_result(directory, header, is_changed=True), from_manifest=reused)


class _UpToDate(Exception):
    """The publication holds what would be written."""

    def __init__(self, header: Header) -> None:
        super().__init__()
        self.header = header


@contextmanager
def _staged_directory(directory: Path, *, replaces: bool = True) -> Iterator[Path]:
    """`staged` for a directory that is locked while it is written; those of killed processes are removed."""
    for path in directory.parent.glob(f"{glob.escape(directory.name)}{MARK}*"):
        if not is_locked(path):
            remove(path)
    with staged(directory, replaces=replaces) as temporary:
        temporary.mkdir()
        descriptor = lock(temporary)
        try:
            yield temporary
        finally:
            os.close(descriptor)


def _check_target(directory: Path) -> Path | None:
    """The publication in the directory, or None; refuses a directory that holds something else."""
    if (directory / MANIFEST).is_file():
        read_header(directory / MANIFEST)
        return directory
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BadInput(f"{directory}: holds something that `contimg publish` has not written; give another directory")
    return None


def _iterate(store: Store, references: Sequence[MosaicReference]) -> Iterator[StoredMosaic]:
    """Records of mosaics, each read in a transaction of its own: files are copied between them."""
    for reference in references:
        with store.database.read() as session:
            mosaics = list(read_mosaics(session, [reference]))
        yield from mosaics


def _maps_of(mosaic: StoredMosaic) -> Iterator[tuple[str, Path]]:
    for ending in _MAPS:
        path = mosaic.file(ending)
        if path is not None:
            yield ending, path


def _take(source: Path, target: Path, previous: Path | None) -> None:
    """Link or copy a file; where an earlier publication has the same, by size and time, that is linked."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_file():
        raise BadFile(source, "not on disk; `contimg epochs retry` makes the mosaic again, or select others")
    earlier = None if previous is None else previous / "mosaics" / target.name
    is_known = earlier is not None and earlier.is_file() and _stamp(earlier) == _stamp(source)
    with disk_errors(target):
        sky.link_file(earlier if is_known and earlier is not None else source.resolve(), target)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _write_tables(
    store: Store, directory: Path, header: Header, references: Sequence[MosaicReference], part_rows: int
) -> Header:
    """Write the tables that are read from the store, in one transaction."""
    epochs = frozenset(reference.epoch for reference in references)
    with store.database.read() as session:
        if find_mosaics(session, header.selection.processing, epochs) != tuple(references):
            raise Transient(f"{directory.name}: mosaics were made again meanwhile; publish once more")
        chosen = ExportFilter(header.selection.processing, epochs=epochs)
        mosaics = tables.write_mosaic_table(directory, read_mosaics(session, references))
        measurements = tables.write_measurements(directory, read_measurements(session, chosen), part_rows)
    return replace(header, mosaics=mosaics, measurements=measurements)


def _check_unchanged(directory: Path, header: Header, previous: Path | None) -> None:
    """Raise `_UpToDate` where an earlier publication was made from the same files in the same way."""
    if previous is None:
        return
    earlier = read_header(previous / MANIFEST)
    names = ("selection", "has_hips", "software")
    if any(getattr(header, name) != getattr(earlier, name) for name in names):
        return
    entries = (entry for entry in read_entries(previous / MANIFEST) if entry.path.startswith(_PRIMARY))
    for name in walk(directory):
        entry = next(entries, None)
        if entry is None or entry.path != name or not _is_same(directory / name, previous / name, entry):
            return
    if next(entries, None) is None:
        raise _UpToDate(earlier)


def _is_same(path: Path, earlier: Path, entry: Entry) -> bool:
    if earlier.is_file() and _stamp(earlier) == _stamp(path):
        return True
    return path.stat().st_size == entry.bytes and sha256_of(path) == entry.sha256


def _write_derived(directory: Path, header: Header, previous: Path | None) -> Header:
    """Write what is made from mosaics and tables alone, and the manifest; the header has the numbers of all."""
    curves = 0
    sources = 0

    def batches() -> Iterator[Batch]:
        nonlocal curves, sources
        empty = next(read_parquet(tables.parts_of(directory)[0]))
        yield tables.source_columns(tables.take_rows(empty, tables.NO_ROWS))
        for batch in tables.read_sources(directory):
            curves += light_curves.write_light_curves(directory, batch, MIN_POINTS)
            columns = tables.source_columns(batch)
            sources += len(columns["source_id"].values)
            yield columns

    stream_table(directory / f"{tables.SOURCES}.parquet", batches())
    tables.write_votables(directory)
    if header.has_hips:
        sky.build_sky(directory, header.created_at, previous, _unchanged_mosaics(directory, previous))
    header = replace(header, sources=sources, light_curves=curves)
    pages.write_pages(directory, header)
    write_manifest(directory, header, _Describer(directory), previous)
    return header


def _unchanged_mosaics(directory: Path, previous: Path | None) -> list[str]:
    """Names of the mosaics of an earlier publication that are the same in this one, up to the first that is not."""
    same: list[str] = []
    for name in sky.mosaic_names(previous) if previous is not None else ():
        for ending in _MAPS[:2]:
            path = Path("mosaics", f"{name}.{ending}")
            if not (directory / path).is_file() or _stamp(directory / path) != _stamp(previous / path):  # type: ignore[operator]
                return same
        same.append(name)
    return same


class _Describer:
    """Media type, description and provenance of each file; mosaics are described by the table of the mosaics."""

    def __init__(self, directory: Path) -> None:
        batches = read_parquet(directory / f"{tables.MOSAICS}.parquet")
        self._rows: Iterator[dict[str, Any]] = (
            dict(zip(batch, row, strict=True))
            for batch in batches
            for row in zip(*(column.values.tolist() for column in batch.values()), strict=True)
        )
        self._row: dict[str, Any] | None = None

    def __call__(self, path: str) -> tuple[str, str, Mapping[str, Any]]:
        media_type = _MEDIA_TYPES.get(Path(path).suffix, "text/plain")
        name = path.removeprefix("mosaics/")
        if name == path:
            return media_type, _description(path), {}
        ending = next(ending for ending in (*_MAPS[1:], "fits") if name.endswith(f".{ending}"))
        epoch = name.removesuffix(f".{ending}")
        while self._row is None or self._row["epoch"] < epoch:
            self._row = next(self._rows)
        text = {"fits": "mosaic, Jy/beam", "weight.fits": "weights, 1/Jy²", "rms.fits": "noise, Jy/beam"}[ending]
        names = ("epoch", "grade", "calibration", "stored_at")
        provenance = {key: self._row[key] for key in names} | {"members": self._row["members"].split()}
        return media_type, text, provenance


_DESCRIPTIONS = (
    (f"{tables.MOSAICS}.", "table of the mosaics"), (f"{tables.SOURCES}.", "catalogue of sources"),
    ("measurements/", "measurements"), ("light_curves/", "light curve of a source"),
    (f"{sky.HIPS}/properties", "description of the HiPS"), (f"{sky.HIPS}/Moc", "coverage"),
    (f"{sky.HIPS}/", "tile of the HiPS"), ("coverage.", "coverage (MOC)"),
)  # fmt: skip


def _description(path: str) -> str:
    return next((text for start, text in _DESCRIPTIONS if path.startswith(start)), "description of the publication")


def _write_again(store: Store, directory: Path, header: Header, manifest: Path) -> None:
    """Write what the store still has of a publication; what differs from the manifest is replaced afterwards."""
    entries = (entry.path for entry in read_entries(manifest) if entry.path.startswith(_PRIMARY))
    epochs = {path[8:-5] for path in entries if path.endswith(".fits") and path.count(".") == 1}
    with store.database.read() as session:
        references = find_mosaics(session, header.selection.processing, epochs)
    for mosaic in _iterate(store, references):
        for ending, path in _maps_of(mosaic):
            if path.is_file():
                _take(path, directory / f"mosaics/{mosaic.epoch}.{ending}", None)
    if len(references) == len(epochs):
        _write_tables(store, directory, header, references, tables.PART_ROWS)


def _complete(directory: Path, manifest: Path) -> Iterator[str]:
    """Take the files beside the manifest where those of the store are absent or others; yield their paths."""
    for name in list(walk(directory)):
        if name.startswith(f"{tables.PARTS}/") and not (manifest.parent / name).exists():
            (directory / name).unlink()  # the store has more measurements now
    for entry in read_entries(manifest):
        if not entry.path.startswith(_PRIMARY):
            continue
        target, beside = directory / entry.path, manifest.parent / entry.path
        if target.is_file() and target.stat().st_size == entry.bytes and sha256_of(target) == entry.sha256:
            continue
        if not beside.is_file() or sha256_of(beside) != entry.sha256:
            raise BadInput(
                f"{entry.path}: neither the store nor {manifest.parent} has it with the SHA-256 of the manifest; "
                "the publication cannot be made again"
            )
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy2(beside, target)
        yield entry.path


def _describe_difference(directory: Path, manifest: Path, header: Header) -> str:
    path = first_difference(directory / MANIFEST, manifest)
    now = software_versions()
    changed = [
        f"{name} {number} (now {now.get(name)})" for name, number in header.software.items() if now.get(name) != number
    ]
    reason = f"it was made by {', '.join(changed)}" if changed else "the manifest was changed, or names other files"
    return f"{path}: is not made the same again; {reason}"


def _result(directory: Path, header: Header, *, is_changed: bool) -> Publication:
    values = asdict(header)
    names = ("mosaics", "sources", "measurements", "light_curves")
    return Publication(directory=directory, is_changed=is_changed, **{name: values[name] for name in names})
