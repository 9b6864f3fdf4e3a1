"""A realm as an administrator would make it for retaild, and a browser that fills its form."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from keycloak import KeycloakAdmin, KeycloakOpenID, KeycloakOpenIDConnection
from retaild_plugins.identities.keycloak.config import KeycloakConfig
from retaild_plugins.identities.keycloak.provider import KeycloakProvider

ADMIN = "admin"
SECRET = "a secret & more"
PASSWORD = "correct horse"
BACK = "http://127.0.0.1:8470/login/callback"


@dataclass
class Realm:
    """`ann` is an operator by a composite role, `vic` a viewer, `joe` has no role of retaild's."""

    server: str
    name: str
    admin: KeycloakAdmin
    _opened: list[KeycloakProvider] = field(default_factory=list)

    @classmethod
    def create(cls, server: str, name: str) -> Realm:
        connection = KeycloakOpenIDConnection(
            server_url=server + "/", username=ADMIN, password=ADMIN,
            realm_name="master", user_realm_name="master",
        )  # fmt: skip
        admin = KeycloakAdmin(connection=connection)
        admin.create_realm({"realm": name, "enabled": True, "sslRequired": "none"})
        admin.connection.realm_name = name
        realm = cls(server, name, admin)
        realm._make_clients()
        realm._make_people()
        return realm

    def remove(self) -> None:
        for provider in self._opened:
            provider.close()
        self.admin.connection.realm_name = "master"
        self.admin.delete_realm(self.name)

    def _make_clients(self) -> None:
        pages = {
            "clientId": "retaild", "secret": SECRET, "publicClient": False,
            "standardFlowEnabled": True, "directAccessGrantsEnabled": False,
            "redirectUris": ["http://127.0.0.1:*"],
            "attributes": {
                "pkce.code.challenge.method": "S256",
                "post.logout.redirect.uris": "http://127.0.0.1:*",
            },
        }  # fmt: skip
        self.admin.create_client(pages)
        for name, audience in (("stocktaker", "retaild"), ("elsewhere", "another-api")):
            made = self.admin.create_client(
                {"clientId": name, "secret": SECRET, "directAccessGrantsEnabled": True}
            )
            self.admin.add_mapper_to_client(
                made,
                {
                    "name": "audience", "protocol": "openid-connect",
                    "protocolMapper": "oidc-audience-mapper",
                    "config": {"included.custom.audience": audience, "access.token.claim": "true"},
                },
            )  # fmt: skip

    def _make_people(self) -> None:
        for role in ("retaild-viewer", "retaild-operator", "retaild-admin", "store-manager"):
            self.admin.create_realm_role({"name": role})
        operator = self.admin.get_realm_role("retaild-operator")
        self.admin.add_composite_realm_roles_to_role("store-manager", [operator])
        for name, role in (("ann", "store-manager"), ("vic", "retaild-viewer"), ("joe", "")):
            user = self.admin.create_user(
                {
                    "username": name, "enabled": True, "emailVerified": True,
                    "email": f"{name}@shop.test", "firstName": name.title(), "lastName": "Test",
                    "credentials": [{"type": "password", "value": PASSWORD, "temporary": False}],
                }
            )  # fmt: skip
            if role:
                self.admin.assign_realm_roles(user, [self.admin.get_realm_role(role)])

    def config(self, **settings: Any) -> KeycloakConfig:
        return KeycloakConfig.model_validate(
            {
                "server_url": self.server, "realm": self.name, "client_secret": SECRET,
                **settings,
            }
        )  # fmt: skip

    def provider(self, **settings: Any) -> KeycloakProvider:
        provider = KeycloakProvider(self.config(**settings))
        self._opened.append(provider)
        provider.open()
        return provider

    def token(self, user: str, client: str = "stocktaker") -> str:
        """An access token as a program gets it."""
        answer = KeycloakOpenID(self.server + "/", self.name, client, SECRET).token(user, PASSWORD)
        return str(answer["access_token"])

    def sessions(self, user: str) -> int:
        return len(self.admin.get_sessions(self.admin.get_user_id(user)))

    def rotate(self) -> str:
        """A new active RSA key; returns the component id of the one before."""
        kind = "org.keycloak.keys.KeyProvider"
        query = {"type": kind}
        old = [c for c in self.admin.get_components(query) if c["providerId"] == "rsa-generated"]
        realm_id = self.admin.get_realm(self.name)["id"]
        self.admin.create_component(
            {
                "name": "newer", "providerId": "rsa-generated", "providerType": kind,
                "parentId": realm_id, "config": {"priority": ["200"], "algorithm": ["RS256"]},
            }
        )  # fmt: skip
        return str(old[0]["id"])


@dataclass
class Login:
    """One attempt at the code flow, as the host makes it."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def fresh(cls) -> Login:
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Browser:
    """Follows the address of `begin`, fills Keycloak's form, stops where it is sent back."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def login(self, provider: KeycloakProvider, attempt: Login, user: str) -> str:
        """The code that Keycloak sends back."""
        address = provider.begin(BACK, attempt.state, attempt.nonce, attempt.challenge)
        page = self.http.get(address)
        if page.status_code == 200:
            action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
            assert action, page.text
            form = {"username": user, "password": PASSWORD, "credentialId": ""}
            page = self.http.post(html.unescape(action[1]), data=form)
        assert page.status_code == 302, page.text
        back = urlsplit(page.headers["location"])
        answer = parse_qs(back.query)
        assert answer["state"] == [attempt.state]
        assert f"{back.scheme}://{back.netloc}{back.path}" == BACK
        return answer["code"][0]


def forged(token: str, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """`token` with other words and its old signature."""
    head, body, signature = token.split(".")
    return ".".join((_changed(head, header or {}), _changed(body, claims), signature))


def _changed(part: str, values: dict[str, Any]) -> str:
    return packed({**json.loads(base64.urlsafe_b64decode(part + "==")), **values})


def packed(values: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()
