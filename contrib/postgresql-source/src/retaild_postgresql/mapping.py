"""From a row to an event, by configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import ValidationError
from retaild.api import BuildContext
from retaild.events import Event, arrow_schema, family

from retaild_postgresql.config import Constant, PostgresqlConfig
from retaild_postgresql.errors import RowError


class Mapper:
    def __init__(self, config: PostgresqlConfig, context: BuildContext) -> None:
        self._config = config
        self._model = family(config.family)
        self._zone = ZoneInfo(context.timezone)
        self._fixed = {"source": context.instance, "store": context.store}
        if "currency" in self._model.model_fields:
            self._fixed["currency"] = context.currency
        self._types = {field.name: field.type for field in arrow_schema(config.family)}

    def event(self, row: Mapping[str, Any]) -> Event:
        """Raises RowError with a sentence."""
        values: dict[str, Any] = {**self._fixed, "event_id": self.row_id(row)}
        for name, column in self._config.columns.items():
            constant = isinstance(column, Constant)
            value = column.constant if isinstance(column, Constant) else row.get(column)
            if value is not None:
                values[name] = value if constant else self._value(name, value)
        try:
            return self._model.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise RowError(f"{place}: {first['msg']}.") from None

    def row_id(self, row: Mapping[str, Any]) -> str:
        """The same for the same row each time it is read, another for its next version."""
        config = self._config
        parts = (self._fixed["source"], config.family, row[config.cursor], row[config.key])
        return hashlib.sha256("\x1f".join(map(plain_text, parts)).encode()).hexdigest()[:32]

    def _value(self, name: str, value: Any) -> Any:
        kind = self._types[name]
        if pa.types.is_string(kind):
            return value if isinstance(value, str) else plain_text(value)
        if pa.types.is_decimal(kind) and isinstance(value, float):
            return Decimal(repr(value))  # the shortest decimal that is written like it
        if pa.types.is_timestamp(kind):
            return self._moment(name, value)
        return value

    def _moment(self, name: str, value: Any) -> Any:
        """A time without a zone is on the shop's clock; a date begins at its midnight."""
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise RowError(f"{name}: {value[:40]!r} is no time.") from None
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if isinstance(value, datetime) and value.tzinfo is None:
            return value.replace(tzinfo=self._zone)
        return value


def plain_text(value: Any) -> str:
    """A value as text, the same before and after it was kept as JSON."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float | Decimal | UUID) else repr(value)
