"""Users, keys, sessions and the audit log as JSON."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from retaild.api.identity import Role
from retaild.rest.schemas import Schema
from retaild.runtime.access.permissions import Permission


class Me(Schema):
    who: str = Field(description="As the audit log names you.")
    roles: list[str]
    permissions: list[Permission]


class User(Schema):
    name: str
    subject: str | None = Field(default=None, description="Never changes, and is never reused.")
    roles: list[str]
    disabled: bool = False
    created: float | None = Field(default=None, description="Seconds since the epoch (UTC).")
    last_login: float | None = None


class Users(Schema):
    users: list[User]


class NewUser(Schema):
    name: str = Field(max_length=200)
    password: str = Field(max_length=1000)
    roles: list[Role] = Field(max_length=3)


class UserChange(Schema):
    """What is left out stays as it is. Any change ends the user's sessions."""

    password: str | None = Field(default=None, max_length=1000)
    roles: list[Role] | None = Field(default=None, max_length=3)
    disabled: bool | None = None


class Key(Schema):
    id: str
    name: str
    scopes: list[str]
    created: float
    created_by: str
    expires: float | None
    revoked: float | None
    last_used: float | None


class Keys(Schema):
    keys: list[Key]


class NewKey(Schema):
    name: str = Field(max_length=200, description="Who uses it: web-shop, till-3.")
    scopes: list[Permission] = Field(min_length=1, max_length=20)
    days: float | None = Field(
        default=90.0, gt=0, le=3660, description="It ends after so long; null: never."
    )


class CreatedKey(Schema):
    key: Key
    token: str = Field(description="Shown now or never: only a digest is kept.")


class Session(Schema):
    id: str
    subject: str
    name: str
    roles: list[str]
    provider: str
    created: float
    last_seen: float
    expires: float
    address: str


class SessionList(Schema):
    sessions: list[Session]


class Done(Schema):
    done: bool = True


class AuditEntry(Schema):
    id: int
    at: float
    who: str
    via: str
    what: str
    target: str
    before: Any
    after: Any
    request_id: str
    digest: str = Field(description="SHA-256 over this entry and the digest before it.")


class AuditPage(Schema):
    entries: list[AuditEntry]
    total: int
