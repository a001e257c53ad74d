"""Sessions in a signed cookie, valid while their marker is in STATE/sessions.

They survive a restart of the panel and serve every panel of a state directory. Signing out removes the marker, which
ends the session in all of them; a changed token changes the signing key, which ends all sessions.
"""

import hashlib
import hmac
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_wtf.csrf import generate_csrf

from contimg.common.errors import Misconfigured
from contimg.common.files.writing import atomic_file
from contimg.settings import Settings
from web.access.user import Role

LIFETIME_S = 14 * 3600.0  # the longest winter night, and an hour
COOKIE = "contimg_session"
KEY_BYTES = 32


class _Cookie(SecureCookieSessionInterface):
    """The cookie is marked Secure when the session was opened over HTTPS, and sent below the panel's prefix only."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure or bool(session.get("https"))

    def get_cookie_path(self, app: Flask) -> str:
        return request.script_root or "/"


@dataclass(frozen=True)
class Sessions:
    """The open sessions of a state directory; `directory` holds one file for each, named by the digest of its id."""

    directory: Path

    def open(self, role: Role, name: str) -> None:
        """Make the current request's session that of a user.

        The session ends after `LIFETIME_S`. Markers of sessions that have ended are removed.

        Parameters
        ----------
        role : what the user may do.
        name : the user's name, which the event log gives as author of commands.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for marker in self.directory.iterdir():
            with suppress(FileNotFoundError):  # another panel removed it
                if marker.stat().st_mtime < time.time() - LIFETIME_S:
                    marker.unlink()
        session.clear()
        session_id = secrets.token_urlsafe(32)
        # A proxy may end TLS without saying so; the browser states the scheme of the page that sent the form.
        is_https = request.is_secure or urlsplit(request.headers.get("Origin", "")).scheme == "https"
        ends_at_s = time.time() + LIFETIME_S
        session.update(id=session_id, role=int(role), name=name, ends_at=ends_at_s, https=is_https)
        session.permanent = True
        generate_csrf()
        self._marker(session_id).touch(mode=0o600)

    def find(self) -> tuple[Role, str] | None:
        """Return role and name of the current request's session, or None when it has none that is open."""
        session_id = session.get("id")
        if session_id is None or session["ends_at"] < time.time() or not self._marker(session_id).exists():
            return None
        return Role(session["role"]), session["name"]

    def close(self) -> None:
        """End the current request's session, in every panel."""
        self._marker(session.get("id", "")).unlink(missing_ok=True)
        session.clear()

    def _marker(self, session_id: str) -> Path:
        return self.directory / hashlib.sha256(session_id.encode()).hexdigest()


def add_sessions(app: Flask, settings: Settings) -> Sessions:
    """Configure an application's session cookie and return its sessions.

    Parameters
    ----------
    app : the application; its secret key and the options of its cookie are set.
    settings : state directory, which holds the signing key and the markers, and the tokens. Without a token the
        signing key is made again and not stored.

    Raises
    ------
    Misconfigured, when a token is set and STATE/session.key cannot be read or written or has a wrong length.
    """
    tokens = f"{settings.token}\n{settings.view_token}"
    needed = settings.token or settings.view_token
    key = _signing_key(settings.state_dir) if needed else secrets.token_bytes(KEY_BYTES)
    app.secret_key = hmac.new(key, tokens.encode(), hashlib.sha256).digest()
    # Cookies are shared by all ports of a host: the name differs between panels of different state directories.
    panel_id = hmac.new(app.secret_key, b"cookie name", hashlib.sha256).hexdigest()[:8]
    app.session_interface = _Cookie()
    app.config.update(
        SESSION_COOKIE_NAME=f"{COOKIE}_{panel_id}",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=int(LIFETIME_S),
    )
    return Sessions(settings.state_dir / "sessions")


def _signing_key(state_dir: Path) -> bytes:
    """The key of STATE/session.key, which the first panel makes; a file is complete once it has that name."""
    path = state_dir / "session.key"
    try:
        if not path.exists():
            state_dir.mkdir(parents=True, exist_ok=True)
            draft = state_dir / f".session.key.{secrets.token_hex(8)}"
            with atomic_file(draft, durable=True) as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            with suppress(FileExistsError):  # another panel was first
                os.link(draft, path)
            draft.unlink()
        key = path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read or written: {error.strerror}") from None
    if len(key) != KEY_BYTES:
        raise Misconfigured(f"{path}: {len(key)} bytes instead of {KEY_BYTES}; remove it, and everybody signs in again")
    return key
