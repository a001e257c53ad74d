"""Candidates of variable or new sources: recorded, listed, and given a state by observers."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput
from contimg.settings.alerts import INFO, RULE_LEVELS
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.sky.records import CandidateNote, CandidateRecord, CandidateState, Selection
from contimg.store.tables import record_of


def record_candidates(
    session: Session, selections: Sequence[Selection], processing: str, now: float
) -> tuple[int, ...]:
    """Record selected sources as candidates, and return the numbers of the new ones.

    A source that is a candidate of the kind already keeps its state and takes the newer numbers; one that was
    dismissed stays so, one that was withdrawn is new again.

    Parameters
    ----------
    session : of the caller's transaction.
    selections : the sources.
    processing : of the measurements that selected them.
    now : epoch seconds.
    """
    row, numbers = tables.Candidate, []
    for selection in selections:
        is_same = (row.source_id == selection.source_id) & (row.processing == processing)
        candidate = session.scalar(select(row).where(is_same, row.kind == selection.kind).order_by(row.id.desc()))
        values = {"reason": selection.reason, "statistics": selection.statistics, "mjd": selection.mjd}
        if candidate is not None:
            if candidate.state != CandidateState.DISMISSED and selection.mjd >= candidate.mjd:
                for name, value in values.items():
                    setattr(candidate, name, value)
            if candidate.state == CandidateState.WITHDRAWN:
                candidate.epoch = selection.epoch
                set_state(session, candidate.id, CandidateState.NEW, selection.reason, None, now)
                numbers.append(candidate.id)
            continue
        candidate = row(
            source_id=selection.source_id, processing=processing, kind=str(selection.kind), epoch=selection.epoch,
            state=str(CandidateState.NEW), created_at=now, changed_at=now, **values,
        )  # fmt: skip
        session.add(candidate)
        session.flush()
        numbers.append(candidate.id)
        source_name = session.scalar(select(tables.Source.name).where(tables.Source.id == selection.source_id))
        text = f"candidate {candidate.id}: {source_name}, {selection.kind}: {selection.reason}"
        record_event(session, now, RULE_LEVELS["candidate"], selection.epoch, text, "candidate", processing=processing)
    return tuple(numbers)


def withdraw_candidate(session: Session, candidate: tables.Candidate, text: str, now: float) -> None:
    """Withdraw a new candidate; one that an observer has decided about keeps its state and gets one note.

    Parameters
    ----------
    session : of the caller's transaction.
    candidate : its row.
    text : why.
    now : epoch seconds.
    """
    if candidate.state == CandidateState.NEW:
        set_state(session, candidate.id, CandidateState.WITHDRAWN, text, None, now)
    elif candidate.state != CandidateState.WITHDRAWN:
        note = tables.CandidateNote
        is_same = (note.candidate_id == candidate.id, note.text == text)
        if session.scalar(select(note.id).where(*is_same).limit(1)) is None:
            set_state(session, candidate.id, CandidateState(candidate.state), text, None, now)


def read_candidates(
    session: Session, *, state: CandidateState | None, kind: str | None, source_id: int | None, processing: str | None,
    candidate_id: int | None, limit: int | None,
) -> tuple[CandidateRecord, ...]:  # fmt: skip
    """Return candidates, the latest first, with their notes.

    Parameters
    ----------
    session : of the caller's transaction.
    state, kind, source_id, processing, candidate_id : conditions; None for any.
    limit : largest number; None for all.
    """
    row, source = tables.Candidate, tables.Source
    wanted_values = {
        row.state: state, row.kind: kind, row.source_id: source_id, row.processing: processing, row.id: candidate_id,
    }  # fmt: skip
    conditions = [column == value for column, value in wanted_values.items() if value is not None]
    query = select(row, source).join(source, source.id == row.source_id).where(*conditions)
    rows = session.execute(query.order_by(row.mjd.desc(), row.id.desc()).limit(limit)).all()
    notes: dict[int, list[CandidateNote]] = {candidate.id: [] for candidate, _ in rows}
    note = tables.CandidateNote
    for text in session.scalars(select(note).where(note.candidate_id.in_(list(notes))).order_by(note.at, note.id)):
        notes[text.candidate_id].append(record_of(CandidateNote, text))
    return tuple(
        record_of(
            CandidateRecord, candidate, source_name=of_source.name, ra_deg=of_source.ra_deg, dec_deg=of_source.dec_deg,
            notes=tuple(notes[candidate.id]),
        )
        for candidate, of_source in rows
    )  # fmt: skip


def set_state(
    session: Session, candidate_id: int, state: CandidateState, text: str, name: str | None, now: float
) -> None:
    """Give a candidate a state, with a note.

    Parameters
    ----------
    session : of the caller's transaction.
    candidate_id : its number.
    state : the new one.
    text : the note; may be empty.
    name : who says so.
    now : epoch seconds.

    Raises
    ------
    BadInput : there is no such candidate.
    """
    candidate = session.get(tables.Candidate, candidate_id)
    if candidate is None:
        raise BadInput(f"candidate {candidate_id}: not in the store; `contimg sources candidates` lists them")
    was = candidate.state
    candidate.state, candidate.changed_at, candidate.changed_by = str(state), now, name
    session.add(tables.CandidateNote(candidate_id=candidate.id, at=now, name=name, state=str(state), text=text.strip()))
    if was != state:
        words = f"candidate {candidate_id}: {was} to {state} by {name or 'the pipeline'}"
        record_event(session, now, INFO, candidate.epoch, words, "candidate", name)
