"""Mosaics added to a HiPS, replaced and removed, so that a kill at any instruction leaves work for the next call only.

For each mosaic `members/NAME.json` holds its path, its digest and the tiles that it touches. It is written before the
first tile changes, with the tiles of the old and the new version, and marked complete after the last. A tile whose FITS
file has the digest is done; what is derived from the tiles (those above, preview, MOC) is made again after a kill.
"""

import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from contimg.common.errors import BadFile
from contimg.common.files.locks import lock, wait_for_lock
from contimg.common.files.names import check_name
from contimg.common.files.staging import disk_errors, remove, staged, temporaries
from contimg.epoch.hips import Properties, SurveyUpdate, read_properties
from contimg.epoch.hips.coverage import (
    area_deg2,
    colour_scale,
    first_properties,
    update_moc,
    write_properties,
)
from contimg.epoch.hips.geometry import MIN_ORDER, choose_order, find_tiles
from contimg.epoch.hips.links import link_mosaic, open_linked, unlink_mosaic
from contimg.epoch.hips.mosaic_image import MosaicImage, open_mosaic, resample, weight_path
from contimg.epoch.hips.tiles import Tile, read_tile, write_allsky, write_parent, write_tile

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """A mosaic of a HiPS.

    Attributes
    ----------
    name : of its file, without `.fits`.
    fits_path : the file.
    digest : of its pixels; empty for a mosaic that is being removed.
    stamp : time of change (ns) and size (bytes) of its two files.
    tiles : those of the deepest order that it touches.
    is_complete : whether all tiles, and what is derived from them, have it.
    """

    name: str
    fits_path: Path
    digest: str
    stamp: list[int]
    tiles: list[int] = field(default_factory=list)
    is_complete: bool = False


