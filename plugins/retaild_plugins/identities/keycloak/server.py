"""Talks to Keycloak through python-keycloak; its errors become ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from keycloak import KeycloakOpenID
from keycloak.exceptions import KeycloakConnectionError, KeycloakError

from retaild_plugins.identities.keycloak.config import KeycloakConfig
from retaild_plugins.identities.keycloak.errors import (
    ClientRefusedError,
    IssuerError,
    UnknownRealmError,
    UnreachableError,
)

T = TypeVar("T")
#: What the token endpoint answers when it is the client that is wrong (RFC 6749, 5.2).
_CLIENT_FAULTS = frozenset({"invalid_client", "unauthorized_client"})


class KeycloakServer:
    """One realm's endpoints. Opened by `metadata()`."""

    def __init__(self, config: KeycloakConfig) -> None:
        self._config = config
        secret = config.client_secret
        self._client = KeycloakOpenID(
            server_url=config.server_url + "/",
            realm_name=config.realm,
            client_id=config.client_id,
            client_secret_key=secret.get_secret_value() if secret else None,
            verify=str(config.ca_certificate) if config.ca_certificate else True,
            # The library passes it on to requests, which takes fractions.
            timeout=config.timeout,  # type: ignore[arg-type]
            # A code may be shown once only: an answer lost on the way must not be asked for again.
            max_retries=0,
        )
        self._posting = threading.Lock()

    def metadata(self) -> Mapping[str, Any]:
        """The realm's metadata, of the configured issuer and none else.

        Raises UnreachableError, UnknownRealmError, IssuerError.
        """
        try:
            found = self._call(self._client.well_known)
        except KeycloakError as error:
            if error.response_code != 404:
                raise
            raise UnknownRealmError(self._config.server_url, self._config.realm) from None
        issuer = self._config.issuer
        if found.get("issuer") != issuer:
            raise IssuerError(issuer, str(found.get("issuer")))
        for name in ("authorization_endpoint", "end_session_endpoint"):
            if not str(found.get(name)).startswith(issuer + "/"):
                raise IssuerError(issuer, str(found.get(name)))
        return found

    def keys(self) -> list[dict[str, Any]]:
        """The realm's public keys (RFC 7517). Raises UnreachableError."""
        return list(self._call(self._client.certs).get("keys", ()))

    def redeem(self, code: str, redirect_uri: str, verifier: str) -> Mapping[str, Any] | None:
        """The tokens that `code` stands for, or None if it is not good.

        Raises UnreachableError, ClientRefusedError.
        """
        try:
            return self._post(
                lambda: self._client.token(
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=redirect_uri,
                    code_verifier=verifier,
                )
            )
        except KeycloakError as error:
            fault = _fault(error)
            if fault in _CLIENT_FAULTS:
                raise ClientRefusedError(self._config.client_id, fault) from None
            return None

    def end_session(self, refresh_token: str) -> bool:
        """Revoke the refresh token and what hangs on it. False if Keycloak knew it no more."""
        try:
            self._post(lambda: self._client.logout(refresh_token))
        except KeycloakError:
            return False
        return True

    def _post(self, call: Callable[[], T]) -> T:
        """The library sets the content type for all calls at once, so one call at a time."""
        with self._posting:
            return self._call(call)

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except KeycloakConnectionError as error:
            cause = type(error.__cause__ or error).__name__
            raise UnreachableError(self._config.server_url, cause) from None
        except KeycloakError as error:
            status = error.response_code or 0
            if status >= 500 or status == 429:
                raise UnreachableError(self._config.server_url, f"HTTP {status}") from None
            raise
        except (TypeError, AttributeError):
            # An answer that is no JSON object: a proxy's page in front of Keycloak.
            raise UnreachableError(self._config.server_url, "not Keycloak's answer") from None


def address(endpoint: str, **parameters: str) -> str:
    """`endpoint` with its query, percent-encoded (python-keycloak's `auth_url` does not)."""
    return f"{endpoint}?{urlencode(parameters)}"


def _fault(error: KeycloakError) -> str:
    try:
        return str(json.loads(error.response_body or b"").get("error", ""))
    except (ValueError, AttributeError):
        return ""
