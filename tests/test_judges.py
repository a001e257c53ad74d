"""A missing judge is a stated skip on a developer's machine and a failure in CI."""

import pytest
from _pytest.outcomes import Failed, Skipped
from judges import JUDGES, Judge, require


@pytest.fixture
def judge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(JUDGES, "nothing", Judge(lambda: False, "apt-get install nothing", in_setup=request.param))
    return "nothing"


@pytest.mark.parametrize(
    ("judge", "ci", "outcome"),
    [(True, "", Skipped), (True, "true", Failed), (False, "true", Skipped), (True, "false", Skipped)],
    indirect=["judge"],
)
def test_missing_judge_skips_and_in_ci_fails(judge, ci, outcome, monkeypatch):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="nothing is not installed: apt-get install nothing"):
        require(judge)


def test_present_judge_neither_skips_nor_fails(monkeypatch):
    monkeypatch.setitem(JUDGES, "something", Judge(lambda: True, ""))
    monkeypatch.setenv("CI", "true")
    require("something")
