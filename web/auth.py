"""Who may change something: the holder of the operator's token."""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import request

from web.errors import Refusal
from web.stream import stream

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def operator_only(view: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Let a view run only for `Authorization: Bearer <token>`.

    The token travels in a header alone, never in a cookie, so that no other site can make a browser send it.
    """

    @wraps(view)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        token = stream().settings.token
        if not token:
            raise Refusal(
                403, "changes are switched off: no token is configured", "set CONTIMG_TOKEN and restart the panel"
            )
        given = request.authorization
        if given is None or given.type != "bearer" or given.token is None:
            raise Refusal(401, "no token given", "send the header Authorization: Bearer <CONTIMG_TOKEN>")
        if not hmac.compare_digest(given.token.encode(), token.encode()):
            raise Refusal(401, "wrong token", "send the value of CONTIMG_TOKEN that the panel was started with")
        return view(*args, **kwargs)

    return guarded


def operator_name() -> str:
    """How the event log names who asked."""
    return f"the API at {request.remote_addr or 'unknown address'}"
