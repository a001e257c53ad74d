"""The URL of the broker: what redis-py and Celery accept under different spellings, understood in one place."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

TCP_SCHEMES = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}  # whether with TLS
SOCKET_SCHEMES = ("unix", "redis+socket")
DEFAULT_PORT = 6379
_VERIFY = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_FORMS = "give redis://host:port/0, rediss://host:port/0 or unix:///path?db=0"
_ENCODE = "write special characters of a password by their codes: # %23, / %2F, : %3A, ? %3F, @ %40, % %25"


@dataclass(frozen=True)
class BrokerAddress:
    """Address of a Redis-compatible broker.

    Attributes
    ----------
    host, port : of the server; empty for a socket.
    socket : path of a Unix socket; empty for a host.
    database : number of the database in the server.
    username, password : decoded; None where the URL has none.
    tls : None without TLS, otherwise `ssl_cert_reqs` (required, optional, none) and the files `ssl_ca_certs`,
        `ssl_certfile` and `ssl_keyfile` as far as the URL names them.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    socket: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, str] | None = None

    @classmethod
    def parse(cls, url: str) -> "BrokerAddress":
        """Understand a URL of Celery or redis-py.

        Parameters
        ----------
        url : `redis://`, `rediss://`, `valkey://` or `valkeys://` with host, port and database, or `unix://` or
            `redis+socket://` with the path of a socket. Options of TLS: `ssl_cert_reqs`, in either spelling,
            `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`.

        Raises
        ------
        ValueError : it is none of these; the message does not show the password.
        """
        scheme, separator, remainder = url.partition("://")
        if not separator or scheme not in (*TCP_SCHEMES, *SOCKET_SCHEMES):
            raise ValueError(f"not a URL of a Redis-compatible broker; {_FORMS}")
        if "#" in remainder or remainder.count("@") > 1 or re.search(r"%(?![0-9a-fA-F]{2})", remainder):
            raise ValueError(_ENCODE)
        remainder, _, query = remainder.partition("?")
        if "@" in query:
            raise ValueError(_ENCODE)
        options = dict(parse_qsl(query, keep_blank_values=True))
        user, _, location = remainder.rpartition("@")
        if "/" in user or user.count(":") > 1:
            raise ValueError(_ENCODE)
        username, _, password = user.partition(":")
        parts: dict[str, Any] = {"username": unquote(username) or None, "password": unquote(password) or None}
        number = options.pop("virtual_host", options.pop("db", ""))
        if scheme in SOCKET_SCHEMES:
            if not location.startswith("/"):
                raise ValueError(f"the path of a socket begins with /; {_FORMS}")
            parts["socket"] = unquote(location)
        else:
            address, _, path = location.partition("/")
            parts["host"], parts["port"] = _host_and_port(address)
            number = path or number
        if number and not number.isdecimal():
            raise ValueError(f"database {number!r} is not a number; {_FORMS}")
        tls = _tls_options(options)
        if unknown := ", ".join(options):
            raise ValueError(f"{unknown}: not an option of a broker; known: ssl_cert_reqs, {', '.join(_FILES)}")
        has_tls = TCP_SCHEMES.get(scheme, False)
        if tls and not has_tls:
            raise ValueError(f"{', '.join(tls)}: options of TLS; begin the URL with rediss://")
        return cls(database=int(number or 0), tls={"ssl_cert_reqs": "required", **tls} if has_tls else None, **parts)

    @property
    def redis_url(self) -> str:
        """The URL as redis-py takes it; every process of the service gets this one."""
        if self.socket:
            return self._socket_url("unix", "db")
        query = f"?{urlencode(self.tls)}" if self.tls else ""
        return f"{self.celery_url}{query}"

    @property
    def celery_url(self) -> str:
        """The URL as Celery takes it; `ssl_options` go with it."""
        if self.socket:
            return self._socket_url("redis+socket", "virtual_host")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'' if self.tls is None else 's'}://{self._user}{host}:{self.port}/{self.database}"

    @property
    def limits_url(self) -> str:
        """The URL as the panel's counter of requests (the package limits) takes it."""
        return f"redis+{self.redis_url}" if self.socket else self.redis_url

    @property
    def ssl_options(self) -> dict[str, Any] | None:
        """Options of the TLS connection for Celery; None without TLS."""
        if self.tls is None:
            return None
        return {**self.tls, "ssl_cert_reqs": _VERIFY[self.tls["ssl_cert_reqs"]]}

    @property
    def _user(self) -> str:
        if self.username is None and self.password is None:
            return ""
        return f"{quote(self.username or '', safe='')}:{quote(self.password or '', safe='')}@"

    def _socket_url(self, scheme: str, database_option: str) -> str:
        return f"{scheme}://{self._user}{quote(self.socket)}?{database_option}={self.database}"


def _host_and_port(address: str) -> tuple[str, int]:
    """Split `host`, `host:port`, `[::1]` or `[::1]:port`."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:\s]*))(?::(\d+))?", address)
    port = int(match[3] or DEFAULT_PORT) if match else 0
    if match is None or not 0 < port < 65536:
        raise ValueError(f"no host and port can be read from it; {_FORMS}; {_ENCODE}; an IPv6 address is in brackets")
    return match[1] or match[2] or "localhost", port


def _tls_options(options: dict[str, str]) -> dict[str, str]:
    """Take the options of TLS out of those of a URL."""
    tls = {name: options.pop(name) for name in ("ssl_cert_reqs", *_FILES) if name in options}
    if "ssl_cert_reqs" in tls:
        tls["ssl_cert_reqs"] = tls["ssl_cert_reqs"].lower().removeprefix("cert_")
        if tls["ssl_cert_reqs"] not in _VERIFY:
            raise ValueError(f"ssl_cert_reqs: must be one of {', '.join(_VERIFY)}")
    for name in _FILES:
        if name in tls and not Path(tls[name]).is_file():
            raise ValueError(f"{name}={tls[name]}: no such file")
    return tls
