"""What may be done, and which role may do it.

Standard library only: the fast lane and the command line use it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Permission = Literal["recommend", "ingest", "metrics", "view", "operate", "decide", "administer"]
#: Permission -> what it allows, in words.
PERMISSIONS: dict[Permission, str] = {
    "recommend": "ask for recommendations and prices: a web shop, a till",
    "ingest": "post events: a web shop, a till",
    "metrics": "read /metrics: a monitoring system",
    "view": "look at everything but secrets",
    "operate": "run jobs, restart and resume, replay dead letters, silence alerts",
    "decide": "approve prices, promote models",
    "administer": "users, keys, configuration, plugins, backups, the audit log",
}
#: Role -> its permissions; each role has those of the one before it.
_VIEWER: frozenset[Permission] = frozenset({"recommend", "metrics", "view"})
_OPERATOR: frozenset[Permission] = _VIEWER | {"ingest", "operate", "decide"}
_ADMIN: frozenset[Permission] = _OPERATOR | {"administer"}
ROLE_PERMISSIONS: dict[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "operator": _OPERATOR,
    "admin": _ADMIN,
}
assert set(PERMISSIONS) == set(get_args(Permission))


def permissions_of(roles: Iterable[str]) -> frozenset[Permission]:
    """All that somebody with these roles may do; unknown roles allow nothing."""
    none: frozenset[Permission] = frozenset()
    return frozenset().union(*(ROLE_PERMISSIONS.get(role, none) for role in roles))
