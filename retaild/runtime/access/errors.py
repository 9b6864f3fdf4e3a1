"""Why somebody may not come in, or what about users and keys is wrong."""

from __future__ import annotations

from retaild.api.errors import RetaildError


class AccessError(RetaildError):
    """Root of the errors of access."""

    key = "access"


class NotSignedInError(AccessError):
    key = "access.not_signed_in"

    def __init__(self, reason: str = "This needs somebody who is signed in.") -> None:
        super().__init__(
            reason,
            hint="Sign in at /login, or send an API key as `Authorization: Bearer retaild_...`.",
        )


class ForbiddenError(AccessError):
    key = "access.forbidden"

    def __init__(self, who: str, permission: str) -> None:
        super().__init__(
            f"This needs the permission {permission!r}, which {who} does not have.",
            hint="An administrator can give a role or a key with that permission.",
        )


class CsrfError(AccessError):
    key = "access.csrf"

    def __init__(self) -> None:
        super().__init__(
            "This form was not made for your session.",
            hint="Open the page again and send it from there.",
        )


class ThrottledError(AccessError):
    """`seconds`: so long until the next attempt."""

    key = "access.throttled"

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, int(seconds + 0.999))
        super().__init__(
            f"Too many failed attempts; the next one is possible in {self.seconds} s.",
            hint="On the machine itself `retaildctl user password NAME` sets a new password.",
        )


class UnknownKeyError(AccessError):
    key = "key.unknown"

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"There is no API key {key_id!r}.", hint="See `retaildctl key list` for their ids."
        )


class KeySettingsError(AccessError):
    key = "key.settings"


class UnknownSessionError(AccessError):
    key = "session.unknown"

    def __init__(self, session: str) -> None:
        super().__init__(f"There is no session {session!r}.", hint="It may have ended by itself.")


class IdentityDownError(AccessError):
    """The identity process cannot be asked; it may answer later."""

    key = "identity.not_ready"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The identity provider cannot be asked: {reason}.",
            hint="See `retaildctl worker list` and `retaildctl logs identity.identity`.",
        )


class NoAbilityError(AccessError):
    key = "identity.no_ability"

    def __init__(self, plugin: str, what: str) -> None:
        super().__init__(
            f"The identity provider {plugin!r} has no {what}.",
            hint="Its own administration may; `retaildctl plugin show identity` says what it does.",
        )
