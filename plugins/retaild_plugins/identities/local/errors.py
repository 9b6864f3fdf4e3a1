"""What about a user or a password is wrong."""

from __future__ import annotations

from retaild.api.errors import RetaildError


class UnknownUserError(RetaildError):
    key = "user.unknown"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no user {name!r}.", hint="See `retaildctl user list`.")


class UserExistsError(RetaildError):
    key = "user.conflict"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is a user {name!r} already.",
            hint="Upper and lower case make no difference.",
        )


class LastAdminError(RetaildError):
    key = "user.last_admin.conflict"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is the last user who may administer.",
            hint="Give somebody else the role admin first.",
        )


class UserNameError(RetaildError):
    key = "user.name"

    def __init__(self) -> None:
        super().__init__(
            "A user's name has 1 to 64 letters, digits, dots, hyphens, underscores or @.",
            hint="Begin it with a letter or digit.",
        )


class WeakPasswordError(RetaildError):
    key = "user.weak_password"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The password {reason}.", hint="Several words that do not belong together are good."
        )
