"""The card-number guard: nothing passes a door with a payment card number in it.

A row with one is refused, and what is kept of it is masked. So is everything else that a source
says of its input: the bytes of rows it refused itself, file names, reasons, errors. An id derived
from what was masked is derived anew: the digest of a text with six unknown digits is as good as
the text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retaild.api.source import SourceBatch
from retaild.events import DeadLetter
from retaild.events.cards import card_rows, find_card, mask
from retaild.events.errors import CardNumberError
from retaild.events.ids import event_id

if TYPE_CHECKING:
    import pyarrow as pa

#: `format` of a dead letter that holds an event of its target family as a JSON object.
EVENT_FORMAT = "event"
_ADVICE = "To take it in with the digits masked, replay it with `retaildctl deadletter replay`."


@dataclass(frozen=True, slots=True)
class Guarded:
    """A batch without card numbers. `refused_cards`: rows in which there was one."""

    family: str
    events: pa.Table
    letters: list[DeadLetter]
    refused_cards: int


def guard(batch: SourceBatch) -> Guarded:
    """Take the rows with card numbers out of a batch, and mask its dead letters."""
    letters = [masked(letter) for letter in batch.dead_letters]
    changed = sum(new is not old for new, old in zip(letters, batch.dead_letters, strict=True))
    if batch.events.num_rows == 0:
        return Guarded(batch.family, batch.events, letters, changed)
    found = card_rows(batch.events)
    if not found.any():
        return Guarded(batch.family, batch.events, letters, changed)
    import pyarrow as pa

    places = found.nonzero()[0].tolist()
    letters += [_refused(batch, index) for index in places]
    events = batch.events.filter(pa.array(~found))
    return Guarded(batch.family, events, letters, changed + len(places))


def masked(letter: DeadLetter) -> DeadLetter:
    """The letter itself if it holds no card number."""
    clean = {
        "raw": mask(letter.raw),
        "place": mask(letter.place),
        "reason": mask(letter.reason),
        "format": mask(letter.format),
    }
    if all(getattr(letter, name) == value for name, value in clean.items()):
        return letter
    known = {"source": letter.source, **clean}
    return letter.model_copy(update={**clean, "event_id": event_id("dead_letter", known)})


def _refused(batch: SourceBatch, index: int) -> DeadLetter:
    """A dead letter instead of an event. Its id must not derive from the whole number either."""
    (event,) = batch.events.slice(index, 1).to_pylist()
    where = f"row {batch.rows[index]}" if batch.rows is not None else f"event {index + 1}"
    place = mask(f"{batch.label} {where}".strip())
    names = [name for name, value in event.items() if isinstance(value, str) and find_card(value)]
    reason = f"{CardNumberError(f'{place}, {_listed(names)}')} {_ADVICE}"
    kept = {k: v for k, v in event.items() if v is not None and k not in ("event_id", "source")}
    raw = mask(json.dumps(kept, ensure_ascii=False, default=_plain)).encode()
    known = {"source": event["source"], "place": place, "raw": raw}
    return DeadLetter(
        event_id=event_id("dead_letter", known),
        event_time=event["event_time"],
        source=event["source"],
        store=mask(event["store"]),
        target=batch.family,
        place=place,
        reason_key=CardNumberError.key,
        reason=reason,
        raw=raw,
        format=EVENT_FORMAT,
    )


def _listed(names: Sequence[str]) -> str:
    """The fields at fault; a number field is known by no name here."""
    return " and ".join(names) or "a number"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
