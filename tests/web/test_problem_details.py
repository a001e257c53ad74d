"""Errors of the API as problem details (RFC 9457), and the challenge of a 401 (RFC 9110)."""

import ast
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from running_service import RunningService

from contimg.settings import Settings
from contimg.store import Store
from web import create_app
from web.http.errors import PROBLEMS, Problem

WEB = Path(__file__).parents[2] / "web"


def test_errors_are_problem_details(app: Flask, operator: dict[str, str], service: RunningService) -> None:
    client = app.test_client()
    requests: tuple[tuple[str, str, int, str, dict[str, Any]], ...] = (
        ("get", "/api/groups/none", 404, "no_such_group", {}),
        ("get", "/api/images/999", 404, "no_such_image", {}),
        ("get", "/api/calibrations/none", 404, "no_such_caltable_set", {}),
        ("get", "/api/nothing", 404, "not_found", {}),
        ("get", "/api/images?limit=0", 400, "invalid_request", {}),
        ("post", "/api/status", 405, "method_not_allowed", {}),
        ("post", "/api/streaming/stop", 401, "token_needed", {}),
        ("post", "/api/streaming/stop", 401, "wrong_token", {"headers": {"Authorization": "Bearer wrong"}}),
        ("post", "/api/streaming/stop", 400, "unexpected_body", {"headers": operator, "json": {"bogus": 1}}),
        ("post", "/api/streaming/config", 400, "invalid_configuration", {"headers": operator, "json": {"bogus": 1}}),
        ("post", "/api/streaming/config", 415, "not_json", {"headers": operator, "data": "max_workers=4"}),
    )
    for method, path, status, code, options in requests:
        answer = client.open(path, method=method.upper(), **options)
        problem = answer.get_json()
        assert (answer.status_code, problem["code"]) == (status, code), path
        assert answer.mimetype == "application/problem+json"
        assert set(problem) == set(Problem.model_fields)
        assert problem["status"] == status == PROBLEMS[code][0]
        assert (problem["title"], problem["type"]) == (PROBLEMS[code][1], f"/api/docs#problem-{code}")
        assert problem["detail"] == problem["error"]
        assert problem["instance"] == path.split("?")[0]
    page = client.get("/api/docs").text
    assert all(f'id="problem-{code}"' in page for code in PROBLEMS)


def test_command_that_fails_is_a_problem_with_its_outcome(
    client: FlaskClient, operator: dict[str, str], service: RunningService
) -> None:
    service.success = False
    answer = client.post("/api/streaming/restart", headers=operator)
    assert (answer.status_code, answer.mimetype) == (409, "application/problem+json")
    problem = answer.get_json()
    assert (problem["code"], problem["success"], problem["pid"]) == ("command_failed", False, 4711)
    assert problem["detail"] == problem["message"]


@pytest.mark.parametrize(("token", "fault"), [(None, None), ("wrong", "invalid_token")])
def test_missing_token_is_challenged(settings: Settings, store: Store, token: str | None, fault: str | None) -> None:
    client = create_app(
        Settings(state_dir=settings.state_dir, token="operator", view_token="reader"), store
    ).test_client()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for request in (client.get("/api/status", headers=headers), client.post("/api/streaming/stop", headers=headers)):
        assert request.status_code == 401
        challenge = request.www_authenticate
        assert (challenge.type, challenge.parameters["realm"]) == ("bearer", "contimg")
        assert challenge.parameters.get("error") == fault


def test_codes_are_documented() -> None:
    """Every code in the sources of the panel is one of `PROBLEMS`."""
    codes = {
        keyword.value.value
        for path in WEB.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant) and keyword.value.value
    }
    assert codes <= set(PROBLEMS)
    assert len(codes) > 8
