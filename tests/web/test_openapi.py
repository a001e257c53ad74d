"""The API's document is true: every route is in it, and whatever is sent, what comes back is what it says."""

import importlib

from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from judges import require
from observing_night import Night
from running_service import TOKEN

from web.http.openapi import ROUTES

require("schemathesis", allow_module_level=True)
schemathesis = importlib.import_module("schemathesis")
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 12
ENDLESS = "/api/events$"


def test_no_answer_is_undocumented(app: Flask, full_night: Night) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app).exclude(path_regex=ENDLESS)
    tried = []
    for operation in (found.ok() for found in schema.get_all_operations()):

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(operation.as_strategy())
        def answers(case: "schemathesis.Case") -> None:
            case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS)

        answers()
        tried.append(operation.label)
    assert len(tried) == len(ROUTES) - 1


def test_every_route_is_described(app: Flask, client: FlaskClient) -> None:
    routes = {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith("/api")}
    assert routes - {"api_page.show"} == set(ROUTES)
    whole = client.get("/openapi.json").get_json()
    assert whole["openapi"] == "3.1.0"
    assert sum(len(one) for one in whole["paths"].values()) == len(ROUTES)
    assert all(call["summary"] for path in whole["paths"].values() for call in path.values())
    page = client.get("/api/docs").text
    assert page.count('<details class="call"') == len(ROUTES)
