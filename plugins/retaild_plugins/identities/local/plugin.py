"""Registers the identity provider `local`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BuildContext, hookimpl
from retaild.api.identity import IdentityProvider, IdentityProviderSpec
from retaild_plugins.identities.local.config import LocalConfig


def _build(config: LocalConfig, context: BuildContext) -> IdentityProvider:
    from retaild_plugins.identities.local.provider import LocalIdentity

    return LocalIdentity(config, context.state_dir)


@hookimpl
def retaild_identity_providers() -> Sequence[IdentityProviderSpec]:
    return [
        IdentityProviderSpec(
            name="local",
            summary="Users kept on this machine, with argon2id password hashes.",
            config=LocalConfig,
            build=_build,
            requires=("argon2-cffi",),
            passwords=True,
            directory=True,
        )
    ]
