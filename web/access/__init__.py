"""Who asks: the holder of a token, somebody who has signed in, or anybody who reaches the address."""

from web.access.guard import guard
from web.access.visitor import Role, Visitor, visitor

__all__ = ["Role", "Visitor", "guard", "visitor"]
