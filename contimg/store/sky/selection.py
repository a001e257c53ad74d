"""Candidates among the sources of an epoch, selected or withdrawn in the transaction that writes its measurements."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.epoch.photometry.products import LIMIT_SIGMA
from contimg.sky.variability.association import Novelty
from contimg.sky.variability.candidates import Reason, eta_threshold
from contimg.sky.variability.candidates import select as select_variable
from contimg.sky.variability.options import CandidateRule
from contimg.sky.variability.statistics import FluxSums
from contimg.store import tables
from contimg.store.sky.candidates import record_candidates, set_state, withdraw_candidate
from contimg.store.sky.identification import chunks, find_names
from contimg.store.sky.records import CandidateKind, CandidateState, NewSources, Selection
from contimg.store.sky.statistics import read_sums

MAX_NEW = 5  # of an epoch; more, where they are more than the crowd of `CandidateRule`, are its artefacts
_NUMBERS = ("weighted_mean_jy", "eta", "eta_without_extreme", "modulation_index", "vs", "m", "high_jy", "low_jy",
            "high_mjd", "low_mjd")  # fmt: skip


def select_candidates(
    session: Session, epoch: tables.MeasuredEpoch, rule: CandidateRule | None, new: NewSources | None, now: float
) -> tuple[int, ...]:
    """Select the candidates among the sources of an epoch, and return the numbers of those that are recorded first.

    Parameters
    ----------
    session : of the caller's transaction, which has written the measurements and the statistics.
    epoch : row of the epoch; one whose normalisation is not accepted selects nothing.
    rule : thresholds; the defaults where None.
    new : sources that the epoch shows first.
    now : epoch seconds.
    """
    if not epoch.is_accepted:
        return ()
    rule, table = rule or CandidateRule(), tables.Measurement
    ids = np.array(session.scalars(select(table.source_id).where(table.epoch_id == epoch.id)).all(), dtype=np.int64)
    sums = read_sums(session, ids.tolist(), epoch.processing)
    candidates = select_variable(sums, rule)
    selections = [
        Selection(
            source_id=int(ids[index]), kind=CandidateKind.VARIABLE, mjd=epoch.mjd, epoch=epoch.epoch,
            **_describe_variable(sums, index, reason, rule),
        )
        for index, reason in zip(candidates.index.tolist(), candidates.reason.tolist(), strict=True)
    ]  # fmt: skip
    return record_candidates(session, selections + _select_new(session, epoch, new, rule), epoch.processing, now)


def find_selected(
    session: Session, source_ids: Sequence[int], processing: str, rule: CandidateRule | None
) -> frozenset[int]:
    """Return the sources of open candidates of variability that the rule selects from the present statistics.

    Parameters
    ----------
    session : of the caller's transaction.
    source_ids : of an epoch.
    processing : of the statistics.
    rule : thresholds; the defaults where None.
    """
    table = tables.Candidate
    is_open = table.state.not_in((CandidateState.DISMISSED, CandidateState.WITHDRAWN))
    query = select(table.source_id).where(
        table.processing == processing, table.kind == str(CandidateKind.VARIABLE), is_open
    )
    candidates = set(session.scalars(query)) & set(source_ids)
    if not candidates:
        return frozenset()
    index = select_variable(read_sums(session, source_ids, processing), rule).index
    return frozenset(candidates & {source_ids[row] for row in index.tolist()})


def withdraw_candidates(
    session: Session, key: str, processing: str, source_ids: Sequence[int], selected: frozenset[int],
    rule: CandidateRule | None, now: float,
) -> None:  # fmt: skip
    """Withdraw the candidates whose reason went with the earlier measurements of an epoch.

    Those are new sources of the epoch that it no longer shows at 3 sigma, and variable ones that the rule selected
    before and does not now. A new source that was withdrawn and is in the epoch again is a new candidate again.

    Parameters
    ----------
    session : of the caller's transaction, which has written the measurements and the statistics.
    key, processing : of the epoch.
    source_ids : measured in it before.
    selected : those that `find_selected` gave from the statistics before.
    rule : thresholds; the defaults where None.
    now : epoch seconds.
    """
    table = tables.Candidate
    words = f"epoch {key} was measured again"
    of_epoch = (table.epoch == key, table.kind == str(CandidateKind.NEW), table.processing == processing)
    for candidate in session.scalars(select(table).where(*of_epoch, table.state != CandidateState.DISMISSED)).all():
        is_shown = _is_shown(session, key, candidate)
        if not is_shown:
            withdraw_candidate(session, candidate, f"{words} and does not show it", now)
        elif candidate.state == CandidateState.WITHDRAWN:
            set_state(session, candidate.id, CandidateState.NEW, f"{words} and shows it", None, now)
    gone = selected - find_selected(session, source_ids, processing, rule) if selected else frozenset()
    is_open = table.state.not_in((CandidateState.DISMISSED, CandidateState.WITHDRAWN))
    for part in chunks(sorted(gone)):
        query = select(table).where(table.source_id.in_(part), table.processing == processing, is_open)
        for candidate in session.scalars(query.where(table.kind == str(CandidateKind.VARIABLE))).all():
            withdraw_candidate(session, candidate, f"{words}: the rule does not select it", now)


def _is_shown(session: Session, key: str, candidate: tables.Candidate) -> bool:
    """Whether the source of a candidate is detected in an epoch."""
    row, epoch = tables.Measurement, tables.MeasuredEpoch
    query = select(row.flux_jy, row.flux_error_jy).join(epoch, epoch.id == row.epoch_id)
    of_epoch = (epoch.epoch == key, epoch.processing == candidate.processing)
    measured = session.execute(query.where(*of_epoch, row.source_id == candidate.source_id)).first()
    flux_jy, error_jy = measured or (None, None)
    return flux_jy is not None and error_jy is not None and flux_jy >= LIMIT_SIGMA * error_jy


def _describe_variable(sums: FluxSums, index: int, reason: str, rule: CandidateRule) -> dict[str, Any]:
    numbers = {name: float(getattr(sums.take(np.array([index])), name)[0]) for name in _NUMBERS}
    count, eta = int(sums.n[index]), numbers["eta_without_extreme"]
    if reason == Reason.SINGLE_EPOCH:
        why = f"one of {count} epochs differs: Vs {numbers['vs']:.1f} (limit {rule.single_vs:g})"
    else:
        limit = float(eta_threshold(count, rule))
        why = (
            f"η {eta:.1f} over {count} epochs without the most deviating (limit {limit:.1f}), "
            f"V {numbers['modulation_index']:.2f} (limit {rule.min_v:g}), "
            f"Vs {numbers['vs']:.1f} (limit {rule.min_vs:g})"
        )
    finite = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
    return {"reason": why, "statistics": {"n": count, "rule": reason, **finite}}


def _select_new(
    session: Session, epoch: tables.MeasuredEpoch, new: NewSources | None, rule: CandidateRule
) -> list[Selection]:
    """Selections of the new sources that earlier epochs would have shown; none of an epoch with many of them."""
    if new is None or new.novelty.count(Novelty.NEW) > max(MAX_NEW, rule.crowd * epoch.source_count):
        return []
    numbers = find_names(session, "", new.names)
    return [
        Selection(
            source_id=numbers[name], kind=CandidateKind.NEW, mjd=epoch.mjd, epoch=epoch.epoch,
            reason=f"{1e3 * flux_jy:.2f} ± {1e3 * rms_jy:.2f} mJy; {epochs} earlier epochs would have shown it",
            statistics={"flux_jy": flux_jy, "rms_jy": rms_jy, "earlier_epochs": epochs},
        )
        for name, flux_jy, rms_jy, novelty, epochs in zip(
            new.names, new.flux_jy, new.rms_jy, new.novelty, new.earlier_epochs, strict=True
        )
        if novelty == Novelty.NEW and name in numbers
    ]  # fmt: skip
