"""The provider: login by Keycloak's pages, access tokens, logout."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from retaild.api import Identity, TransientError
from retaild_plugins.identities.keycloak.config import KeycloakConfig
from retaild_plugins.identities.keycloak.errors import TokenError
from retaild_plugins.identities.keycloak.keys import KeyRing
from retaild_plugins.identities.keycloak.server import KeycloakServer, address
from retaild_plugins.identities.keycloak.tokens import (
    Claims,
    TokenReader,
    person,
    realm_roles,
)

log = logging.getLogger(__name__)

_SCOPE = "openid profile"


class KeycloakProvider:
    """An IdentityProvider, CodeLogin and BearerTokens over one realm."""

    def __init__(self, config: KeycloakConfig) -> None:
        self._config = config
        self._server: KeycloakServer | None = None
        self._metadata: Mapping[str, Any] = {}
        self._tokens: TokenReader | None = None

    def open(self) -> None:
        """Raises UnreachableError (the host tries again), UnknownRealmError, IssuerError."""
        server = KeycloakServer(self._config)
        self._metadata = server.metadata()
        keys = KeyRing(
            server.keys,
            max_age=self._config.keys_seconds,
            min_pause=self._config.retry_keys_seconds,
        )
        self._server, self._tokens = server, TokenReader(self._config, keys)

    def close(self) -> None:
        self._server = self._tokens = None

    def check(self) -> None:
        """As `open`, which changes nothing in Keycloak."""
        KeycloakServer(self._config).metadata()

    def begin(self, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        return address(
            self._metadata["authorization_endpoint"],
            response_type="code",
            client_id=self._config.client_id,
            redirect_uri=redirect_uri,
            scope=_SCOPE,
            state=state,
            nonce=nonce,
            code_challenge=challenge,
            code_challenge_method="S256",
        )

    def finish(self, redirect_uri: str, code: str, nonce: str, verifier: str) -> Identity | None:
        assert self._server is not None
        answer = self._server.redeem(code, redirect_uri, verifier)
        if answer is None:
            log.info("Login refused: Keycloak does not take the code")
            return None
        try:
            return self._logged_in(answer, nonce)
        except TokenError as error:
            log.warning("Login refused: Keycloak's answer is not for us (%s)", error)
            return None

    def logout(self, session: Mapping[str, str], redirect_uri: str) -> str | None:
        """The browser is sent to Keycloak too, so that its cookie there goes as well."""
        assert self._server is not None
        refresh = session.get("refresh_token")
        try:
            if refresh and not self._server.end_session(refresh):
                log.info("Logout: the session in Keycloak had ended already")
        except TransientError as error:
            log.warning("Logout: Keycloak's session ends by itself: %s", error)
        hint = session.get("id_token")
        if not hint:
            return None
        return address(
            self._metadata["end_session_endpoint"],
            id_token_hint=hint,
            post_logout_redirect_uri=redirect_uri,
            client_id=self._config.client_id,
        )

    def bearer(self, token: str) -> Identity | None:
        """Raises TransientError while the realm's keys cannot be had."""
        assert self._tokens is not None
        try:
            claims = self._tokens.access_token(token)
        except TokenError as error:
            log.info("Access token refused: %s", error)
            return None
        return self._identity(claims, expires=float(claims["exp"]))

    def _logged_in(self, answer: Mapping[str, Any], nonce: str) -> Identity:
        assert self._tokens is not None
        identified = self._tokens.id_token(str(answer.get("id_token", "")), nonce)
        access = self._tokens.own_access_token(str(answer.get("access_token", "")))
        if access["sub"] != identified["sub"]:
            raise TokenError("two tokens of two people")
        kept = {name: answer[name] for name in ("id_token", "refresh_token") if name in answer}
        # As long as Keycloak's own session may rest; an offline session has no such end (0).
        rest = float(answer.get("refresh_expires_in") or 0)
        return self._identity(access, kept, time.time() + rest if rest > 0 else None)

    def _identity(
        self, claims: Claims, session: Mapping[str, str] | None = None, expires: float | None = None
    ) -> Identity:
        return Identity(
            subject=claims["sub"],
            name=person(claims),
            roles=self._config.roles.granted(realm_roles(claims)),
            session=session or {},
            expires=expires,
        )
