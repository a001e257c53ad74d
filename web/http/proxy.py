"""The panel behind reverse proxies: client, scheme, host and prefix of a request as the browser sent it."""

import ipaddress
import logging
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

from contimg.settings import Settings
from contimg.settings.tree import is_prefix

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PREFIX")
WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]
log = logging.getLogger(__name__)


class ReverseProxies:
    """WSGI middleware that applies the settings `web_prefix`, `web_scheme`, `web_proxies` and `web_proxy_addresses`.

    The X-Forwarded headers are read only from a trusted address, and only as many values as there are proxies: every
    client can send these headers itself. The prefix is removed from the path where the proxy has left it there.

    Parameters
    ----------
    app : the application.
    settings : number and addresses of the proxies; prefix and scheme for proxies that do not send them.
    """

    def __init__(self, app: WsgiApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._trusted = [ipaddress.ip_network(text) for text in settings.web_proxy_addresses.split()]
        count = settings.web_proxies
        self._fixed = ProxyFix(self._serve, x_for=count, x_proto=count, x_host=count, x_prefix=count) if count else None
        self._is_noted = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request.

        Parameters
        ----------
        environ, start_response : of WSGI (PEP 3333).
        """
        environ["SCRIPT_NAME"] = self._settings.web_prefix
        environ["wsgi.url_scheme"] = self._settings.web_scheme or environ["wsgi.url_scheme"]
        if self._fixed and self._is_trusted(environ.get("REMOTE_ADDR", "")):
            return self._fixed(environ, start_response)
        if not self._is_noted and any(header in environ for header in FORWARDED):
            self._is_noted = True
            address = environ.get("REMOTE_ADDR", "")
            log.warning("X-Forwarded headers from %s are ignored; behind a reverse proxy set CONTIMG_WEB_PROXIES and "
                        "CONTIMG_WEB_PROXY_ADDRESSES", address)  # fmt: skip
        return self._serve(environ, start_response)

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        prefix = environ["SCRIPT_NAME"].rstrip("/")
        environ["SCRIPT_NAME"] = prefix = prefix if is_prefix(prefix) else ""
        path = environ.get("PATH_INFO", "")
        if prefix and f"{path}/".startswith(f"{prefix}/"):
            environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return self._app(environ, start_response)

    def _is_trusted(self, address: str) -> bool:
        try:
            return any(ipaddress.ip_address(address) in network for network in self._trusted)
        except ValueError:
            return False
