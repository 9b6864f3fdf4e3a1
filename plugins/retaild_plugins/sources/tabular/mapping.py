"""From a file's columns to the columns of an event family, all rows at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retaild.api import BuildContext
from retaild.events import arrow_schema
from retaild_plugins.sources.tabular import lines, numbers, reasons
from retaild_plugins.sources.tabular.chunk import CHUNK_ROWS, Chunk, Refused
from retaild_plugins.sources.tabular.config import ColumnRule, TabularConfig
from retaild_plugins.sources.tabular.fields import Field, fields_of
from retaild_plugins.sources.tabular.numbers import NumberReader, Numbers
from retaild_plugins.sources.tabular.texts import (
    Bools,
    TextCleaner,
    as_text,
    flags,
    nulls_of,
    untrimmed_floats,
)
from retaild_plugins.sources.tabular.times import MomentReader

_TRUE = pa.array(["1", "t", "true", "y", "yes"])
_FALSE = pa.array(["0", "f", "false", "n", "no"])
_IDENTIFIER = 200
#: Required fields that may be had from others: from the amount, from the event's own time.
_DERIVED = frozenset({"unit_price", "valid_from"})


@dataclass(slots=True)
class _Fault:
    """Rows where a field cannot be had."""

    rows: Bools
    field: str
    key: str


class RowMapping:
    """Applies a configuration. `typed`: rows of a format with types, so plain numbers and dates."""

    def __init__(self, config: TabularConfig, context: BuildContext, typed: bool = False) -> None:
        self._config = config
        self._family = config.family
        self._rules = config.rules()
        self._cleaner = TextCleaner(config.nulls)
        plain = (".", "") if typed else (config.decimal, config.thousands)
        self._numbers = NumberReader(*plain, config.round)
        dates = (*config.dates, *(("iso",) if typed and "iso" not in config.dates else ()))
        self._moments = MomentReader(dates, config.timezone or context.timezone)
        self._constants = {
            "source": context.instance,
            "store": config.store or context.store,
            "currency": config.currency or context.currency,
        }
        self._lines = lines.LineTypes(config.lines)
        self._unmapped: dict[str, pa.Array] = {}

    def needed(self, columns: list[str] | None) -> list[str]:
        """Columns of the file that the mapping reads; with no rules, those named like fields."""
        if not self._rules:
            names = [field.name for field in fields_of(self._family)]
            return [name for name in names if columns is None or name in columns]
        wanted = [column for rule in self._rules.values() for column in rule.columns]
        if self._config.lines.return_column:
            wanted.append(self._config.lines.return_column)
        return list(dict.fromkeys(wanted))

    def apply(self, chunk: Chunk) -> tuple[pa.Table, NDArray[np.int64], list[Refused]]:
        """The events (without ids yet: column `event_id` is empty text), the number in the file of
        each one's row, and the refused rows."""
        work = _Work(self, chunk.table)
        columns = work.columns()
        schema = arrow_schema(self._family)
        table = pa.table([columns[name] for name in schema.names], schema=schema)
        if not any(fault.rows.any() for fault in work.faults):
            return table, chunk.rows, chunk.refused
        bad = np.logical_or.reduce([fault.rows for fault in work.faults])
        refused = [self._refused(chunk, work, int(index)) for index in np.flatnonzero(bad)]
        merged = sorted([*chunk.refused, *refused], key=lambda item: item.row)
        return table.filter(pa.array(~bad)), chunk.rows[~bad], merged

    def unfilled(self, columns: list[str]) -> list[str]:
        """With no rules: the fields that no column is named like, though an event needs them."""
        if self._rules:
            return []
        given = {*columns, *self._constants, "valid_from", "event_id"}
        derived = {"unit_price"} if "amount" in columns else set()
        needed = [field.name for field in fields_of(self._family) if field.required]
        return [name for name in needed if name not in given | derived]

    def _refused(self, chunk: Chunk, work: _Work, index: int) -> Refused:
        fault = next(fault for fault in work.faults if fault.rows[index])
        rule = self.rule(fault.field)
        found = [chunk.table.column(name)[index].as_py() for name in rule.columns] if rule else []
        line, raw = chunk.raw(index)
        reason = reasons.sentence(fault.key, fault.field, rule, found, self._config)
        return Refused(int(chunk.rows[index]), line, raw, fault.key, reason)

    def constant(self, field: Field, count: int) -> pa.Array:
        """The column of a field that is not mapped; the same array for every chunk."""
        kept = self._unmapped.get(field.name)
        if kept is None or len(kept) < count:
            kept = self._unmapped[field.name] = self._filled(field, max(count, CHUNK_ROWS))
        return kept.slice(0, count)

    def _filled(self, field: Field, count: int) -> pa.Array:
        if field.name == "event_id":
            return pa.repeat(pa.scalar(""), count)
        value = self._constants.get(field.name, field.default)
        if field.name == "currency" and not field.required and not self.rule("unit_cost"):
            value = None
        if value is None:
            return pa.nulls(count, field.type)
        return pa.repeat(pa.scalar(value, field.type), count)

    def rule(self, name: str) -> ColumnRule | None:
        if not self._rules:
            return ColumnRule(column=name)
        return self._rules.get(name)


