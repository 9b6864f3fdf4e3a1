"""Settings of the Keycloak realm and of retaild's client in it."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from retaild.api import Config
from retaild.api.identity import Role


def _server_address(text: str) -> str:
    """An address without a slash at its end; plain HTTP only on this machine."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write an address such as https://sso.example.com")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("the address ends with its path: no user, no ? and no #")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError(
            "passwords and tokens would travel unprotected; use https:// "
            "(http:// is for a server on 127.0.0.1)"
        )
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


ServerAddress = Annotated[str, AfterValidator(_server_address)]
Name = Annotated[str, Field(min_length=1, max_length=255)]


class RoleNames(Config):
    """Which realm role gives which of retaild's roles."""

    viewer: Name = Field(default="retaild-viewer", description="May see everything.")
    operator: Name = Field(default="retaild-operator", description="May also approve and run.")
    admin: Name = Field(default="retaild-admin", description="May also change who may do what.")

    def granted(self, realm_roles: frozenset[str]) -> frozenset[Role]:
        names: dict[Role, str] = {
            "viewer": self.viewer, "operator": self.operator, "admin": self.admin,
        }  # fmt: skip
        return frozenset(role for role, name in names.items() if name in realm_roles)


class KeycloakConfig(Config):
    """One realm, one client."""

    server_url: ServerAddress = Field(
        description="Address of Keycloak, without /realms: 'https://sso.example.com'."
    )
    public_url: ServerAddress | None = Field(
        default=None,
        description="Its address for browsers, where that differs (Keycloak's `hostname`).",
    )
    realm: Name = Field(description="The realm's name.")
    client_id: Name = Field(default="retaild", description="The client made for retaild.")
    client_secret: SecretStr | None = Field(
        default=None,
        description="The client's secret, as a reference; none for a public client.",
    )
    roles: RoleNames = Field(default=RoleNames(), description="Names of the realm roles.")
    audience: Name | None = Field(
        default=None,
        description="What a program's access token must name as its audience. "
        "Default: the client's id.",
    )
    clients: tuple[Name, ...] = Field(
        default=(),
        description="Clients whose access tokens are taken (`azp`). Empty: every client of the "
        "realm to which Keycloak gives the audience.",
    )
    ca_certificate: Path | None = Field(
        default=None, description="PEM file of the authority that signed Keycloak's certificate."
    )
    timeout: float = Field(
        default=5.0, gt=0, le=30, description="Seconds to wait for an answer of Keycloak."
    )
    leeway: float = Field(
        default=10.0, ge=0, le=120, description="Seconds that the two clocks may differ."
    )
    keys_seconds: float = Field(
        default=300.0, ge=1, le=86_400,
        description="The realm's keys are asked for again after so many seconds: a key that was "
        "removed is trusted no longer than this.",
    )  # fmt: skip
    retry_keys_seconds: float = Field(
        default=10.0, ge=0.1, le=3600,
        description="An unknown key makes retaild ask for the keys at once, but not more often "
        "than this.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({self.roles.viewer, self.roles.operator, self.roles.admin}) < 3:
            raise ValueError("roles: viewer, operator and admin need three different realm roles")
        return self

    @property
    def issuer(self) -> str:
        """Who must have signed: no other realm, no other server."""
        return f"{self.public_url or self.server_url}/realms/{quote(self.realm, safe='')}"

    @property
    def accepted_audience(self) -> str:
        return self.audience or self.client_id
