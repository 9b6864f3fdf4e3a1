"""One Kafka message -> events: JSON events as `POST /api/v1/events` takes them, or mapped lines."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from retaild.api import BuildContext
from retaild.events import FAMILIES, DeadLetter, Event
from retaild.events.errors import UnknownFamilyError
from retaild.events.ids import event_id
from retaild_plugins.cluster.kafka.source_config import KafkaSourceConfig, Lines

MAX_EVENTS = 10_000
#: Families that may come from outside.
ACCEPTED = tuple(sorted(set(FAMILIES) - {DeadLetter.family}))


class MessageError(ValueError):
    """`key` and text of a dead letter; `family` where the message says one."""

    def __init__(self, key: str, text: str, family: str = "") -> None:
        super().__init__(text)
        self.key = f"kafka.{key}"
        self.family = family


class MessageReader:
    """Stateless but for its settings: equal bytes become equal events with equal ids."""

    def __init__(self, config: KafkaSourceConfig, context: BuildContext) -> None:
        self._lines = config.lines
        self._zone = ZoneInfo(context.timezone)
        self._defaults = {
            "source": context.instance, "store": context.store, "currency": context.currency,
        }  # fmt: skip

    def events(self, value: bytes, at: datetime) -> list[Event]:
        """All events of a message, or none: raises MessageError. `at`: the record's time."""
        seen: Counter[str] = Counter()
        return [self._event(fields, at, seen) for fields in self._elements(value)]

    def _elements(self, value: bytes) -> list[dict[str, Any]]:
        try:
            text = value.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise MessageError("text", f"It is no UTF-8 text: {error}.") from None
        found = list(_json_elements(text) if self._lines is None else self._mapped(text))
        if not found:
            raise MessageError("empty", "It is empty.")
        if len(found) > MAX_EVENTS:
            raise MessageError("size", f"It has more than {MAX_EVENTS} events.")
        return found

    def _mapped(self, text: str) -> Iterator[dict[str, Any]]:
        lines = self._lines
        assert lines is not None
        for record in _records(text, lines):
            fields: dict[str, Any] = {"family": lines.family, **lines.constants}
            for name, column in lines.fields.items():
                value = _found(record, column)
                if value not in (None, ""):
                    fields[name] = value
            yield fields

    def _event(self, fields: dict[str, Any], at: datetime, seen: Counter[str]) -> Event:
        name = fields.pop("family", None)
        if name not in ACCEPTED:
            error = UnknownFamilyError(str(name), ACCEPTED)
            raise MessageError("family", str(error))
        model = FAMILIES[name]
        for default, value in self._defaults.items():
            if default in model.model_fields:
                fields.setdefault(default, value)
        fields["event_time"] = self._moment(fields.get("event_time"), at)
        own = fields.setdefault("event_id", "-")
        try:
            event = model.model_validate(fields)
        except ValidationError as error:
            raise MessageError("event", _reasons(error), name) from None
        if own != "-":
            return event
        content = event_id(name, event.__dict__)
        seen[content] += 1
        number = seen[content] - 1
        return event.model_copy(update={"event_id": f"{content}-{number}" if number else content})

    def _moment(self, value: Any, at: datetime) -> Any:
        """A time without an offset is the shop's; without any time, it is the record's."""
        if value is None:
            return at
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return value
        return moment if moment.tzinfo else moment.replace(tzinfo=self._zone)


def _json_elements(text: str) -> Iterator[dict[str, Any]]:
    """Of an object, a list of objects, or an object a line."""
    try:
        value = _parsed(text)
        found = value if isinstance(value, list) else [value]
    except (ValueError, RecursionError):
        found = [_line(line) for line in text.splitlines() if line.strip()]
    for one in found:
        if not isinstance(one, dict):
            raise MessageError("json", f"An event is a JSON object, not a {type(one).__name__}.")
        yield one


def _line(text: str) -> Any:
    try:
        return _parsed(text)
    except (ValueError, RecursionError) as error:
        raise MessageError("json", f"It is no JSON: {error}.") from None


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _records(text: str, lines: Lines) -> Iterator[Mapping[str, Any]]:
    if not lines.columns:
        yield from _json_elements(text)
        return
    for row in _rows(text, lines.delimiter):
        if len(row) != len(lines.columns):
            raise MessageError(
                "columns", f"It has {len(row)} columns, and {len(lines.columns)} are configured."
            )
        yield dict(zip(lines.columns, row, strict=True))


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(text.splitlines(), delimiter=delimiter)
    except csv.Error as error:  # such as a field of more than 128 KiB
        raise MessageError("columns", f"It is no CSV: {error}.") from None


def _found(record: Any, path: str) -> Any:
    """By a column's name, or a dotted path into JSON."""
    if isinstance(record, Mapping) and path in record:
        return record[path]
    first, _, rest = path.partition(".")
    if not rest or not isinstance(record, Mapping):
        return None
    return _found(record.get(first), rest)


def _reasons(error: ValidationError) -> str:
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'event'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    ]
    return f"{'; '.join(faults)[:1500]}."