class _Work:
    """One chunk on its way through the mapping."""

    def __init__(self, mapping: RowMapping, table: pa.Table) -> None:
        self._mapping = mapping
        self._table = table
        self._count = table.num_rows
        self._numbers: dict[str, Numbers] = {}
        self.faults: list[_Fault] = []

    def columns(self) -> Mapping[str, pa.Array]:
        result: dict[str, pa.Array] = {}
        fields = {field.name: field for field in fields_of(self._mapping._family)}
        for field in fields.values():
            result[field.name] = self._column(field)
        if self._mapping._family == "sale":
            result |= self._sale(fields, result)
        if self._mapping._family == "price":
            result["valid_from"] = pc.coalesce(result["valid_from"], result["event_time"])
        return result

    def _column(self, field: Field) -> pa.Array:
        given = self._given(field)
        if given is None:
            return self._unmapped(field)
        if pa.types.is_decimal(field.type):
            return self._decimal(field, given)
        if pa.types.is_timestamp(field.type):
            return self._moment(field, given)
        if pa.types.is_boolean(field.type):
            return self._boolean(field, given)
        if pa.types.is_floating(field.type):
            values, missing, faults = self._mapping._numbers.floats(self._cleaned(given))
            self._add(field, faults, missing)
            return pa.array(values, mask=missing)
        return self._text(field, given)

    # -- where values come from ----------------------------------------------------------------

    def _given(self, field: Field) -> Any:
        """The column, or the list of columns to add up; None if the field is not mapped."""
        rule = self._mapping.rule(field.name)
        if rule is None or field.name in ("event_id", "source"):
            return None
        if not self._mapping._rules and field.name not in self._table.column_names:
            return None
        if rule.constant is not None:
            return pa.repeat(pa.scalar(rule.constant), self._count)
        if rule.sum:
            return [self._input(name) for name in rule.sum]
        if rule.join:
            texts = [as_text(self._input(name)) for name in rule.join]
            column = pc.binary_join_element_wise(*texts, rule.separator, null_handling="replace")
        else:
            assert rule.column is not None
            column = self._input(rule.column)
        return _renamed(self._cleaned(column), rule.values) if rule.values else column

    def _input(self, name: str) -> pa.Array:
        column = self._table.column(name)
        if column.num_chunks == 1:
            return column.chunk(0)
        return pa.concat_arrays(column.chunks or [pa.array([], column.type)])

    def _cleaned(self, column: pa.Array) -> pa.Array:
        if pa.types.is_string(column.type):
            return self._mapping._cleaner.clean(column)
        if pa.types.is_dictionary(column.type) or pa.types.is_large_string(column.type):
            return self._mapping._cleaner.clean(pc.cast(as_text(column), pa.string()))
        return column

    def _unmapped(self, field: Field) -> pa.Array:
        return self._mapping.constant(field, self._count)

    # -- kinds of value ------------------------------------------------------------------------

    def _add(self, field: Field, faults: Mapping[str, Bools], missing: Bools) -> None:
        self.faults += [_Fault(rows, field.name, key) for key, rows in faults.items() if rows.any()]
        if field.required and field.name not in _DERIVED and missing.any():
            self.faults.append(_Fault(missing, field.name, "field.missing"))

    def _decimal(self, field: Field, given: Any) -> pa.Array:
        parts = given if isinstance(given, list) else [given]
        places = field.type.scale
        read = [self._mapping._numbers.read(self._cleaned(part), places) for part in parts]
        total = read[0] if len(read) == 1 else _sum(read)
        rule = self._mapping.rule(field.name)
        if rule is not None and rule.negate:
            total = Numbers(-total.scaled, places, total.missing, total.faults)
        if field.default is not None and total.missing.any():
            filled = np.where(total.missing, _scaled(field.default, places), total.scaled)
            total = Numbers(filled, places, np.zeros(self._count, bool), total.faults)
        if field.not_negative:
            total.faults["number.negative"] = (total.scaled < 0) & ~total.missing
        self._numbers[field.name] = total
        self._add(field, total.faults, total.missing)
        return total.array()

    def _moment(self, field: Field, given: pa.Array) -> pa.Array:
        moments = self._mapping._moments.read(self._cleaned(given))
        self._add(field, moments.faults, moments.missing)
        return moments.array()

    def _boolean(self, field: Field, given: pa.Array) -> pa.Array:
        if pa.types.is_boolean(given.type):
            return given
        texts = pc.utf8_lower(self._cleaned(as_text(given)))
        true, false = flags(pc.is_in(texts, _TRUE)), flags(pc.is_in(texts, _FALSE))
        missing = nulls_of(texts)
        self._add(field, {"boolean.unreadable": ~(true | false | missing)}, missing)
        return pa.array(true, mask=missing)

    def _text(self, field: Field, given: pa.Array) -> pa.Array:
        text = self._cleaned(as_text(given))
        if field.longest == _IDENTIFIER and self._mapping._config.trim_ids:
            text = untrimmed_floats(text)
        missing = nulls_of(text)
        faults: dict[str, Bools] = {}
        if field.choices:
            text = pc.utf8_lower(text)
            known = flags(pc.is_in(text, pa.array(field.choices, pa.string())))
            faults["text.choice"] = ~known & ~missing
        elif field.pattern:
            if field.name == "currency":
                text = pc.utf8_upper(text)
            fits = flags(pc.match_substring_regex(text, _re2(field.pattern)))
            faults["text.pattern"] = ~fits & ~missing
        elif field.longest and (pc.max(pc.binary_length(text)).as_py() or 0) > field.longest:
            faults["text.too_long"] = flags(pc.greater(pc.utf8_length(text), field.longest))
        self._add(field, faults, missing)
        default = self._mapping._constants.get(field.name, field.default)
        if default is not None and missing.any():
            text = text.fill_null(default)
            self.faults = [
                f for f in self.faults if not (f.field == field.name and f.key == "field.missing")
            ]
        return text

    # -- sales ---------------------------------------------------------------------------------

    def _sale(self, fields: Mapping[str, Field], columns: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Price out of the amount where no column has it; the kind of each line."""
        quantity, price = self._numbers.get("quantity"), self._numbers.get("unit_price")
        amount, discount = self._numbers.get("amount"), self._numbers.get("discount")
        if quantity is None:
            return {}
        if amount is not None and (price is None or price.missing.any()):
            discount = discount or numbers.constant(0, 4, self._count)
            derived = lines.price_of(amount, discount, quantity)
            price = derived if price is None else _filled(price, derived)
            self.faults += [_Fault(r, "unit_price", k) for k, r in price.faults.items() if r.any()]
        if price is None:
            return {}
        if price.missing.any():
            self.faults.append(_Fault(price.missing, "unit_price", "field.missing"))
        result = {"unit_price": price.array()}
        if self._mapping.rule("line_type") is None or "line_type" not in self._table.column_names:
            if self._mapping.rule("line_type") is not None and self._mapping._rules:
                return result
            marked = self._mapping._config.lines.return_column
            returned = self._cleaned(as_text(self._input(marked))) if marked else None
            result["line_type"] = self._mapping._lines.of(
                columns["receipt_id"], columns["product_id"], quantity, price, returned
            )
        return result


def _sum(parts: list[Numbers]) -> Numbers:
    """A missing part counts as nothing; all missing stays missing."""
    scaled = np.zeros(len(parts[0].scaled), np.int64)
    faults: dict[str, Bools] = {}
    for part in parts:
        scaled += np.where(part.missing, 0, part.scaled)
        for key, rows in part.faults.items():
            faults[key] = faults[key] | rows if key in faults else rows
    large = np.abs(scaled) >= numbers.LIMIT
    faults["number.out_of_range"] = faults.get("number.out_of_range", large) | large
    missing = np.logical_and.reduce([part.missing for part in parts])
    return Numbers(scaled, parts[0].places, missing, faults)


def _filled(price: Numbers, derived: Numbers) -> Numbers:
    gap = price.missing
    faults = {key: rows & gap for key, rows in derived.faults.items()}
    scaled = np.where(gap, derived.scaled, price.scaled)
    return Numbers(scaled, price.places, gap & derived.missing, faults)


def _scaled(value: Any, places: int) -> int:
    return int(Decimal(value).scaleb(places))


def _renamed(column: pa.Array, values: Mapping[str, str]) -> pa.Array:
    text = as_text(column)
    found = pc.index_in(text, value_set=pa.array(list(values), pa.string()))
    renamed = pa.array(list(values.values()), pa.string()).take(found)
    return pc.coalesce(renamed, text)


def _re2(pattern: str) -> str:
    """pydantic's patterns are Rust's; `$` must not match before a final newline here either."""
    return pattern.removesuffix("$") + r"\z" if pattern.endswith("$") else pattern
