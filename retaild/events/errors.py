"""Errors of the event contract."""

from __future__ import annotations

from collections.abc import Sequence


class EventError(ValueError):
    """Something is wrong with an event. `key` is stable and safe to match on."""

    key = "event"


class UnknownFamilyError(EventError):
    key = "event.unknown_family"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"There is no event family {name!r}. Use one of: {', '.join(known)}.")


class CardNumberError(EventError):
    """The text holds a payment card number. The message never repeats it."""

    key = "event.card_number"

    def __init__(self, place: str) -> None:
        super().__init__(
            f"{place} holds a payment card number, which may not be stored. "
            "Remove it at the till or in the export, then send the row again."
        )
