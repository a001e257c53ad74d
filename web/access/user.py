"""The user who sends a request, and what the user may do."""

from dataclasses import dataclass
from enum import IntEnum

from flask import g, request


class Role(IntEnum):
    """What a user may do; each role includes those below it."""

    NONE = 0
    READER = 1
    OPERATOR = 2


@dataclass(frozen=True)
class User:
    """The sender of a request.

    Attributes
    ----------
    signed_in : identified by the session cookie; changes then need the session's CSRF token.
    holds_token, wrong_token : the request carries a bearer token, which is one, or none, of the panel's.
    """

    role: Role
    name: str = ""
    signed_in: bool = False
    wrong_token: bool = False
    holds_token: bool = False

    @property
    def is_operator(self) -> bool:
        """Whether the user may run commands."""
        return self.role >= Role.OPERATOR

    @property
    def label(self) -> str:
        """Name and address for the event log."""
        return f"{self.name} at {address()}" if self.name else f"the API at {address()}"


def current_user() -> User:
    """Return the sender of the current request."""
    user = g.get("user")
    return user if isinstance(user, User) else User(Role.NONE)


def address() -> str:
    """Return the address that the request comes from."""
    return request.remote_addr or "unknown address"