class Survey:
    """A HiPS that this process changes; a context manager that holds its lock.

    Parameters
    ----------
    directory : of the HiPS; it is created.

    Raises
    ------
    Transient : on entry, when another process holds the lock for too long, or the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._descriptor = -1

    def __enter__(self) -> Self:
        members = self.directory / "members"
        with disk_errors(self.directory):
            members.mkdir(parents=True, exist_ok=True)
        self._descriptor = wait_for_lock(lambda: lock(members), self.directory, members)
        self._remove_temporaries()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def add(self, path: Path) -> bool:
        """Add a mosaic, or replace it; False when it is in the HiPS as it is.

        Parameters
        ----------
        path : `NAME.fits`, with its weights beside it.

        Raises
        ------
        BadInput : the mosaic or its weights cannot be read.
        Transient : the disk is full or cannot be written.
        """
        name = check_name(path.name.removesuffix(".fits"), "mosaic")
        stamp, old = _stamp(path), self.member(name)
        if old is not None and old.is_complete and old.stamp == stamp and old.fits_path == path:
            link_mosaic(self._members, path)
            return False
        mosaic = open_mosaic(path)
        if old is not None and old.is_complete and old.digest == mosaic.digest:
            self._write_member(replace(old, fits_path=path, stamp=stamp))
            link_mosaic(self._members, path)
            return False
        properties = read_properties(self.directory)
        order = int(properties.get("hips_order") or choose_order(mosaic.cell_arcsec))
        tiles = find_tiles(mosaic.weight, mosaic.wcs, order)
        if not tiles:
            raise BadFile(path, "no pixel has a weight; make the mosaic again")
        if not properties:  # the order stands before the first tile
            properties = first_properties(mosaic, order)
            write_properties(self.directory, properties)
        touched = sorted({*tiles, *(old.tiles if old else ())})
        member = Member(name, path, mosaic.digest, stamp, touched)
        self._write_member(member)
        self._change_tiles(member, mosaic, properties)
        self._write_member(replace(member, tiles=tiles, is_complete=True))
        link_mosaic(self._members, path)
        return True

    def remove(self, name: str) -> bool:
        """Remove a mosaic; False when it is not in the HiPS.

        Parameters
        ----------
        name : of its file, without `.fits`.
        """
        member = self.member(name)
        if member is None:
            return False
        member = replace(member, digest="", is_complete=False)
        self._write_member(member)
        properties = read_properties(self.directory)
        if properties:
            self._change_tiles(member, None, properties)
        unlink_mosaic(self._members, name)
        with disk_errors(self._member_path(name)):
            self._member_path(name).unlink()
        return True

    def release(self, name: str) -> None:
        """Let a mosaic's space go if its file was deleted; its pixels stay in the tiles.

        Parameters
        ----------
        name : of its file, without `.fits`.
        """
        member = self.member(name)
        if member is not None and not member.fits_path.exists():
            unlink_mosaic(self._members, name)

    def member(self, name: str) -> Member | None:
        """Return a mosaic of the HiPS, or None.

        Parameters
        ----------
        name : of its file, without `.fits`.
        """
        try:
            values = json.loads(self._member_path(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Member(**{**values, "fits_path": Path(values["fits_path"])})

    def names(self) -> list[str]:
        """Return the names of the mosaics in the HiPS."""
        return sorted(path.stem for path in self._members.glob("*.json"))

    @property
    def _members(self) -> Path:
        return self.directory / "members"

    def _change_tiles(self, member: Member, mosaic: MosaicImage | None, properties: Properties) -> None:
        order, scale = int(properties["hips_order"]), colour_scale(properties)
        old = open_linked(self._members, member.name)
        for npix in member.tiles:
            tile = read_tile(self.directory, order, npix) or Tile.empty()
            if tile.mosaics.get(member.name) == member.digest:
                continue
            if member.name in tile.mosaics:
                if old is not None and old.digest == tile.mosaics[member.name]:
                    tile = _take_out(old, order, npix, tile, member.name)
                else:
                    tile = self._sum_others(order, npix, tile, member.name)
            resampled = resample(mosaic, order, npix) if mosaic is not None else None
            if resampled is not None:
                tile.add(*resampled)
                tile.mosaics[member.name] = member.digest
            write_tile(self.directory, order, npix, tile, scale)
        npixes = set(member.tiles)
        for parent_order in range(order - 1, -1, -1):
            npixes = {npix // 4 for npix in npixes}
            for npix in npixes:
                write_parent(self.directory, parent_order, npix, scale)
        write_allsky(self.directory, {npix >> 2 * (order - MIN_ORDER) for npix in member.tiles}, scale)
        update_moc(self.directory, order, member.tiles)
        write_properties(self.directory, properties, mosaic)

    def _sum_others(self, order: int, npix: int, tile: Tile, name: str) -> Tile:
        """A tile without one of its mosaics: the sum of the others that are still on disk."""
        summed = Tile.empty()
        for shared_name in sorted(set(tile.mosaics) - {name}):
            member = self.member(shared_name)
            try:
                mosaic = open_mosaic(member.fits_path) if member is not None else None
            except BadFile as error:
                log.warning("tile %d of order %d: without mosaic %s: %s", npix, order, shared_name, error)
                continue
            resampled = resample(mosaic, order, npix) if mosaic is not None else None
            if mosaic is not None and resampled is not None:
                summed.add(*resampled)
                summed.mosaics[shared_name] = mosaic.digest
        return summed

    def _member_path(self, name: str) -> Path:
        return self._members / f"{name}.json"

    def _write_member(self, member: Member) -> None:
        path = self._member_path(member.name)
        with staged(path) as temporary, disk_errors(path):
            temporary.write_text(json.dumps(asdict(member), default=str), encoding="utf-8")

    def _remove_temporaries(self) -> None:
        """Delete what a killed process left; the lock is held, so nobody writes."""
        directories: Iterable[Path] = (
            self.directory, self.directory / "members", *self.directory.glob("Norder*"),
            *self.directory.glob("Norder*/Dir*"),
        )  # fmt: skip
        for directory in directories:
            for path in temporaries(directory):
                remove(path)


def _take_out(old: MosaicImage, order: int, npix: int, tile: Tile, name: str) -> Tile:
    """A tile without one of its mosaics, whose pixels are known."""
    mosaics = {shared: digest for shared, digest in tile.mosaics.items() if shared != name}
    if not mosaics:
        return Tile.empty()
    resampled = resample(old, order, npix)
    if resampled is not None:
        tile.subtract(*resampled)
    return replace(tile, mosaics=mosaics)


def _stamp(mosaic: Path) -> list[int]:
    stamp = []
    for path in (mosaic, weight_path(mosaic)):
        try:
            status = path.stat()
        except OSError:
            raise BadFile(path, "not on disk; make the mosaic again with `contimg epochs retry`") from None
        stamp += [status.st_mtime_ns, status.st_size]
    return stamp


def update(directory: Path, mosaics: Mapping[str, Path], rejected: Collection[str], *, rebuild: bool) -> SurveyUpdate:
    """Update a HiPS as `contimg.epoch.hips.update_survey` does.

    Parameters
    ----------
    directory, mosaics, rejected, rebuild : as there.
    """
    if not rebuild:
        return _update(directory, mosaics, rejected)
    with Survey(directory), staged(directory) as fresh:
        result = _update(fresh, mosaics, ())
    return replace(result, directory=directory)


def _update(directory: Path, mosaics: Mapping[str, Path], rejected: Collection[str]) -> SurveyUpdate:
    added, removed, unusable = [], [], {}
    with Survey(directory) as survey:
        for name in survey.names():
            member = survey.member(name)
            is_cut = member is not None and not member.is_complete and name not in mosaics
            if name in rejected or is_cut:
                survey.remove(name)
                removed.append(name)
            elif name not in mosaics:
                survey.release(name)
        for name, path in sorted(mosaics.items()):
            try:
                if survey.add(path):
                    added.append(name)
            except BadFile as error:
                unusable[name] = str(error)
        order = read_properties(directory).get("hips_order")
        return SurveyUpdate(
            directory=directory, added=tuple(added), removed=tuple(removed), unusable=unusable,
            mosaics=len(survey.names()), order=int(order) if order else None, area_deg2=area_deg2(directory),
        )  # fmt: skip
