"""By which names the panel may be addressed: a foreign name that was made to point here must not read it."""

import ipaddress
import socket
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit


def is_ours(host: str, named: Collection[str]) -> bool:
    """Whether a Host header's value can be meant for this panel.

    Addresses and names without a dot are: nobody can register them elsewhere and point them here. Of the others only
    this machine's own name and those that the operator gave.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if not name or "." not in name or name.endswith(".localhost"):
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in {one.lower() for one in named} or name == _own_name()
    return True


@lru_cache(maxsize=1)
def _own_name() -> str:
    return socket.getfqdn().lower()
