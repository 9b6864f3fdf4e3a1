"""Dates and times, as text in several forms or typed, to microseconds since 1970 in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retaild_plugins.sources.tabular.sql import connection, literal
from retaild_plugins.sources.tabular.texts import Bools, as_text, distinct, nulls_of
from retaild_plugins.sources.tabular.zones import Zone

#: Events are from these years; what lies outside is a wrong form, not a time.
_FIRST = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_LAST = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
#: Days from 1899-12-30, where Excel's calendar begins (after its 29 February 1900), to 1970.
_EXCEL_EPOCH = 25_569
#: DuckDB's own reading would also take words such as `epoch`, and pass over what follows a time.
_ISO = (
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"([T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?)?"
)
_ZONED = r":[0-9.]+ ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"


@dataclass(frozen=True, slots=True)
class Moments:
    """Microseconds since 1970 in UTC; meaningless where `missing` or in one of the faults."""

    utc: NDArray[np.int64]
    missing: Bools
    faults: dict[str, Bools]

    def array(self) -> pa.Array:
        mask = self.missing if self.missing.any() else None
        return pa.array(self.utc, pa.int64(), mask=mask).cast(pa.timestamp("us", tz="UTC"))


class MomentReader:
    """Reads columns of times by the configured forms, on the shop's clock."""

    def __init__(self, forms: tuple[str, ...], timezone: str) -> None:
        self._zone = Zone(timezone)
        self._forms = [_form(form) for form in forms]
        self._numeric = next((f for f in forms if f in _NUMERIC), None)

    def read(self, column: pa.Array) -> Moments:
        """`column` is text (cleaned), a date, a timestamp, or a number (epoch, excel)."""
        kind = column.type
        if pa.types.is_date(kind):
            column = pc.cast(column, pa.timestamp("us"))
        if pa.types.is_timestamp(column.type):
            return self._typed(column)
        missing = nulls_of(column)
        if not pa.types.is_string(kind):
            column = as_text(column)
            missing = nulls_of(column)
        return self._texts(column, missing)

    def _typed(self, column: pa.Array) -> Moments:
        zone = column.type.tz
        missing = nulls_of(column)
        moments = pc.cast(pc.cast(column, pa.timestamp("us", zone), safe=False), pa.int64())
        values = moments.fill_null(0).to_numpy(zero_copy_only=False)
        far = ((values < _FIRST) | (values >= _LAST)) & ~missing
        values = np.where(far, 0, values)
        utc = values if zone else self._zone.to_utc(values)
        return Moments(utc, missing, {"time.out_of_range": far})

    def _texts(self, column: pa.Array, missing: Bools) -> Moments:
        """Each form is tried on what the forms before it left."""
        if (few := distinct(column)) is not None:
            each = self._texts(few.values, np.zeros(len(few.values), bool))
            faults = {key: rows[few.places] & ~missing for key, rows in each.faults.items()}
            return Moments(each.utc[few.places], missing, faults)
        count = len(column)
        values = np.zeros(count, np.int64)
        absolute = np.zeros(count, bool)
        left = np.flatnonzero(~missing)
        texts = column.take(pa.array(left)) if missing.any() else column
        for query in self._forms:
            if not left.size:
                break
            given = connection().from_arrow(pa.table({"t": texts}))
            found = given.project(query).to_arrow_table()
            value = found.column("value").combine_chunks()
            unread = nulls_of(value)
            read = ~unread
            values[left[read]] = value.fill_null(0).to_numpy(zero_copy_only=False)[read]
            fixed = found.column("absolute").combine_chunks().fill_null(False)
            absolute[left[read]] = fixed.to_numpy(zero_copy_only=False)[read]
            left = left[unread]
            texts = texts.filter(pa.array(unread))
        unreadable = np.zeros(count, bool)
        unreadable[left] = True
        far = ((values < _FIRST) | (values >= _LAST)) & ~missing & ~unreadable
        values[far] = 0
        local = ~absolute
        values[local] = self._zone.to_utc(values[local])
        return Moments(values, missing, {"time.unreadable": unreadable, "time.out_of_range": far})


_NUMERIC = {
    "epoch": "try_cast(try_cast(t AS DECIMAL(24, 6)) * 1000000 AS BIGINT)",
    "epoch_ms": "try_cast(try_cast(t AS DECIMAL(24, 3)) * 1000 AS BIGINT)",
    "excel": f"try_cast(round((try_cast(t AS DECIMAL(18, 12)) - {_EXCEL_EPOCH}) * 86400) AS BIGINT)"
    " * 1000000",
}


def _form(form: str) -> str:
    """SQL for columns `value` (microseconds, NULL if unread) and `absolute` (UTC, not local)."""
    if form in _NUMERIC:
        return f"{_NUMERIC[form]} AS value, {'false' if form == 'excel' else 'true'} AS absolute"
    if form == "iso":
        zoned = f"regexp_matches(t, {literal(_ZONED)})"
        read = f"CASE WHEN {zoned} THEN {_micros(_OFFSET)} ELSE {_micros(_LOCAL)} END"
        iso = f"CASE WHEN regexp_full_match(t, {literal(_ISO)}) THEN {read} END"
        return f"{iso} AS value, {zoned} AS absolute"
    # DuckDB takes three words for moments, whatever the form.
    words = "lower(ltrim(t, '-')) IN ('epoch', 'infinity')"
    moment = f"CASE WHEN NOT {words} THEN try_strptime(t, {literal(form)}) END"
    zoned = "true" if "%z" in form or "%Z" in form else "false"
    return f"{_micros(moment)} AS value, {zoned} AS absolute"


_LOCAL = "try_cast(t AS TIMESTAMP)"
_OFFSET = "try_cast(t AS TIMESTAMPTZ)"


def _micros(moment: str) -> str:
    return f"epoch_us({moment})"
