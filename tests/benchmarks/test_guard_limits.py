"""Test the limits of the regression guard on recorded and measured ratios."""

import json
from pathlib import Path

import guard
import pytest
from guard_limits import MAX_LOSS, Recorded, find_losses, format_report

from contimg.common.errors import Misconfigured

RECORDED = Recorded("48x12x384", {"convert": 2.0, "flag": 4.0}, {"cores": 2})


@pytest.mark.parametrize("stage", ["convert", "flag"])
def test_only_a_loss_above_the_limit_is_reported(stage):
    within = {name: ratio * (1 + MAX_LOSS) for name, ratio in RECORDED.ratios.items()}
    assert not find_losses(within, RECORDED)
    assert list(find_losses({**within, stage: 1.01 * within[stage]}, RECORDED)) == [stage]


def test_nan_ratio_is_a_loss():
    assert "convert" in find_losses({"convert": float("nan"), "flag": 4.0}, RECORDED)


def test_stage_without_record_is_an_error():
    for stage, ratios in {"flag": {"convert": 2.0}, "apply": {**RECORDED.ratios, "apply": 1.0}}.items():
        with pytest.raises(Misconfigured, match=rf"\b{stage}\b"):
            find_losses(ratios, RECORDED)


def test_gain_is_recorded():
    lines = format_report(
        {"convert": (1.0, 1.0), "flag": (4.0, 1.0)}, {"convert": 1.0, "flag": 4.0}, RECORDED
    ).splitlines()
    assert not lines[1].endswith("%"), "the change is followed by a hint"
    assert lines[2].endswith("%")


def test_record_is_read_back_for_its_size_only(tmp_path: Path):
    path = tmp_path / "recorded.json"
    RECORDED.write(path)
    assert Recorded.read(path, RECORDED.size) == RECORDED
    with pytest.raises(Misconfigured, match=r"48x12x384.*96x24x768"):
        Recorded.read(path, "96x24x768")
    for content in ("", "[]", json.dumps({"ratios": {}})):
        path.write_text(content)
        with pytest.raises(Misconfigured, match=r"recorded\.json.*bench-guard"):
            Recorded.read(path, RECORDED.size)


def test_the_record_in_the_repository_has_the_stages_of_the_guard():
    recorded = Recorded.read(guard.RECORD, guard.SIZE)
    assert tuple(recorded.ratios) == guard.STAGES
    assert all(ratio > 0 for ratio in recorded.ratios.values())
