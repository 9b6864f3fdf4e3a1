"""From a message to events, by configuration."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import ValidationError
from retaild.api import BuildContext
from retaild.events import Event, arrow_schema, family
from retaild.events.ids import event_id

from retaild_mqtt.config import FieldRule, Route
from retaild_mqtt.errors import MessageError

#: One message may not hold more events; a batch then stays within the contract's bounds.
MAX_ITEMS = 5000
_MISSING = object()


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT 5.0, 4.7.1; a wildcard at the front leaves out the broker's own topics ($SYS)."""
    wanted, found = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for place, segment in enumerate(wanted):
        if segment == "#":
            return True
        if place >= len(found) or segment not in ("+", found[place]):
            return False
    return len(wanted) == len(found)


class Mapper:
    """Reads the messages of one route."""

    def __init__(self, route: Route, context: BuildContext) -> None:
        self.route = route
        self._context = context
        self._model = family(route.family)
        self._zone = ZoneInfo(context.timezone)
        self._types = {field.name: field.type for field in arrow_schema(route.family)}

    def events(self, topic: str, payload: bytes) -> list[Event]:
        """All events of a message, or MessageError for the whole of it."""
        told = _parsed(payload)
        segments = topic.split("/")
        repeated: Counter[str] = Counter()
        return [
            self._event(partial(_find, item=item, whole=told), segments, repeated)
            for item in self._items(told)
        ]

    def _items(self, told: Any) -> Iterator[Any]:
        if not self.route.each:
            yield told
            return
        items = _find(self.route.each, told, told)
        if not isinstance(items, list):
            raise MessageError("field", f"It has no list {self.route.each!r}.")
        if len(items) > MAX_ITEMS:
            raise MessageError("size", f"It has {len(items)} items, more than {MAX_ITEMS}.")
        yield from items

    def _event(
        self, find: Callable[[str], Any], segments: list[str], repeated: Counter[str]
    ) -> Event:
        values: dict[str, Any] = {"source": self._context.instance, "store": self._context.store}
        if "currency" in self._model.model_fields:
            values["currency"] = self._context.currency
        for name, rule in self.route.fields.items():
            value = self._value(name, _origin(rule, find, segments))
            if value is not _MISSING and value is not None:
                values[name] = value
        try:
            event = self._model.model_validate({**values, "event_id": "-"})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise MessageError("field", f"{place}: {first['msg']}.") from None
        return event.model_copy(update={"event_id": self._id(event, find, repeated)})

    def _id(self, event: Event, find: Callable[[str], Any], repeated: Counter[str]) -> str:
        """The same in every delivery: the content's, or the one that the message states."""
        if not self.route.id:
            plain = event_id(self.route.family, event.model_dump())
            repeated[plain] += 1
            return event_id(self.route.family, event.model_dump(), repeated[plain] - 1)
        stated = find(self.route.id)
        if stated is _MISSING or isinstance(stated, dict | list) or stated in (None, ""):
            raise MessageError("field", f"It has no {self.route.id!r} that makes it unique.")
        text = f"{self._context.instance}\x1f{self.route.family}\x1f{stated}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _value(self, name: str, value: Any) -> Any:
        """JSON's types are few: numbers in identifiers, texts in numbers and times."""
        kind = self._types[name]
        if pa.types.is_string(kind) and isinstance(value, int | Decimal):
            return json.dumps(value) if isinstance(value, bool) else str(value)
        if pa.types.is_timestamp(kind) and isinstance(value, str):
            return self._moment(name, value)
        return value

    def _moment(self, name: str, text: str) -> datetime:
        """A time without an offset is on the shop's clock."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise MessageError("field", f"{name}: {text[:40]!r} is no time.") from None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=self._zone)
        try:
            return aware.astimezone(UTC)
        except OverflowError:
            raise MessageError("field", f"{name}: {text[:40]!r} is out of range.") from None


def _parsed(payload: bytes) -> Any:
    try:
        # Exact decimals; NaN and the like are no JSON.
        return json.loads(payload, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise MessageError("json", "It is not JSON.") from None


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _origin(rule: str | FieldRule, find: Callable[[str], Any], segments: list[str]) -> Any:
    if isinstance(rule, str):
        return find(rule)
    if rule.topic is None:
        return rule.constant
    if rule.topic > len(segments):
        raise MessageError("topic", f"Its topic has no segment {rule.topic}.")
    return segments[rule.topic - 1]


def _find(path: str, item: Any, whole: Any) -> Any:
    """What is at a dotted path of the item, else of the whole message, else _MISSING."""
    found = _at(path, item)
    return _at(path, whole) if found is _MISSING and item is not whole else found


def _at(path: str, value: Any) -> Any:
    for name in path.split("."):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return _MISSING
    return value
