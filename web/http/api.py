"""The REST API on Flask-OpenAPI: routes that answer with records, their document, and the page to try them on."""

import inspect
import json
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Request, Response, current_app, jsonify, render_template, request
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.openapi import OpenAPI
from pydantic import BaseModel, ValidationError

from contimg import __version__
from contimg.formats.records import schema_of, to_json
from web.http.bodies import OptionalBody
from web.http.errors import PROBLEM_JSON, PROBLEMS, Problem, RequestError, problem
from workers.service.records import NoEffect

View = Callable[..., Any]
Responses = dict[str | int | HTTPStatus, Any]
TOKEN = [{"token": list[str]()}]


def _error(description: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {"description": description, "content": {PROBLEM_JSON: {"schema": schema}}}


ANY_REQUEST: Responses = {
    400: _error("wrong parameters or body"),
    401: _error("a token is needed"),
    421: _error("the host name is not one of this panel"),
    429: _error("too many wrong tokens"),
    503: _error("the store does not answer"),
}
ANY_COMMAND: Responses = {
    403: _error("the user may read only, or the CSRF token is wrong"),
    409: _error("not possible in the present state"),
    413: _error("the body is too long"),
    415: _error("the body is not JSON"),
}
NOT_FOUND: Responses = {404: _error("not found")}
TIMEOUT: Responses = {504: _error("the command took too long")}


class JsonRequest(Request):
    """A request whose body is refused with 415 or 400 when it is not JSON; Flask-OpenAPI would read it as null."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the body; None only when there is none.

        Parameters
        ----------
        force : parse a body whose media type is not JSON.
        silent : return None on failure; it is ignored when there is a body.
        cache : keep the result for the next call.

        Raises
        ------
        UnsupportedMediaType, when the media type is not JSON; BadRequest, when the body is not valid JSON. Neither is
        raised with `silent` when there is no body.
        """
        return super().get_json(force, silent and not self.content_length, cache)


class PanelApp(OpenAPI):
    """The Flask application with its OpenAPI document."""

    request_class = JsonRequest

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(
            name,
            info={"title": "contimg", "version": __version__, "description": "The DSA-110 continuum pipeline."},
            security_schemes={"token": {"type": "http", "scheme": "bearer"}},
            validation_error_status=400,
            validation_error_model=Problem,
            validation_error_callback=_raise,
            doc_ui=False,
            **options,
        )
        self.openapi_version = "3.1.0"

    def generate_spec_json(self) -> None:
        """Make the document, with an example of each JSON body and answer made from those of the fields."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        schemas = self.spec_json["components"]["schemas"]
        for methods in self.spec_json["paths"].values():
            for operation in methods.values():
                for part in (operation.get("requestBody", {}), operation["responses"]["200"]):
                    if content := part.get("content", {}).get("application/json"):
                        model = schemas[content["schema"]["$ref"].rsplit("/", 1)[1]]
                        content["example"] = _example_of(model)


class Api(APIBlueprint):
    """Routes of one subject, which answer with records or files.

    Parameters
    ----------
    name : prefix of the endpoints.
    prefix : beginning of the paths.
    """

    def __init__(self, name: str, prefix: str) -> None:
        super().__init__(
            name, __name__, url_prefix=prefix, abp_responses=ANY_REQUEST, operation_id_callback=_operation_id
        )

    def read(self, rule: str, answer: type | str, errors: Responses | None = None) -> Callable[[View], View]:
        """Register a GET route.

        Parameters
        ----------
        rule : end of the path, after the prefix.
        answer : class of the record that the view returns, or media type of the file that it sends.
        errors : responses beside those of every request, by status.

        Returns
        -------
        a decorator of the view; it returns the view unchanged.
        """
        further = _file_errors(answer) if isinstance(answer, str) else {}
        return self._route(self.get, rule, answer, {**further, **(errors or {})})

    def command(
        self,
        rule: str,
        answer: type,
        errors: Responses | None = None,
        body: type[BaseModel] | None = None,
        optional_body: bool = False,
        public: bool = False,
    ) -> Callable[[View], View]:
        """Register a POST route.

        Parameters
        ----------
        rule, answer : end of the path, and the class of the record that the view returns.
        errors : responses beside those of every command.
        body : document this model as the request's body.
        optional_body : the body may be left out.
        public : no operator's token is needed.
        """
        options: dict[str, Any] = {} if public else {"security": TOKEN}
        if body is not None:
            schema = {"$ref": f"#/components/schemas/{body.__name__}"}
            content = {"application/json": {"schema": schema}}
            is_required = not optional_body and not issubclass(body, OptionalBody)
            options["request_body"] = {"required": is_required, "content": content}
        failed: Responses = {409: _either(answer)} if "success" in answer.__annotations__ else {}
        return self._route(self.post, rule, answer, {**ANY_COMMAND, **failed, **(errors or {})}, **options)

    def _route(
        self, register: Callable[..., Any], rule: str, answer: type | str, errors: Responses, **options: Any
    ) -> Callable[[View], View]:
        tag = f"{self.url_prefix}{rule}".split("/")[2]
        responses = {200: _file(answer) if isinstance(answer, str) else schema_of(answer), **errors}

        def add(view: View) -> View:
            summary, _, description = (inspect.getdoc(view) or "").partition("\n\n")

            @wraps(view)
            def respond(**arguments: Any) -> Response:
                if request.method == "POST" and "body" not in arguments and request.get_json(silent=True):
                    hint = "send none; nothing was changed"
                    raise RequestError(400, "this command takes no body", hint, code="unexpected_body")
                result = view(**arguments)
                return result if isinstance(result, Response) else json_response(result, answer)

            register(
                rule, responses=responses, tags=[{"name": tag}], summary=summary,
                description=" ".join(description.split()), **options,
            )(respond)  # fmt: skip
            return view

        return add


def json_response(record: Any, kind: type | str | None = None) -> Response:
    """Return a record as JSON; an outcome that is no success has status 409, unless the command was not needed.

    With status 409 the fields of the record stand beside those of problem details.

    Parameters
    ----------
    record : a dataclass or model; one whose attribute `success` is false is an outcome that is no success.
    kind : class whose fields are sent; None or a media type: that of the record.
    """
    body = to_json(record, kind if isinstance(kind, type) else None, request.script_root)
    if getattr(record, "success", True) or isinstance(record, NoEffect):
        return Response(body, 200, mimetype="application/json")
    fault = problem(409, record.message, "GET /api/streaming/status shows the service's state", "command_failed")
    return Response(json.dumps(fault.model_dump() | json.loads(body)), 409, mimetype=PROBLEM_JSON)


def _example_of(model: dict[str, Any]) -> Any:
    """The example of a model, made of those of its fields."""
    return {name: field.get("examples", [None])[0] for name, field in model.get("properties", {}).items()}


def _file_errors(media_type: str) -> Responses:
    """The further responses of a route that sends a file."""
    part = {**_file(media_type), "description": "a range of the file"}
    return {**NOT_FOUND, 206: part, 304: {"description": "not modified"}, 416: _error("no such range")}


def _file(media_type: str) -> dict[str, Any]:
    return {"description": "OK", "content": {media_type: {"schema": {"type": "string"}}}}


def _either(answer: type) -> dict[str, Any]:
    """The response of a command that was refused, or was tried and failed."""
    schemas = [{"$ref": f"#/components/schemas/{name}"} for name in (Problem.__name__, answer.__name__)]
    schema = {"anyOf": [{"allOf": schemas}, schemas[0]]}
    return {"description": "not possible, or failed", "content": {PROBLEM_JSON: {"schema": schema}}}


def _operation_id(*, bp_name: str, name: str, path: str, method: str) -> str:
    return f"{bp_name}_{name}"


def _raise(error: ValidationError) -> None:
    raise error


api_page = Blueprint("api_page", __name__)


@api_page.get("/openapi.json")
def openapi() -> Response:
    """Return the OpenAPI document; its server is the prefix of the panel's paths."""
    document: dict[str, Any] = current_app.api_doc  # type: ignore[attr-defined]
    return jsonify({**document, "servers": [{"url": request.script_root or "/"}]})


@api_page.get("/api/docs")
def show() -> str:
    """Show every route by subject, with its parameters and answers, and a form to try it."""
    document: dict[str, Any] = current_app.api_doc  # type: ignore[attr-defined]
    subjects: dict[str, list[dict[str, Any]]] = {}
    for path, methods in sorted(document["paths"].items()):
        for method, call in methods.items():
            subjects.setdefault(call["tags"][0], []).append({"path": path, "method": method, **call})
    return render_template(
        "api.html", subjects=subjects, schemas=document["components"]["schemas"], example=_example, problems=PROBLEMS
    )  # fmt: skip


def _example(call: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A body to begin with: the first key of the model that a call takes."""
    reference = call["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    properties = schemas[reference.rsplit("/", 1)[1]]["properties"]
    key = "max_workers" if "max_workers" in properties else next(iter(properties))
    return json.dumps({key: properties[key].get("default") or ([] if properties[key].get("type") == "array" else "")})
