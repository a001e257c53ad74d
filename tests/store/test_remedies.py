"""What to do: every rule of alerts and every class of failure in the code has a sentence and a section of the docs."""

import ast
import re
from pathlib import Path

import pytest

from contimg.common import errors
from contimg.settings import AlertLimits, DiskLimits, DispatchSettings
from contimg.settings.alerts import RULE_LEVELS, alert_rules
from contimg.store.activity.remedies import (
    ALERTS,
    DOCUMENT,
    FAILURES,
    REASONS,
    UNEXPECTED,
    Remedy,
    remedy_of,
    remedy_of_failure,
)
from contimg.store.files.rejection import MISSING
from workers.producer.scanner import EMPTY, FOREIGN, SUBDIRECTORY

ROOT = Path(__file__).parents[2]
SOURCES = [path for part in ("contimg", "workers", "web") for path in sorted((ROOT / part).rglob("*.py"))]
REMEDIES = {**ALERTS, **FAILURES, **REASONS, "unexpected": UNEXPECTED}


def rules_in_code() -> set[str]:
    """First arguments of `alerts.update` and the values of `rule=` in the code, where they are texts or constants."""
    rules: set[str] = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            function = ast.unparse(call.func)
            values = [keyword.value for keyword in call.keywords if keyword.arg == "rule"]
            if function.endswith(("alerts.update", "alerts.report_change")):
                values += call.args[:1]
            if function.endswith("record_event"):
                values += call.args[5:6]
            for value in values:
                text = constants.get(value.id) if isinstance(value, ast.Name) else getattr(value, "value", None)
                rules |= {text} if isinstance(text, str) else set()
    return rules


def test_every_alert_has_remedy() -> None:
    listed = {rule.name for rule in alert_rules(DispatchSettings(), DiskLimits(), AlertLimits(), 30.0)}
    assert {"scan", "notification", "broker", "disk", "caltable", "declination"} <= rules_in_code()
    assert rules_in_code() <= listed == set(ALERTS) == set(RULE_LEVELS)


def reasons_in_code() -> set[str]:
    """The reasons that files are quarantined with: arguments of calls, and constants, with 0 for each variable part."""
    places = {"BadFile": 1, "RejectedFile": 3, "quarantine": 2}
    reasons = {
        MISSING,
        SUBDIRECTORY,
        EMPTY,
        FOREIGN,
        "duplicate: group 0 has its subband 0",
        "subband 0: the band has 0",
    }
    for path in SOURCES:
        if {"epoch", "survey"} & set(path.relative_to(ROOT).parts):  # neither a mosaic nor a publication quarantines
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            place = places.get(ast.unparse(call.func)) if isinstance(call, ast.Call) else None
            if place is None or len(call.args) <= place:
                continue
            text = call.args[place]
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            if all(isinstance(part, (ast.Constant, ast.FormattedValue)) for part in parts):
                reasons.add("".join(part.value if isinstance(part, ast.Constant) else "0" for part in parts))
    return reasons


def test_every_quarantine_reason_has_remedy() -> None:
    reasons = reasons_in_code()
    assert len(reasons) > 50
    assert {reason for reason in reasons if remedy_of(reason, None) == UNEXPECTED} == set()
    assert {remedy.anchor for remedy in REASONS.values()} >= {remedy_of(reason, None).anchor for reason in reasons}


def test_every_failure_has_remedy() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.ContimgError) and value is not errors.ContimgError
    }
    assert classes <= set(FAILURES)
    assert remedy_of_failure("ZeroDivisionError") == remedy_of_failure(None) == UNEXPECTED


@pytest.mark.parametrize("name", REMEDIES)
def test_remedy_is_one_sentence_with_section(name: str) -> None:
    remedy: Remedy = REMEDIES[name]
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / DOCUMENT).read_text(encoding="utf-8"), re.MULTILINE)
    assert remedy.anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert remedy.text.endswith(".")
    assert "\n" not in remedy.text
    assert len(remedy.text) <= 100
