"""Errors as responses that state what is wrong and what to do: JSON by RFC 9457 for the API, a page for the panel."""

import logging
from collections.abc import Mapping
from typing import Annotated

from flask import Flask, Response, make_response, render_template, request
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from contimg.common.errors import BadInput, ContimgError, Misconfigured, Transient, os_refusal
from contimg.common.files.names import printable
from contimg.formats import votables
from contimg.formats.records import NO_UNIT, RecordSchema, about

log = logging.getLogger(__name__)

HINTS = {
    400: "check the request's parameters and body",
    403: "sign in as operator",
    404: "check the address; /api/status, /api/queue and /api/images list what exists",
    405: "use GET to read and POST to change",
    413: "send less than 64 kB",
    415: "send JSON with Content-Type: application/json",
}
STATUS_OF = {BadInput: 409, Misconfigured: 500, Transient: 503}


PROBLEM_JSON = "application/problem+json"
VO_PREFIX = "/vo/"  # of VO services, whose errors are VOTables

PROBLEMS: Mapping[str, tuple[int, str]] = {
    "invalid_request": (400, "A parameter or the body is not valid"),
    "invalid_configuration": (400, "The configuration is not valid; nothing was saved"),
    "unexpected_body": (400, "The command takes no body"),
    "token_needed": (401, "A token is needed"),
    "wrong_token": (401, "The token is wrong"),
    "forbidden": (403, "The user may not do this"),
    "changes_switched_off": (403, "The panel has no operator's token"),
    "read_only": (403, "The user may read only"),
    "foreign_form": (403, "The form is of another site or session"),
    "not_found": (404, "No such address or entry"),
    "no_such_group": (404, "The store has no such group"),
    "no_such_image": (404, "The store has no such image"),
    "no_such_campaign": (404, "The store has no such campaign"),
    "no_such_epoch": (404, "The store has no such epoch"),
    "no_such_mosaic": (404, "The store has no such mosaic"),
    "no_such_source": (404, "The store has no such source"),
    "no_such_candidate": (404, "The store has no such candidate"),
    "no_such_caltable_set": (404, "The registry has no such caltable set"),
    "outside_image": (404, "The direction lies outside the image"),
    "no_such_file": (404, "The product has no such file"),
    "method_not_allowed": (405, "The address has no such method"),
    "conflict": (409, "Not possible in the present state"),
    "command_failed": (409, "The command was refused or failed"),
    "body_too_long": (413, "The body is too long"),
    "not_json": (415, "The body is not JSON"),
    "no_such_range": (416, "The file has no such range"),
    "unknown_host": (421, "The host name is none of this panel"),
    "too_many_wrong_tokens": (429, "Too many wrong tokens"),
    "internal_error": (500, "Internal error of the panel"),
    "misconfigured": (500, "A setting is wrong"),
    "unavailable": (503, "Temporarily not available"),
    "store_unavailable": (503, "The store does not answer"),
    "timeout": (504, "The command took too long"),
}
"""Code of each kind of error, with its HTTP status and its title. The first code of a status is its default."""

DEFAULT_CODES = {status: code for code, (status, _) in reversed(list(PROBLEMS.items()))}


class Problem(RecordSchema):
    """An error as problem details (RFC 9457), with a stable code; `error` and `hint` are of this API."""

    type: Annotated[str, about("Address of the documentation of the code", example="/api/docs#problem-no_such_image")]
    title: Annotated[str, about("The kind of error in words", example="The store has no such image")]
    status: Annotated[int, about("HTTP status", NO_UNIT, 404)]
    detail: Annotated[str, about("What is wrong with this request", example="image 999: not in the store")]
    instance: Annotated[str, about("Path of the request", example="/api/images/999")]
    code: Annotated[str, about("The kind of error, for programs; it does not change", example="no_such_image")]
    error: Annotated[str, about("As `detail`, for earlier clients", example="image 999: not in the store")]
    hint: Annotated[str, about("What to do", example="GET /api/images lists the images")]


