"""What the regression guard says of ratios, recorded and measured."""

import json
from pathlib import Path

import guard
import pytest
from guard_verdict import MOST_LOSS, Recorded, losses, report

from contimg.errors import Misconfigured

RECORDED = Recorded("48x12x384", {"convert": 2.0, "flag": 4.0}, {"cores": 2})


@pytest.mark.parametrize("stage", ["convert", "flag"])
def test_a_loss_beyond_what_is_allowed_is_named_and_no_other(stage):
    within = {name: ratio * (1 + MOST_LOSS) for name, ratio in RECORDED.ratios.items()}
    assert not losses(within, RECORDED)
    assert list(losses({**within, stage: 1.01 * within[stage]}, RECORDED)) == [stage]


def test_a_ratio_that_is_no_number_is_a_loss():
    assert "convert" in losses({"convert": float("nan"), "flag": 4.0}, RECORDED)


def test_a_stage_that_is_not_recorded_is_not_passed_over():
    for stage, ratios in {"flag": {"convert": 2.0}, "apply": {**RECORDED.ratios, "apply": 1.0}}.items():
        with pytest.raises(Misconfigured, match=rf"\b{stage}\b"):
            losses(ratios, RECORDED)


def test_a_gain_is_worth_recording():
    lines = report({"convert": (1.0, 1.0), "flag": (4.0, 1.0)}, {"convert": 1.0, "flag": 4.0}, RECORDED).splitlines()
    assert not lines[1].endswith("%"), "the change is followed by a hint"
    assert lines[2].endswith("%")


def test_a_record_comes_back_and_another_sizes_does_not(tmp_path: Path):
    path = tmp_path / "recorded.json"
    RECORDED.write(path)
    assert Recorded.read(path, RECORDED.size) == RECORDED
    with pytest.raises(Misconfigured, match=r"48x12x384.*96x24x768"):
        Recorded.read(path, "96x24x768")
    for spoilt in ("", "[]", json.dumps({"ratios": {}})):
        path.write_text(spoilt)
        with pytest.raises(Misconfigured, match=r"recorded\.json.*bench-guard"):
            Recorded.read(path, RECORDED.size)


def test_the_projects_own_record_is_of_what_the_guard_measures():
    recorded = Recorded.read(guard.RECORD, guard.SIZE)
    assert tuple(recorded.ratios) == guard.STAGES
    assert all(ratio > 0 for ratio in recorded.ratios.values())
