"""The one who sends the request, and what that one may do."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from flask import g, request

if TYPE_CHECKING:
    from web.access.sessions import Session


class Role(IntEnum):
    """What a visitor may do; each may do what those before it may."""

    NOBODY = 0
    READER = 1
    OPERATOR = 2


@dataclass(frozen=True)
class User:
    """Who asks.

    Attributes
    ----------
    session : set when a cookie, not a header, says who it is: then changes need the session's CSRF secret as well.
    holds_token, wrong_token : a token was sent along, and it is one, or none, of the panel's.
    """

    role: Role
    name: str = ""
    session: "Session | None" = None
    wrong_token: bool = False
    holds_token: bool = False

    @property
    def is_operator(self) -> bool:
        """Whether commands are theirs to give."""
        return self.role >= Role.OPERATOR

    @property
    def called(self) -> str:
        """How the event log names them."""
        address = request.remote_addr or "unknown address"
        return f"{self.name} at {address}" if self.name else f"the API at {address}"


def current_user() -> User:
    """Who sends the request that is being answered."""
    found = g.get("user")
    return found if isinstance(found, User) else User(Role.NOBODY)
