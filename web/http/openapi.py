"""The API in OpenAPI's words, made from the routes, their docstrings and the models that they answer with."""

import re
from dataclasses import dataclass
from typing import Any

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from contimg import __version__
from contimg.settings import StreamingConfig
from web.http import activity_models as house_models
from web.http import models, parameters
from web.http.models import ErrorAnswer

PREFIX = "#/components/schemas/{model}"
# Any request may meet these: a parameter that is wrong, a stranger, a wrong host name, a store that does not answer.
ANYWHERE = {400: "wrong parameters", 401: "a token is needed", 421: "no name of this panel",
            429: "too many wrong tokens", 503: "the store does not answer"}  # fmt: skip
COMMANDED = {403: "reading only, or a form of another session", 409: "it cannot be done as things stand",
             413: "too long", 415: "not JSON"}  # fmt: skip
NOT_THERE = {404: "there is none"}


@dataclass(frozen=True)
class Route:
    """What an endpoint takes and gives.

    Attributes
    ----------
    answer : a model of web.http.models, or a media type.
    query, body : models of web.http.parameters; `optional` when the body may be left out.
    errors : HTTP status and meaning, beyond those of every route.
    """

    answer: type[BaseModel] | str
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    optional: bool = False
    errors: tuple[tuple[int, str], ...] = ()


def _files(kind: str) -> Route:
    return Route(kind, errors=(*NOT_THERE.items(), (206, "a part"), (304, "as it was"), (416, "no such part")))


_COMMAND = Route(models.CommandAnswer, errors=tuple(COMMANDED.items()))
ROUTES = {
    "status.read": Route(models.StatusAnswer),
    "streaming_api.read_status": Route(models.ServiceAnswer),
    "streaming_api.read_health": Route(models.HealthAnswer),
    "streaming_api.read_metrics": Route(models.MetricsAnswer),
    **{f"streaming_api.{one}": _COMMAND for one in ("start", "stop", "restart", "pause", "resume")},
    "configuration_api.read": Route(StreamingConfig),
    "configuration_api.write": Route(models.CommandAnswer, body=StreamingConfig, errors=tuple(COMMANDED.items())),
    "configuration_api.check": Route(models.ReviewAnswer, body=StreamingConfig, errors=((413, "long"), (415, "type"))),
    "configuration_api.changes": Route(models.ChangesAnswer),
    "configuration_api.take_back": _COMMAND,
    "queue.read_queue": Route(models.QueueAnswer, query=parameters.GroupListing),
    "queue.read_group": Route(models.GroupDetailAnswer, errors=tuple(NOT_THERE.items())),
    "queue.retry": Route(models.GroupDetailAnswer, body=parameters.RetryOrder, optional=True,
                         errors=tuple({**COMMANDED, **NOT_THERE}.items())),
    "queue.discard": Route(models.GroupDetailAnswer, errors=tuple({**COMMANDED, **NOT_THERE}.items())),
    "images.read_images": Route(models.ImagesAnswer, query=parameters.ImageListing),
    "images.read_image": Route(models.ImageAnswer, errors=tuple(NOT_THERE.items())),
    "images.png": _files("image/png"),
    "images.thumbnail": _files("image/png"),
    "images.fits": _files("application/fits"),
    "images.beam_fits": _files("application/fits"),
    "calibrations.read": Route(models.CalibrationsAnswer, query=parameters.Listing),
    "calibrations.plot_of": _files("image/png"),
    "calibrations.retire": Route(models.CommandAnswer, body=parameters.RetireOrder, optional=True,
                                 errors=tuple({**COMMANDED, **NOT_THERE}.items())),
    "calibrations.take_in": Route(models.CommandAnswer, body=parameters.ImportOrder,
                                  errors=(*COMMANDED.items(), (504, "it took too long"))),
    "events.follow": Route("text/event-stream"),
    "events.listed": Route(house_models.EventsAnswer, query=parameters.EventListing),
    "alerts_api.read": Route(house_models.AlertsAnswer, query=parameters.AlertListing),
    "workers_api.read": Route(house_models.WorkersAnswer),
    "history_api.read": Route(house_models.ChartAnswer, query=parameters.Span, errors=tuple(NOT_THERE.items())),
    "logs_api.read": Route(house_models.LogsAnswer, query=parameters.LogListing),
    "logs_api.download": _files("text/plain"),
}  # fmt: skip