class RequestError(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status : HTTP status.
    error, hint : what is wrong, and what to do.
    code : one of `PROBLEMS`; empty for the first of the status.
    retry_after_s : value of the Retry-After header of a 429 or 503, s.
    """

    def __init__(self, status: int, error: str, hint: str, *, code: str = "", retry_after_s: float = 10.0) -> None:
        super().__init__(error)
        self.status, self.error, self.hint, self.retry_after_s = status, error, hint, retry_after_s
        self.code = code


def handle_errors(app: Flask) -> None:
    """Register a handler for each kind of exception.

    Parameters
    ----------
    app : the application; exceptions of its views become JSON or a page. One of no known kind is logged and answered
        with 500.
    """
    app.register_error_handler(RequestError, _of_request_error)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(ValidationError, _of_validation)
    app.register_error_handler(ContimgError, _of_contimg)
    app.register_error_handler(SQLAlchemyError, _of_store)
    app.register_error_handler(OSError, _of_system)
    app.register_error_handler(Exception, _of_bug)


def is_for_machines(path: str) -> bool:
    """Return whether an address is answered in JSON or plain text, not with a page.

    Parameters
    ----------
    path : path of the request, with the leading slash.
    """
    return path != "/api/docs" and path.startswith(("/api", "/metrics", "/healthz", "/openapi.json", VO_PREFIX))


def wants_json() -> bool:
    """Return whether the client is a program: of the API, or a script of a page."""
    return is_for_machines(request.path) or request.accept_mimetypes.best == "application/json"


def _of_request_error(refused: RequestError) -> Response:
    return error_response(refused.status, refused.error, refused.hint, refused.retry_after_s, code=refused.code)


def _of_http(error: HTTPException) -> Response:
    status = error.code or 500
    answer = error_response(status, f"{request.path}: {error.name.lower()}", HINTS.get(status, "see the panel's log"))
    if isinstance(error, MethodNotAllowed):
        answer.allow.update(error.valid_methods or ())
    return answer


def _of_validation(error: ValidationError) -> Response:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    return error_response(400, f"{field}: {first['msg'].lower()}", HINTS[400])


def _of_contimg(error: ContimgError) -> Response:
    status = next((code for kind, code in STATUS_OF.items() if isinstance(error, kind)), 500)
    code = "misconfigured" if isinstance(error, Misconfigured) else ""
    return error_response(
        status, str(error), "`contimg config check` and `contimg status` give more details", code=code
    )


def _of_store(error: SQLAlchemyError) -> Response:
    log.error("the store does not answer: %s", error)
    return error_response(
        503, "the store does not answer", "try again; if it persists, check the disk and the panel's log",
        code="store_unavailable",
    )  # fmt: skip


def _of_system(error: OSError) -> Response:
    """Answer what the operating system has refused: a full disk, missing rights, too many open files."""
    log.error("%s %s: %s", request.method, request.path, error)
    return error_response(503, str(os_refusal(error)), "`contimg doctor` checks disks and rights")


def _of_bug(error: Exception) -> Response:
    log.exception("%s %s", request.method, request.path, exc_info=error)
    return error_response(
        500, "internal error of the panel", "the panel's log has the traceback; the stream is not affected"
    )


def problem(status: int, error: str, hint: str, code: str = "") -> Problem:
    """Return an error of this request as problem details.

    Parameters
    ----------
    status : HTTP status.
    error, hint : what is wrong, and what to do.
    code : one of `PROBLEMS`; empty for the first of the status.
    """
    code = code or DEFAULT_CODES.get(status, "internal_error" if status >= 500 else "invalid_request")
    return Problem(
        type=f"{request.script_root}/api/docs#problem-{code}", title=PROBLEMS[code][1], status=status, detail=error,
        instance=printable(f"{request.script_root}{request.path}"), code=code, error=error, hint=hint,
    )  # fmt: skip


def error_response(status: int, error: str, hint: str, retry_after_s: float = 10.0, *, code: str = "") -> Response:
    """Return an error as problem details or as a page.

    A 401 has the header WWW-Authenticate, a 429 or 503 the header Retry-After (RFC 9110).

    Parameters
    ----------
    status : HTTP status.
    error, hint : what is wrong, and what to do.
    retry_after_s : value of Retry-After, s; it is sent in whole seconds.
    code : one of `PROBLEMS`; empty for the first of the status.
    """
    error = printable(error)  # it may hold a part of the request
    if request.path.startswith(VO_PREFIX):
        text = error if ":" in error.partition(" ")[0] else f"Error: {error}"
        answer = make_response(votables.error(f"{text}; {hint}"), status, {"Content-Type": votables.MEDIA_TYPE})
    elif wants_json():
        body = problem(status, error, hint, code).model_dump_json()
        answer = make_response(body, status, {"Content-Type": PROBLEM_JSON})
    else:
        answer = make_response(render_template("error.html", status=status, error=error, hint=hint), status)
    if status == 401:
        fault = ', error="invalid_token"' if code == "wrong_token" else ""  # RFC 6750, section 3
        answer.headers["WWW-Authenticate"] = f'Bearer realm="contimg"{fault}'
    if status in (429, 503):
        answer.headers["Retry-After"] = f"{retry_after_s:.0f}"
    return answer
