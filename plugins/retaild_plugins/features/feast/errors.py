"""Errors of the Feast backend."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import RetaildError


class NotAppliedError(RetaildError):
    key = "features.not_applied"

    def __init__(self) -> None:
        super().__init__(
            "The features are not registered yet.",
            hint="Run `retaildctl job run features`; code calls apply() before it asks for values.",
        )


class UnknownFeatureError(RetaildError):
    key = "features.unknown"

    def __init__(self, reference: str, known: Sequence[str]) -> None:
        super().__init__(
            f"There is no feature {reference!r}.",
            hint=f"Features are written view:column. There are: {', '.join(known)}.",
        )


class WrongEntitiesError(RetaildError):
    key = "features.wrong_entities"

    def __init__(self, column: str, found: Sequence[str]) -> None:
        super().__init__(
            f"The rows to join features to have no usable column {column!r}, "
            f"but: {', '.join(found) or 'none'}.",
            hint="Give the entity's key as text, event_timestamp as a timestamp with time zone.",
        )
