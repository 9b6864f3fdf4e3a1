"""How a route declares what it needs. Who asks is compared with it before the route runs."""

from __future__ import annotations

from dataclasses import dataclass

from retaild.runtime.access.permissions import Permission


@dataclass(frozen=True, slots=True)
class Needs:
    """`permission` None: open to everybody, signed in or not.

    `audit`: what the audit log calls the change that the route makes ("job.run"); empty for a
    route that changes nothing, or whose changes are no person's decision (events).
    """

    permission: Permission | None
    audit: str = ""


#: The login page, static files, liveness.
PUBLIC = Needs(None)
