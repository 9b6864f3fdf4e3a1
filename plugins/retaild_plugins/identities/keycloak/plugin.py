"""Registers the identity provider `keycloak`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BuildContext, IdentityProvider, IdentityProviderSpec, hookimpl
from retaild_plugins.identities.keycloak.config import KeycloakConfig


def _build(config: KeycloakConfig, context: BuildContext) -> IdentityProvider:
    from retaild_plugins.identities.keycloak.provider import KeycloakProvider

    return KeycloakProvider(config)


@hookimpl
def retaild_identity_providers() -> Sequence[IdentityProviderSpec]:
    return [
        IdentityProviderSpec(
            name="keycloak",
            summary="Keycloak: people log in by its pages, programs by its access tokens.",
            config=KeycloakConfig,
            build=_build,
            codes=True,
            bearer_tokens=True,
            requires=("python-keycloak",),
        )
    ]
