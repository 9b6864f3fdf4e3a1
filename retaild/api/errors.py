"""One root for every error that a person may read."""

from __future__ import annotations


class RetaildError(Exception):
    """A fault in words. Subclasses take ids and write the sentence themselves.

    `key` is stable and safe to match on (it is the `type` of REST problems and the `error` of
    `--json` output); `hint` says what to do next.
    """

    key = "retaild"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(RetaildError):
    """A setting is wrong. Raised by plugins while they are built or opened."""

    key = "config"


class TransientError(RetaildError):
    """It may work later: the host tries again with exponential back-off."""

    key = "transient"


class MissingDataError(RetaildError):
    """A job has not enough data to work on yet."""

    key = "data.missing"
