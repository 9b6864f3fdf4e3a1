"""From the bytes of a request to events, and to dead letters for what is none."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from retaild.events import FAMILIES, DeadLetter, Event
from retaild.events.cards import PRODUCT_FIELDS, find_card, mask
from retaild.events.errors import CardNumberError, UnknownFamilyError
from retaild.events.ids import event_id
from retaild.runtime.serving.errors import BadEventsError, TooManyEventsError

#: Through this door come events of these families; dead letters are made here, not sent.
ACCEPTED = tuple(sorted(set(FAMILIES) - {DeadLetter.family}))
MAX_EVENTS = 10_000
#: `format` of a dead letter whose bytes are an event as JSON: what `ingest_replay` looks for.
EVENT_FORMAT = "event"
_DIGEST = re.compile(r"[0-9a-f-]{32,}\Z")
_MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Checked:
    """An event, its line in the log, and its plain form for the facts."""

    index: int
    event: Event
    line: bytes

    def plain(self) -> dict[str, Any]:
        """What `iter_events` would make of the line: numbers as float, times in seconds (UTC)."""
        return {
            name: _plain(value) for name, value in self.event.__dict__.items() if value is not None
        }


@dataclass(frozen=True, slots=True)
class Refused:
    """What was wrong with element `index`; `raw` are its bytes, card numbers masked."""

    index: int
    event_id: str | None
    family: str
    key: str
    reason: str
    raw: bytes

    def public(self) -> dict[str, Any]:
        """As the answer shows it."""
        return {
            "index": self.index,
            "event_id": self.event_id,
            "key": self.key,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a sender may leave out."""

    source: str
    store: str
    now: float


class Body:
    """The elements of a request's body, and the bytes of each one that is asked for.

    Takes one object, an array, an object with the only key `events`, or NDJSON (content type
    `application/x-ndjson`, or a body of several lines that is not one JSON text). A line of NDJSON
    that is no JSON is a string element: it will be refused as one.
    """

    def __init__(self, body: bytes, content_type: str) -> None:
        self._lines: list[bytes] | None = None
        self._text: str | None = None
        if "ndjson" in content_type or "jsonl" in content_type:
            self._take_lines(body)
        else:
            self._take_json(body)
        if not self.elements:
            raise BadEventsError("it is empty")
        if len(self.elements) > MAX_EVENTS:
            raise TooManyEventsError(len(self.elements), MAX_EVENTS)

    elements: list[Any]

    def raw(self, index: int) -> bytes:
        """The element's own bytes."""
        if self._lines is not None:
            return self._lines[index]
        assert self._text is not None
        spans = self._spans
        if spans is None:
            spans = self._spans = list(_element_spans(self._text))
        start, end = spans[index] if index < len(spans) else (0, len(self._text))
        return self._text[start:end].encode("utf-8", "surrogatepass")

    _spans: list[tuple[int, int]] | None = None

    def _take_lines(self, body: bytes) -> None:
        self._lines = [line for line in body.splitlines() if line.strip()]
        self.elements = [_line_value(line) for line in self._lines]

    def _take_json(self, body: bytes) -> None:
        try:
            value = from_json(body)
        except ValueError as error:
            if body.strip().count(b"\n") and body.lstrip()[:1] == b"{":
                self._take_lines(body)
                if any(isinstance(element, dict) for element in self.elements):
                    return
            raise BadEventsError(f"it is no JSON ({error})") from None
        self._text = body.decode("utf-8-sig", "surrogatepass")
        if isinstance(value, dict):
            events = value.get("events")
            value = events if isinstance(events, list) and len(value) == 1 else [value]
        if not isinstance(value, list):
            raise BadEventsError(f"it is a JSON {type(value).__name__}")
        self.elements = value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.timestamp() if isinstance(value, datetime) else value


