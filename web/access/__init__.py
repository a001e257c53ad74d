"""Who asks: the holder of a token, somebody who has signed in, or anybody who reaches the address."""

from web.access.guard import guard
from web.access.user import Role, User, current_user

__all__ = ["Role", "User", "current_user", "guard"]
