"""Who gets in: users, API keys, sessions; and the audit log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from retaild.rest import access_schemas as schemas
from retaild.rest.access import needs
from retaild.rest.access_data import AccessData
from retaild.rest.parameters import Limit, Name, Offset
from retaild.runtime.access.caller import current_caller

_Filter = Annotated[str, Query(max_length=200)]
_NO_STORE = {"cache-control": "no-store"}


def router(access: AccessData) -> APIRouter:
    routes = APIRouter(tags=["access"])
    _users(routes, access)
    _keys(routes, access)
    _sessions(routes, access)

    @routes.get("/me", response_model=schemas.Me, dependencies=[needs(None)])
    async def me() -> dict[str, Any]:
        """Who you are to this server, and what you may do."""
        caller = current_caller()
        return {
            "who": caller.who,
            "roles": sorted(caller.roles),
            "permissions": sorted(caller.permissions),
        }

    @routes.get("/audit", response_model=schemas.AuditPage, dependencies=[needs("administer")])
    async def audit(
        who: _Filter = "", what: _Filter = "", q: _Filter = "", limit: Limit = 50,
        offset: Offset = 0,
    ) -> dict[str, Any]:  # fmt: skip
        """Who changed what, newest first."""
        return await access.audit(who=who, what=what, search=q, limit=limit, offset=offset)

    return routes


def _users(routes: APIRouter, access: AccessData) -> None:
    @routes.get("/users", response_model=schemas.Users, dependencies=[needs("administer")])
    async def users() -> dict[str, Any]:
        """The users that the identity provider keeps here."""
        return {"users": await access.users()}

    @routes.post(
        "/users",
        response_model=schemas.User,
        status_code=201,
        dependencies=[needs("administer", audit="user.add")],
    )
    async def add(user: schemas.NewUser) -> dict[str, Any]:
        """Add a user."""
        return await access.add_user(user.name, user.password, frozenset(user.roles))

    @routes.patch(
        "/users/{name}",
        response_model=schemas.User,
        dependencies=[needs("administer", audit="user.change")],
    )
    async def change(name: Name, change: schemas.UserChange) -> dict[str, Any]:
        """Change roles or password, disable or enable; the user's sessions end."""
        roles = None if change.roles is None else frozenset(change.roles)
        return await access.change_user(
            name, password=change.password, roles=roles, disabled=change.disabled
        )

    @routes.delete(
        "/users/{name}",
        response_model=schemas.Done,
        dependencies=[needs("administer", audit="user.remove")],
    )
    async def remove(name: Name) -> dict[str, Any]:
        """Remove a user; his sessions end."""
        await access.remove_user(name)
        return {"done": True}


def _keys(routes: APIRouter, access: AccessData) -> None:
    @routes.get("/keys", response_model=schemas.Keys, dependencies=[needs("administer")])
    async def keys() -> dict[str, Any]:
        """API keys, newest first; never their secrets."""
        return {"keys": await access.keys()}

    @routes.post(
        "/keys",
        response_model=schemas.CreatedKey,
        status_code=201,
        dependencies=[needs("administer", audit="key.create")],
    )
    async def create(key: schemas.NewKey, response: Response) -> dict[str, Any]:
        """Make a key; its token is in this answer and nowhere else."""
        made, token = await access.create_key(key.name, list(key.scopes), key.days)
        response.headers.update(_NO_STORE)
        return {"key": made, "token": token}

    @routes.delete(
        "/keys/{key_id}",
        response_model=schemas.Done,
        dependencies=[needs("administer", audit="key.revoke")],
    )
    async def revoke(key_id: Name) -> dict[str, Any]:
        """From now on the key opens nothing."""
        await access.revoke_key(key_id)
        return {"done": True}


def _sessions(routes: APIRouter, access: AccessData) -> None:
    @routes.get("/sessions", response_model=schemas.SessionList, dependencies=[needs("administer")])
    async def sessions() -> dict[str, Any]:
        """Who is signed in with a browser."""
        return {"sessions": await access.sessions()}

    @routes.delete(
        "/sessions/{session_id}",
        response_model=schemas.Done,
        dependencies=[needs("administer", audit="session.revoke")],
    )
    async def end(session_id: Name) -> dict[str, Any]:
        """End a session."""
        await access.end_session(session_id)
        return {"done": True}
