"""The API's document is true: every route is in it, and whatever is sent, what comes back is what it says."""

import importlib
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from judges import require
from observing_night import Night
from running_service import TOKEN

from contimg.formats.records import to_json
from contimg.store import (
    FileRecord,
    StageRunRecord,
    StoredCaltableSet,
    StoredImage,
    StoredMS,
)
from workers.scheduling.group_list import ListedGroup

require("schemathesis", allow_module_level=True)
schemathesis = importlib.import_module("schemathesis")
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 6
ENDLESS = "/api/events$"


def test_answers_match_openapi_document(app: Flask, full_night: Night) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app).exclude(path_regex=ENDLESS)
    tried = []
    for operation in (result.ok() for result in schema.get_all_operations()):

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(operation.as_strategy())
        def answers(case: "schemathesis.Case") -> None:
            case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS)

        answers()
        tried.append(operation.label)
    assert len(tried) == len(api_routes(app)) - 1


def api_routes(app: Flask) -> set[tuple[str, str]]:
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/") and rule.rule != "/api/docs"]
    return {(re.sub(r"<(?:[^<>]+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
            for rule in rules for method in (rule.methods or set()) & {"GET", "POST"}}  # fmt: skip


def test_routes_are_described(app: Flask, client: FlaskClient) -> None:
    whole = client.get("/openapi.json").get_json()
    assert whole["openapi"] == "3.1.0"
    described = {(path, method) for path, methods in whole["paths"].items() for method in methods}
    assert described == api_routes(app)
    calls = [call for path in whole["paths"].values() for call in path.values()]
    assert all(call["summary"] for call in calls)
    names = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(whole))
    assert set(names) <= set(whole["components"]["schemas"])
    page = client.get("/api/docs").text
    assert page.count('<details class="call"') == len(calls)


@dataclass(frozen=True)
class Tile:
    wind_speed_m_s: float
    paths: tuple[Path, ...]
    observed_at: float
    not_before: float | None


@dataclass(frozen=True)
class Tiles:
    tiles: tuple[Tile, ...]


def test_record_fields_are_answered(app: Flask) -> None:
    """Whatever number an image, a group or a caltable set gains is in the API's document and its answers."""
    for record in (StoredImage, ListedGroup, StoredCaltableSet, StoredMS, StageRunRecord, FileRecord):
        schema = app.api_doc["components"]["schemas"][record.__name__]  # type: ignore[attr-defined]
        assert {field.name for field in fields(record)} <= set(schema["properties"])

    answer = json.loads(to_json(Tiles((Tile(12.5, (Path("/a"),), 1e9, None),))))
    assert answer == {
        "tiles": [{"wind_speed_m_s": 12.5, "paths": ["/a"], "observed_at": "2001-09-09T01:46:40Z", "not_before": None}]
    }
