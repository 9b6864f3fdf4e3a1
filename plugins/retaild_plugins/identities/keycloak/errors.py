"""What can be wrong between retaild and Keycloak, in words."""

from __future__ import annotations

from retaild.api import ConfigError, TransientError


class UnreachableError(TransientError):
    key = "identity.keycloak.unreachable"

    def __init__(self, address: str, why: str) -> None:
        super().__init__(
            f"Keycloak at {address} does not answer ({why}).",
            hint="Nobody can log in until it does; who is logged in stays so. "
            "Check that it runs and that this machine reaches it.",
        )


class UnknownRealmError(ConfigError):
    key = "identity.keycloak.realm"

    def __init__(self, address: str, realm: str) -> None:
        super().__init__(
            f"Keycloak at {address} has no realm {realm!r}.", hint="Correct `realm` or make it."
        )


class IssuerError(ConfigError):
    key = "identity.keycloak.issuer"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"Keycloak calls itself {found!r}, but {expected!r} is configured.",
            hint="Set `public_url` to Keycloak's `hostname`, or correct `server_url`.",
        )


class ClientRefusedError(ConfigError):
    key = "identity.keycloak.client"

    def __init__(self, client_id: str, why: str) -> None:
        super().__init__(
            f"Keycloak refuses the client {client_id!r} ({why}).",
            hint="Compare `client_id` and `client_secret` with the client's page in Keycloak.",
        )


class TokenError(Exception):
    """A token that is not good. The reason is for the log; people are not told which it was."""