def document(app: Flask) -> dict[str, Any]:
    """The OpenAPI 3.1 document of an application."""
    taken = {model for route in ROUTES.values() for model in (route.query, route.body) if model}
    given = {route.answer for route in ROUTES.values() if not isinstance(route.answer, str)} | {ErrorAnswer}
    wanted = [(one, "validation") for one in taken] + [(one, "serialization") for one in given - taken]
    _, schemas = models_json_schema(
        sorted(wanted, key=lambda one: one[0].__name__),  # type: ignore[arg-type]
        ref_template=PREFIX,
    )
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(app.url_map.iter_rules(), key=lambda one: one.rule):
        if rule.endpoint in ROUTES:
            method = "post" if "POST" in (rule.methods or ()) else "get"
            path = re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule)
            words = (app.view_functions[rule.endpoint].__doc__ or "").strip()
            paths.setdefault(path, {})[method] = _operation(
                rule, ROUTES[rule.endpoint], words, method, schemas["$defs"]
            )
    return {
        "openapi": "3.1.0",
        "info": {"title": "contimg", "version": __version__, "description": "The DSA-110's continuum stream."},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(rule: Rule, route: Route, words: str, method: str, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = [_in_path(rule, name) for name in sorted(rule.arguments)]
    if route.query is not None:
        properties = schemas[route.query.__name__]["properties"]
        needed = schemas[route.query.__name__].get("required", ())
        parameters += [
            {"name": name, "in": "query", "required": name in needed, "schema": schema}
            for name, schema in properties.items()
        ]
    found: dict[str, Any] = {
        "operationId": rule.endpoint.replace(".", "_"),
        "summary": words.splitlines()[0].replace("`", ""),
        "tags": [rule.rule.split("/")[2]],
        "parameters": parameters,
        "responses": _responses(route),
    }
    if route.body is not None:
        found["requestBody"] = {
            "required": not route.optional,
            "content": {"application/json": {"schema": {"$ref": PREFIX.format(model=route.body.__name__)}}},
        }
    if method == "post" and rule.endpoint != "configuration_api.check":
        found["security"] = [{"token": []}]
    return found


def _in_path(rule: Rule, name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1}
    if f"<int:{name}>" in rule.rule:
        schema = {"type": "integer", "minimum": 0}
    if f":{name}>" in rule.rule and "any(" in rule.rule:
        schema = {"type": "string", "enum": re.findall(r"\w+", rule.rule.split("any(")[1].split(")")[0])}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _responses(route: Route) -> dict[str, Any]:
    if isinstance(route.answer, str):
        schema: dict[str, Any] = {route.answer: {"schema": {"type": "string"}}}
    else:
        schema = {"application/json": {"schema": {"$ref": PREFIX.format(model=route.answer.__name__)}}}
    answers: dict[str, Any] = {"200": {"description": "as asked", "content": schema}}
    error: dict[str, Any] = {"application/json": {"schema": {"$ref": PREFIX.format(model="ErrorAnswer")}}}
    either = {"anyOf": [one["schema"] for one in (error["application/json"], *schema.values())]}
    for status, words in {**ANYWHERE, **dict(route.errors)}.items():
        content = error
        if status == 409 and route.answer is models.CommandAnswer:
            content = {"application/json": {"schema": either}}
        if status == 206:
            content = schema
        answers[str(status)] = {"description": words, **({"content": content} if status != 304 else {})}
    return answers