def check(body: Body, defaults: Defaults) -> tuple[list[Checked], list[Refused]]:
    """Judge every element. A few microseconds each."""
    good: list[Checked] = []
    bad: list[Refused] = []
    for index, element in enumerate(body.elements):
        try:
            good.append(check_one(index, element, defaults))
        except (ValueError, TypeError) as error:
            bad.append(_refused(index, element, error, body))
    return good, bad


def check_one(index: int, element: Any, defaults: Defaults) -> Checked:
    """One event with what was left out filled in. Raises ValueError (pydantic's among them)."""
    if not isinstance(element, dict):
        raise NoEventError(element)
    fields = dict(element)
    name = fields.pop("family", None)
    if name not in ACCEPTED:
        raise UnknownFamilyError(str(name), ACCEPTED)
    if fields.get("event_time") is None:
        fields["event_time"] = datetime.fromtimestamp(defaults.now, UTC)
    if fields.get("event_id") is None:
        fields["event_id"] = str(uuid.uuid4())
    fields.setdefault("source", defaults.source)
    fields.setdefault("store", defaults.store)
    event = FAMILIES[name].model_validate(fields)
    line = event.model_dump_json(exclude_none=True)
    if find_card(line) is not None:
        _refuse_card(event)
    return Checked(index, event, line.encode())


def _refuse_card(event: Event) -> None:
    """The line looks as if it held a card number: look at the fields themselves."""
    for name, value in event:
        if not isinstance(value, str) or (name == "event_id" and _DIGEST.match(value)):
            continue
        if find_card(value, product=name in PRODUCT_FIELDS) is not None:
            raise CardNumberError(f"Field {name}")


class NoEventError(ValueError):
    key = "event.not_an_object"

    def __init__(self, element: Any) -> None:
        kind = "unreadable line" if isinstance(element, Unreadable) else type(element).__name__
        super().__init__(f"An event is a JSON object, not a {kind}.")


class Unreadable(str):
    """A line of NDJSON that is no JSON."""

    __slots__ = ()


def dead_letter(refused: Refused, defaults: Defaults, place: str) -> DeadLetter:
    """The refused element, to be kept until someone mends and replays it."""
    where = f"{place} #{refused.index}"
    fields = {"source": defaults.source, "place": where, "raw": refused.raw}
    return DeadLetter(
        event_id=event_id(DeadLetter.family, fields),
        event_time=datetime.fromtimestamp(defaults.now, UTC),
        source=defaults.source,
        store=defaults.store,
        target=refused.family,
        place=where,
        reason_key=refused.key,
        reason=refused.reason,
        raw=refused.raw,
        format=EVENT_FORMAT,
    )


def _refused(index: int, element: Any, error: Exception, body: Body) -> Refused:
    named = element if isinstance(element, dict) else {}
    given, family = named.get("event_id"), named.get("family")
    text = str(given)[:200] if given is not None else None
    return Refused(
        index,
        mask(text) if text is not None else None,
        family if family in ACCEPTED else "",
        "event.invalid" if isinstance(error, ValidationError) else getattr(error, "key", "event"),
        mask(_reason(error))[:_MAX_REASON],
        mask(body.raw(index)),
    )


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(_complaint(fault) for fault in error.errors(include_url=False)[:5])


def _complaint(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else str(fault["msg"])


def _line_value(line: bytes) -> Any:
    try:
        return from_json(line)
    except ValueError:
        return Unreadable(line.decode("utf-8", "replace"))


def _element_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each element of the body's array stands in its text; of one object, all of it."""
    start = _skip(text, 0)
    decoder = json.JSONDecoder()
    if text[start] == "{":
        value = decoder.raw_decode(text, start)[0]
        if not (len(value) == 1 and isinstance(value.get("events"), list)):
            yield start, len(text.rstrip())
            return
        start = text.index("[", start)
    at = _skip(text, start + 1)
    while text[at] != "]":
        end = decoder.raw_decode(text, at)[1]
        yield at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def reasons(refused: Sequence[Refused]) -> list[dict[str, Any]]:
    return [one.public() for one in refused]
