"""Who has signed in: sessions live in the panel's memory, so that signing out, or a restart, ends them for good."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from web.access.user import Role

LIFETIME_S = 14 * 3600.0  # a long winter night and the hour after it
MOST = 1000


@dataclass
class Session:
    """One sign-in.

    Attributes
    ----------
    csrf : the secret that forms of this session carry; another site cannot know it.
    notes : what the next page tells: (level, text).
    """

    role: Role
    name: str
    ends: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    notes: list[tuple[str, str]] = field(default_factory=list)


class Sessions:
    """Sessions by the digest of their id: what the memory holds opens nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def begin(self, role: Role, name: str) -> str:
        """A new session; the id that its cookie carries."""
        session_id, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._open = {key: one for key, one in self._open.items() if one.ends > now}
            while len(self._open) >= MOST:
                del self._open[next(iter(self._open))]
            self._open[_digest(session_id)] = Session(role, name, now + LIFETIME_S)
        return session_id

    def find(self, session_id: str | None) -> Session | None:
        """The session of a cookie, or None when there is none or it has ended."""
        session = self._open.get(_digest(session_id)) if session_id else None
        return session if session and session.ends > self._clock() else None

    def end(self, session_id: str | None) -> None:
        """Forget a session."""
        with self._lock:
            self._open.pop(_digest(session_id or ""), None)


def _digest(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()
