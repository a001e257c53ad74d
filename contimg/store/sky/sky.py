"""The sky of the store: what is measured of each source, and what observers decide about candidates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from contimg.common.errors import BadInput
from contimg.epoch.photometry.products import Photometry
from contimg.formats.records import page_key
from contimg.formats.table_streams import stream_table
from contimg.sky.variability.normalisation import Normalisation
from contimg.store import tables
from contimg.store.database import Repository, order_by_key
from contimg.store.jobs.kinds import LIVE
from contimg.store.sky import candidates, export, identification, measurements, queries, statistics
from contimg.store.sky.backfill import Backfill, measure_back
from contimg.store.sky.export import ExportFilter
from contimg.store.sky.records import (
    CandidateRecord,
    CandidateState,
    EpochMeasurements,
    EtaVPlane,
    LightCurve,
    Selection,
    SourceKind,
    SourceList,
    SourceRecord,
)


class Sky(Repository):
    """Sources, their light curves and statistics, and candidates. Light curves are of one processing throughout."""

    def commit_measurements(
        self, epoch_key: str, mosaic_id: int | None, photometry: Photometry, normalisation: Normalisation,
        processing: str = LIVE, *, catalogue: str = "", catalogue_normalisation: Normalisation | None = None,
    ) -> None:  # fmt: skip
        """Write the measurements of an epoch in place of those it has, and the statistics, in one transaction.

        A stage commits `EpochMeasurements` with its lease instead.

        Parameters
        ----------
        epoch_key : key of the epoch.
        mosaic_id : number of the mosaic; None of an image that is not in the store.
        photometry, normalisation, catalogue, catalogue_normalisation : as of `EpochMeasurements`.
        processing : `live`, or the name of a campaign.

        Raises
        ------
        BadInput : the image has no time of observation.
        """
        product = EpochMeasurements(
            mosaic_id, photometry, normalisation, catalogue=catalogue, catalogue_normalisation=catalogue_normalisation
        )
        with self._database.write() as session:
            measurements.write_epoch(session, epoch_key, processing, product, self._database.clock())

    def remove_measurements(self, epoch_key: str, processing: str = LIVE) -> bool:
        """Delete the measurements of an epoch and take them out of the statistics.

        Parameters
        ----------
        epoch_key, processing : of the epoch.

        Returns
        -------
        whether the epoch was measured.
        """
        with self._database.write() as session:
            return measurements.remove_epoch(session, epoch_key, processing, self._database.clock())

    def add_source(
        self, ra_deg: float, dec_deg: float, *, name: str = "", kind: SourceKind = SourceKind.ADDED,
        flux_jy: float | None = None, position_error_deg: float | None = None, by: str | None = None,
    ) -> SourceRecord:  # fmt: skip
        """Add a source.

        Parameters
        ----------
        ra_deg, dec_deg : its position, ICRS.
        name : its name; one from the position without it.
        kind : where it comes from.
        flux_jy, position_error_deg : of its first detection; None where unknown.
        by : who adds it.

        Raises
        ------
        BadInput : the name is longer than 64 characters or another source has it.
        """
        if len(name) > tables.Source.name.type.length:
            raise BadInput(f"{name}: has {len(name)} characters (maximum 64); give a shorter name")
        position = np.array([ra_deg]), np.array([dec_deg])
        with self._database.write() as session:
            if name and session.scalar(select(tables.Source.id).where(tables.Source.name == name)):
                raise BadInput(f"{name}: is the name of a source already; `contimg sources show` shows it")
            (number,) = identification.add_sources(
                session, *position, kind, self._database.clock(), names=(name,) if name else (), flux_jy=(flux_jy,),
                position_error_deg=(position_error_deg,), by=by,
            ).tolist()  # fmt: skip
        return self.source(number)

    def add_measurements(
        self, epoch_key: str, photometry: Photometry, source_ids: Sequence[int], processing: str = LIVE
    ) -> int:
        """Add measurements of single sources to an epoch that was measured before.

        Parameters
        ----------
        epoch_key, processing : of the epoch.
        photometry : of the sources in its mosaic.
        source_ids : their numbers, of shape (positions,).

        Returns
        -------
        number of measurements; sources outside the mosaic have none.

        Raises
        ------
        BadInput : the epoch was not measured.
        """
        with self._database.write() as session:
            epoch = measurements.find_epoch(session, epoch_key, processing)
            if epoch is None:
                raise BadInput(f"epoch {epoch_key}: is not measured ({processing})")
            return measurements.write_sources(session, epoch, photometry, np.asarray(source_ids, dtype=np.int64))

    def measure_back(self, source_ids: Sequence[int], processing: str = LIVE) -> Backfill:
        """Measure sources that were added later in the mosaics that are on disk, which takes seconds for each.

        Parameters
        ----------
        source_ids : numbers of the sources.
        processing : of the epochs.

        Raises
        ------
        BadInput : a mosaic cannot be measured.
        """
        return measure_back(self._database, source_ids, processing)

    def export(self, path: Path, chosen: ExportFilter, *, statistics_only: bool = False) -> int:
        """Write measurements, or the statistics of sources, to a table, and return the number of rows.

        Parameters
        ----------
        path : of the file; its suffix gives the format: `.parquet`, `.vot` or `.csv`.
        chosen : which sources and times.
        statistics_only : one row for each source.

        Raises
        ------
        BadInput : the suffix is not known.
        Transient : the disk is full or cannot be written.
        """
        with self._database.read() as session:
            read = export.read_statistics if statistics_only else export.read_measurements
            return stream_table(path, read(session, chosen), {"processing": chosen.processing})

    def source(self, source: int | str, processing: str = LIVE) -> SourceRecord:
        """Return a source.

        Parameters
        ----------
        source : its number or its name, or its id in a catalogue.
        processing : of its statistics.

        Raises
        ------
        BadInput : there is none.
        """
        table, identifier = tables.Source, tables.SourceIdentifier
        is_named = (table.name == str(source)) | table.id.in_(
            select(identifier.source_id).where(identifier.identifier == str(source))
        )
        is_source = table.id == source if isinstance(source, int) else is_named
        query = queries.select_sources(processing).where(is_source).order_by(table.id)
        with self._database.read() as session:
            records = queries.read_sources(session, query.limit(1), processing)
        if not records:
            raise BadInput(f"source {source}: not in the store; `contimg sources list` lists the sources")
        return records[0]

    def light_curve(self, source_id: int, processing: str = LIVE, *, counted_only: bool = False) -> LightCurve:
        """Return the measurements of a source in order of time.

        Parameters
        ----------
        source_id : its number.
        processing : of the measurements.
        counted_only : without measurements that no statistics use.

        Raises
        ------
        BadInput : there is no such source.
        """
        source = self.source(source_id, processing)
        query = queries.select_measurements(processing, counted_only=counted_only)
        with self._database.read() as session:
            rows = session.execute(query.where(tables.Measurement.source_id == source_id)).all()
            epochs = queries.read_epochs_by_id(session, [row.epoch_id for row in rows])
        points = [queries.make_measurement(row, epochs[row.epoch_id]) for row in rows]
        return LightCurve(source=source, measurements=tuple(sorted(points, key=lambda point: (point.mjd, point.epoch))))

    def eta_v(self, processing: str = LIVE, *, min_n: int = 2) -> EtaVPlane:
        """Return the statistics of all sources for the η–V plane.

        Parameters
        ----------
        processing : of the statistics.
        min_n : fewest counted measurements of a source.
        """
        with self._database.read() as session:
            return queries.read_plane(session, processing, min_n)

    def cone(
        self, ra_deg: float, dec_deg: float, radius_deg: float, processing: str = LIVE, *, limit: int | None = None
    ) -> tuple[SourceRecord, ...]:
        """Return the sources around a position, the nearest first.

        Parameters
        ----------
        ra_deg, dec_deg, radius_deg : the cone, ICRS.
        processing : of the statistics.
        limit : largest number of sources; None for all.
        """
        with self._database.read() as session:
            distances = dict(list(queries.read_cone(session, ra_deg, dec_deg, radius_deg).items())[:limit])
            records = [
                source
                for part in identification.chunks(list(distances))
                for source in queries.read_sources(
                    session, queries.select_sources(processing).where(tables.Source.id.in_(part)), processing, distances
                )
            ]
        return tuple(sorted(records, key=lambda source: (source.separation_deg, source.id)))

    def sources(
        self, limit: int = 50, processing: str = LIVE, *, name: str = "", min_eta: float | None = None,
        max_eta: float | None = None, min_modulation_index: float | None = None,
        max_modulation_index: float | None = None, min_flux_jy: float | None = None, max_flux_jy: float | None = None,
        min_n: int = 0, before: tuple[float, int] | None = None,
    ) -> SourceList:  # fmt: skip
        """Return a page of the sources, the highest η first.

        Parameters
        ----------
        limit : largest number of sources.
        processing : of the statistics.
        name : only sources whose name, or id in a catalogue, holds this text.
        min_eta, max_eta, min_modulation_index, max_modulation_index : limits of η and V; None for any.
        min_flux_jy, max_flux_jy : limits of the weighted mean flux; None for any.
        min_n : fewest counted measurements.
        before : η (-1 without) and number of the last source of the page before.
        """
        source, table, identifier = tables.Source, tables.SourceStatistics, tables.SourceIdentifier
        conditions: list[Any] = []
        if name:
            of_catalogue = select(identifier.source_id).where(identifier.identifier.icontains(name, autoescape=True))
            conditions.append(source.name.icontains(name, autoescape=True) | source.id.in_(of_catalogue))
        for column, low, high in (
            (table.eta, min_eta, max_eta), (table.modulation_index, min_modulation_index, max_modulation_index),
            (table.weighted_mean_jy, min_flux_jy, max_flux_jy),
        ):  # fmt: skip
            conditions += [column >= low] if low is not None else []
            conditions += [column <= high] if high is not None else []
        if min_n:
            conditions.append(table.n >= min_n)
        eta = func.coalesce(table.eta, -1.0)
        matching = queries.select_sources(processing).where(*conditions)
        query = order_by_key(matching, eta, source.id, False, before).limit(limit + 1)
        with self._database.read() as session:
            listed = queries.read_sources(session, query, processing)
            total = queries.count_sources(session, matching.with_only_columns(source.id))
        last = listed[limit - 1] if len(listed) > limit else None
        last_eta = -1.0 if last is None or last.variability is None else last.variability.eta
        return SourceList(
            sources=listed[:limit], total=total,
            next=None if last is None else page_key(-1.0 if last_eta is None else last_eta, last.id),
        )  # fmt: skip

    def reference_fluxes(
        self, source_ids: Sequence[str], catalogue: str = "", processing: str = LIVE, *, min_n: int = 3
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean fluxes of earlier epochs and their errors, Jy, against which an epoch is normalised.

        Parameters
        ----------
        source_ids : names of the sources, or their ids in the catalogue.
        catalogue : of the ids; empty for names.
        processing : of the measurements.
        min_n : fewest counted measurements of a source that has a mean; NaN of the others.
        """
        with self._database.read() as session:
            ids_by_name = identification.find_names(session, catalogue, source_ids)
            sums = statistics.read_sums(session, [ids_by_name.get(name, 0) for name in source_ids], processing)
        is_enough = sums.n >= min_n
        mean, error = sums.weighted_mean_jy, sums.weighted_mean_error_jy
        return np.where(is_enough, mean, np.nan), np.where(is_enough, error, np.nan)

    def record_candidates(self, selections: Sequence[Selection], processing: str = LIVE) -> tuple[int, ...]:
        """Record selected sources as candidates, and return the numbers of the new ones.

        Parameters
        ----------
        selections : the sources, why and by which numbers. One that is a candidate already keeps its state.
        processing : of the measurements that selected them.
        """
        with self._database.write() as session:
            return candidates.record_candidates(session, selections, processing, self._database.clock())

    def candidates(
        self, *, state: CandidateState | None = None, kind: str | None = None, source_id: int | None = None,
        processing: str | None = LIVE, limit: int | None = None,
    ) -> tuple[CandidateRecord, ...]:  # fmt: skip
        """Return candidates with their notes, the latest first.

        Parameters
        ----------
        state, kind, source_id, processing : conditions; None for any.
        limit : largest number; None for all.
        """
        with self._database.read() as session:
            return candidates.read_candidates(
                session, state=state, kind=kind, source_id=source_id, processing=processing, candidate_id=None,
                limit=limit,
            )  # fmt: skip

    def candidate(self, candidate_id: int) -> CandidateRecord | None:
        """Return a candidate, or None.

        Parameters
        ----------
        candidate_id : its number.
        """
        with self._database.read() as session:
            records = candidates.read_candidates(
                session, state=None, kind=None, source_id=None, processing=None, candidate_id=candidate_id, limit=1
            )
        return records[0] if records else None

    def set_candidate_state(
        self, candidate_id: int, state: CandidateState, note: str = "", name: str | None = None
    ) -> CandidateRecord:
        """Give a candidate a state, with a note.

        Parameters
        ----------
        candidate_id : its number.
        state : the new one; the present one only adds the note.
        note : text; may be empty.
        name : who says so.

        Raises
        ------
        BadInput : there is no such candidate.
        """
        with self._database.write() as session:
            candidates.set_state(session, candidate_id, CandidateState(state), note, name, self._database.clock())
        record = self.candidate(candidate_id)
        assert record is not None  # noqa: S101 (candidates are never deleted)
        return record
