"""Candidates that committing an epoch selects, and the events that notify of them."""

from dataclasses import replace

import numpy as np
import pytest

from contimg.store import CandidateKind, CandidateState, EpochMeasurements, NewSources, Store
from tests.light_curve_steps import SCALE, Epoch, make_photometry

FLUXES = {letter: 0.02 + 0.005 * number for number, letter in enumerate("abcdefgh")}
RMS_JY = 1e-3


def commit(store: Store, day: int, factor: float = 1.0, *, ra_deg: float = 24.4, accepted: bool = True,
           new: NewSources | None = None, flags: int = 0, last: float = 1.0) -> None:  # fmt: skip
    """Commit an epoch whose first and last source have their fluxes times a factor, and the noise is deterministic."""
    rng, epoch = np.random.default_rng(day), Epoch(day=day, ra_deg=ra_deg)
    factors = {"a": factor, "h": last}
    fluxes = {name: (flux * factors.get(name, 1.0) + RMS_JY * rng.normal(), RMS_JY)
              for name, flux in FLUXES.items()}  # fmt: skip
    photometry = make_photometry(epoch, fluxes, flags)
    if new:
        photometry = replace(photometry, source_id=np.append(photometry.source_id[:-1], new.names))
    from contimg.store.sky.measurements import write_epoch

    product = EpochMeasurements(None, photometry, replace(SCALE, accepted=accepted), catalogue="nvss", new_sources=new)
    with store.database.write() as session:
        write_epoch(session, epoch.key, "live", product, 1.8e9 + day)


@pytest.mark.parametrize("ra_deg", [24.4, 359.8])
def test_variable_source_is_a_candidate_once_with_an_event(store: Store, ra_deg: float) -> None:
    for day in range(10):
        commit(store, day, 0.5 if 4 <= day < 8 else 1.0, ra_deg=ra_deg)
    (candidate,) = store.sky.candidates()
    assert (candidate.kind, candidate.state) == (CandidateKind.VARIABLE, CandidateState.NEW)
    assert store.sky.source(candidate.source_id).identifiers == {"nvss": "a"}
    assert candidate.statistics["eta"] > 5
    events = [event for event in store.events.last(100) if event.rule == "candidate"]
    assert len(events) == 1
    assert candidate.source_name in events[0].text


def test_state_stays_when_later_epochs_select_again(store: Store) -> None:
    for day in range(8):
        commit(store, day, 0.5 if day >= 4 else 1.0)
    (candidate,) = store.sky.candidates()
    store.sky.set_candidate_state(candidate.id, CandidateState.CONFIRMED, "scattering event", "ana")
    commit(store, 8, 0.5)
    (candidate,) = store.sky.candidates()
    assert (candidate.state, candidate.changed_by) == (CandidateState.CONFIRMED, "ana")
    assert candidate.notes[-1].text == "scattering event"
    assert candidate.mjd == pytest.approx(Epoch(day=8).mjd)


def test_refused_epochs_select_nothing(store: Store) -> None:
    for day in range(8):
        commit(store, day, 0.3 if day % 2 else 1.0, accepted=day % 2 == 0)
    assert store.sky.candidates() == ()


def test_new_source_gets_an_identity_and_is_a_candidate_where_it_is_new(store: Store) -> None:
    new = NewSources(("J013900.1+161800",), (24.4 + 0.7,), (16.3,), (1e-4,), (0.05,), (RMS_JY,), ("new",), (3,))
    commit(store, 0, new=new)
    commit(store, 0, new=new)  # the mosaic is made again
    source = next(source for source in store.sky.cone(25.1, 16.3, 0.01))
    assert (source.name, str(source.kind), source.flux_jy) == ("J013900.1+161800", "blind", 0.05)
    (candidate,) = store.sky.candidates()
    assert (candidate.kind, candidate.source_id) == (CandidateKind.NEW, source.id)
    assert candidate.statistics["earlier_epochs"] == 3
    faint = replace(new, names=("J013800.1+161800",), novelty=("too faint",), earlier_epochs=(0,))
    commit(store, 1, new=faint)
    assert len(store.sky.candidates()) == 1


def test_new_candidate_is_withdrawn_when_the_mosaic_made_again_does_not_show_it(store: Store) -> None:
    new = NewSources(("J013900.1+161800",), (24.4 + 0.7,), (16.3,), (1e-4,), (0.05,), (RMS_JY,), ("new",), (3,))
    commit(store, 0, new=new)
    (candidate,) = store.sky.candidates()
    commit(store, 0, last=0.0)
    (withdrawn,) = store.sky.candidates()
    assert (withdrawn.id, withdrawn.state) == (candidate.id, CandidateState.WITHDRAWN)
    assert withdrawn.changed_by is None
    commit(store, 0)
    (again,) = store.sky.candidates()
    assert (again.id, again.state, len(again.notes)) == (candidate.id, CandidateState.NEW, 2)
    assert store.sky.remove_measurements(Epoch(day=0).key)
    assert store.sky.candidates()[0].state is CandidateState.WITHDRAWN


def test_variable_candidate_is_withdrawn_with_the_wrong_epoch(store: Store) -> None:
    """A source deviates in one mosaic alone, which is made again; a later deviation makes the candidate new again."""
    for day in range(8):
        commit(store, day, 0.3 if day == 7 else 1.0)
    (candidate,) = store.sky.candidates()
    commit(store, 8)
    commit(store, 6)
    assert store.sky.candidates()[0].state is CandidateState.NEW, "the wrong epoch is in the light curve still"
    commit(store, 7)
    (withdrawn,) = store.sky.candidates()
    assert (withdrawn.id, withdrawn.state) == (candidate.id, CandidateState.WITHDRAWN)
    events = [event.text for event in store.events.last(10) if event.rule == "candidate"]
    assert any("withdrawn" in text for text in events)
    commit(store, 9, 0.3)
    assert [(row.id, row.state) for row in store.sky.candidates()] == [(candidate.id, CandidateState.NEW)]


def test_decided_candidate_keeps_its_state_and_gets_one_note(store: Store) -> None:
    for day in range(8):
        commit(store, day, 0.3 if day == 7 else 1.0)
    (candidate,) = store.sky.candidates()
    store.sky.set_candidate_state(candidate.id, CandidateState.WATCHING, "dips", "ana")
    commit(store, 7)
    commit(store, 7)
    (watched,) = store.sky.candidates()
    assert (watched.state, len(watched.notes)) == (CandidateState.WATCHING, 2)
    assert watched.notes[-1].name is None
