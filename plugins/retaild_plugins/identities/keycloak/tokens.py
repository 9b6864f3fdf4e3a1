"""Reads signed tokens (RFC 7515, RFC 7519, OpenID Connect Core 3.1.3.7, RFC 9068)."""

from __future__ import annotations

import hmac
import json
import math
import time
from collections.abc import Mapping
from typing import Any

from jwcrypto.common import JWException
from jwcrypto.jws import JWS

from retaild_plugins.identities.keycloak.config import KeycloakConfig
from retaild_plugins.identities.keycloak.errors import TokenError
from retaild_plugins.identities.keycloak.keys import ALGORITHMS, KeyRing

#: A longer token is not looked at. Keycloak's have one or two thousand signs.
MAX_LENGTH = 64 * 1024

Claims = Mapping[str, Any]


class TokenReader:
    """Claims of tokens that are good; raises TokenError for all others."""

    def __init__(self, config: KeycloakConfig, keys: KeyRing) -> None:
        self._config = config
        self._keys = keys

    def access_token(self, token: str) -> Claims:
        """A program's: made for our audience, by a client that may."""
        claims = self._signed(token, "Bearer")
        if self._config.accepted_audience not in _audience(claims):
            raise TokenError("made for another audience")
        party = claims.get("azp")
        if not isinstance(party, str) or not party:
            raise TokenError("names no client")
        if self._config.clients and party not in self._config.clients:
            raise TokenError("of a client that may not")
        if "cnf" in claims:
            raise TokenError("bound to a key of its owner, which a plain bearer does not prove")
        return claims

    def own_access_token(self, token: str) -> Claims:
        """One that the token endpoint gave to ourselves: its audience is what we may call."""
        claims = self._signed(token, "Bearer")
        if claims.get("azp") != self._config.client_id:
            raise TokenError("given to another client")
        return claims

    def id_token(self, token: str, nonce: str) -> Claims:
        """Somebody's who just logged in, by the request that carried `nonce`."""
        claims = self._signed(token, "ID")
        audience = _audience(claims)
        if audience != {self._config.client_id}:
            raise TokenError("made for another client")
        if claims.get("azp", self._config.client_id) != self._config.client_id:
            raise TokenError("given to another client")
        if not nonce or not hmac.compare_digest(str(claims.get("nonce", "")), nonce):
            raise TokenError("answers another request")
        return claims

    def _signed(self, token: str, kind: str) -> Claims:
        claims = self._verified(token)
        if claims.get("iss") != self._config.issuer:
            raise TokenError("of another issuer")
        if claims.get("typ") != kind:
            raise TokenError(f"no {kind} token")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise TokenError("without a subject")
        self._check_time(claims)
        return claims

    def _verified(self, token: str) -> Claims:
        if len(token) > MAX_LENGTH or token.count(".") != 2:
            raise TokenError("not a signed token in compact form")
        try:
            signed = JWS()
            signed.allowed_algs = list(ALGORITHMS)
            signed.deserialize(token)
            header = signed.jose_header
            algorithm, key_id = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS or not isinstance(key_id, str):
                raise TokenError("signed in a way that is not taken")
            key = self._keys.find(key_id, algorithm)
            if key is None:
                raise TokenError("signed by a key that the realm does not have")
            signed.verify(key, alg=algorithm)
            claims = json.loads(signed.payload)
        except (JWException, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise TokenError(f"signature: {type(error).__name__}") from None
        if not isinstance(claims, dict):
            raise TokenError("holds no claims")
        return claims

    def _check_time(self, claims: Claims) -> None:
        now, leeway = time.time(), self._config.leeway
        if _moment(claims, "exp") <= now - leeway:
            raise TokenError("expired")
        if "nbf" in claims and _moment(claims, "nbf") > now + leeway:
            raise TokenError("not good yet")
        if _moment(claims, "iat") > now + leeway:
            raise TokenError("made in the future")


def _moment(claims: Claims, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenError(f"without the time `{name}`")
    return float(value)


def _audience(claims: Claims) -> set[str]:
    found = claims.get("aud", [])
    return {found} if isinstance(found, str) else {str(item) for item in found or ()}


def realm_roles(claims: Claims) -> frozenset[str]:
    """The realm roles of an access token, those of composite roles and groups included."""
    access = claims.get("realm_access")
    roles = access.get("roles") if isinstance(access, dict) else None
    return frozenset(role for role in roles or () if isinstance(role, str))


def person(claims: Claims) -> str:
    """A name for people: the login name, else the subject."""
    name = claims.get("preferred_username") or claims.get("name") or claims["sub"]
    return str(name)[:200]
