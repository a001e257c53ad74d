"""Errors as responses that state what is wrong and what to do: JSON for the API, a page for the panel."""

import logging

from flask import Flask, Response, make_response, render_template, request
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from contimg.errors import BadInput, ContimgError, Misconfigured, Transient, os_refusal
from contimg.files.names import printable
from contimg.formats.records import RecordSchema

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


class ErrorAnswer(RecordSchema):
    """What went wrong, and what to do about it; `detail` repeats the error under the name that other APIs use."""

    error: str
    hint: str
    detail: str


class RequestError(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status : HTTP status.
    error, hint : what is wrong, and what to do.
    retry_after_s : value of the Retry-After header of a 429 or 503, s.
    """

    def __init__(self, status: int, error: str, hint: str, *, retry_after_s: float = 10.0) -> None:
        super().__init__(error)
        self.status, self.error, self.hint, self.retry_after_s = status, error, hint, retry_after_s


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
    return path != "/api/docs" and path.startswith(("/api", "/metrics", "/healthz", "/openapi.json"))


def wants_json() -> bool:
    """Return whether the client is a program: of the API, or a script of a page."""
    return is_for_machines(request.path) or request.accept_mimetypes.best == "application/json"


def _of_request_error(refused: RequestError) -> Response:
    return error_response(refused.status, refused.error, refused.hint, refused.retry_after_s)


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
    return error_response(status, str(error), "`contimg config check` and `contimg status` give more details")


def _of_store(error: SQLAlchemyError) -> Response:
    log.error("the store does not answer: %s", error)
    return error_response(
        503, "the store does not answer", "try again; if it persists, check the disk and the panel's log"
    )


def _of_system(error: OSError) -> Response:
    """Answer what the operating system has refused: a full disk, missing rights, too many open files."""
    log.error("%s %s: %s", request.method, request.path, error)
    return error_response(503, str(os_refusal(error)), "`contimg doctor` checks disks and rights")


def _of_bug(error: Exception) -> Response:
    log.exception("%s %s", request.method, request.path, exc_info=error)
    return error_response(
        500, "internal error of the panel", "the panel's log has the traceback; the stream is not affected"
    )


def error_response(status: int, error: str, hint: str, retry_after_s: float = 10.0) -> Response:
    """Return an error as JSON or as a page.

    A 401 has the header WWW-Authenticate, a 429 or 503 the header Retry-After (RFC 9110).

    Parameters
    ----------
    status : HTTP status.
    error, hint : what is wrong, and what to do.
    retry_after_s : value of Retry-After, s; it is sent in whole seconds.
    """
    error = printable(error)  # it may hold a part of the request
    if wants_json():
        body = ErrorAnswer(error=error, hint=hint, detail=error).model_dump_json()
        answer = make_response(body, status, {"Content-Type": "application/json"})
    else:
        answer = make_response(render_template("error.html", status=status, error=error, hint=hint), status)
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="contimg"'
    if status in (429, 503):
        answer.headers["Retry-After"] = f"{retry_after_s:.0f}"
    return answer
