"""Numbers: exact decimals as scaled 64-bit integers, whatever a file writes them as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retaild_plugins.sources.tabular.sql import connection, literal
from retaild_plugins.sources.tabular.texts import Bools, as_text, distinct, flags, nulls_of

#: An event's decimals have at most 18 digits.
LIMIT = 10**18
#: Above this, a float's neighbours are too far apart to be read as decimals of four places.
_EXACT = 2.0**49


@dataclass(frozen=True, slots=True)
class Numbers:
    """Value i is `scaled[i] / 10**places`; meaningless where `missing` or in one of the faults."""

    scaled: NDArray[np.int64]
    places: int
    missing: Bools
    #: Fault key -> rows.
    faults: dict[str, Bools]

    def array(self) -> pa.Array:
        """As decimal128(18, places)."""
        words = np.empty((len(self.scaled), 2), np.int64)
        words[:, 0] = self.scaled
        words[:, 1] = self.scaled >> 63
        valid = None
        if self.missing.any():
            valid = pa.py_buffer(np.packbits(~self.missing, bitorder="little"))
        kind = pa.decimal128(18, self.places)
        return pa.Array.from_buffers(kind, len(words), [valid, pa.py_buffer(words)])


def constant(value: int, places: int, count: int) -> Numbers:
    """The same (scaled) value in every row."""
    return Numbers(np.full(count, value, np.int64), places, np.zeros(count, bool), {})


class NumberReader:
    """Reads columns of numbers as the configuration says they are written."""

    def __init__(self, decimal: str, thousands: str, rounding: bool) -> None:
        self._plain = _plain(decimal)
        self._cleaned = _cleaned(decimal, thousands)
        self._rounding = rounding

    def read(self, column: pa.Array, places: int) -> Numbers:
        """`column` is text (cleaned), or of a numeric type."""
        kind = column.type
        if pa.types.is_integer(kind) and kind != pa.uint64():
            return self._integers(column, places)
        if pa.types.is_floating(kind):
            return self._floats(column, places)
        if pa.types.is_decimal(kind) or pa.types.is_integer(kind):
            return self._texts(as_text(column), places, "t")
        return self._texts(as_text(column), places, self._plain, self._cleaned)

    def floats(self, column: pa.Array) -> tuple[NDArray[np.float64], Bools, dict[str, Bools]]:
        """Values that stay floats: values, missing, faults."""
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            values = pc.cast(column, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
            return values, np.isnan(values), {"number.not_finite": np.isinf(values)}
        texts = as_text(column)
        query = f"try_cast({self._cleaned} AS DOUBLE) AS value FROM (SELECT text AS t FROM given)"
        found = _query(texts, query).column("value").combine_chunks()
        missing = nulls_of(texts)
        unread = nulls_of(found) & ~missing
        values = found.fill_null(0.0).to_numpy(zero_copy_only=False)
        return (
            values, missing,
            {"number.unreadable": unread, "number.not_finite": ~np.isfinite(values) & ~missing},
        )  # fmt: skip

    def _integers(self, column: pa.Array, places: int) -> Numbers:
        missing = nulls_of(column)
        values = pc.cast(column, pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        large = np.abs(values.astype(np.float64)) >= LIMIT / 10**places
        scaled = np.where(large, 0, values) * 10**places
        return Numbers(scaled, places, missing, {"number.out_of_range": large})

    def _floats(self, column: pa.Array, places: int) -> Numbers:
        """A float means the decimal that is written shortest: 2.55, not 2.54999999999999982."""
        values = pc.cast(column, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
        missing = np.isnan(values)
        infinite = np.isinf(values)
        shifted = np.where(missing | infinite, 0.0, values) * 10.0**places
        large = np.abs(shifted) >= LIMIT
        shifted = np.where(large, 0.0, shifted)
        if np.abs(shifted).max(initial=0.0) >= _EXACT:
            return self._large_floats(column, places)
        rounded = np.rint(shifted)
        faults = {"number.not_finite": infinite, "number.out_of_range": large}
        if not self._rounding:
            noise = np.maximum(1e-6, np.abs(shifted) * 1e-15)
            faults["number.too_precise"] = np.abs(shifted - rounded) > noise
        return Numbers(rounded.astype(np.int64), places, missing, faults)

    def _large_floats(self, column: pa.Array, places: int) -> Numbers:
        texts = [None if v is None or v != v else repr(v) for v in column.to_pylist()]
        return self._texts(pa.array(texts, pa.string()), places, "t")

    def _texts(self, column: pa.Array, places: int, *queries: str) -> Numbers:
        """Each way of reading is tried on what the ways before it left."""
        if (few := distinct(column)) is not None:
            read = self._texts(few.values, places, *queries)
            faults = {key: rows[few.places] & ~few.missing for key, rows in read.faults.items()}
            return Numbers(read.scaled[few.places], places, few.missing, faults)
        count = len(column)
        missing = nulls_of(column)
        scaled = np.zeros(count, np.int64)
        large, rounded = np.zeros(count, bool), np.zeros(count, bool)
        left, texts = np.arange(count), column
        for query in queries:
            found = _cast(texts, places, query)
            scaled[left], large[left], rounded[left] = found.scaled, found.large, found.rounded
            unread = ~found.read & ~missing[left]
            left, texts = left[unread], texts.filter(pa.array(unread))
            if not left.size:
                break
        faults = {"number.out_of_range": large}
        if not self._rounding:
            faults["number.too_precise"] = rounded
        if left.size:
            for key, rows in _unread(texts).items():
                faults.setdefault(key, np.zeros(count, bool))[left[rows]] = True
        return Numbers(scaled, places, missing, faults)


@dataclass(frozen=True, slots=True)
class _Read:
    """What one way of reading made of texts. `rounded`: it had more decimals than are kept."""

    scaled: NDArray[np.int64]
    read: Bools
    large: Bools
    rounded: Bools


def _cast(column: pa.Array, places: int, cleaned: str) -> _Read:
    found = _query(
        column,
        f"try_cast(d AS DECIMAL(18, {places})) AS value, d IS NOT NULL AS read, "
        f"d <> try_cast(d AS DECIMAL(18, {places})) AS rounded "
        # DuckDB reads '0e0.' as 0: a point behind an exponent is no number of anyone's.
        "FROM (SELECT try_cast("
        "CASE WHEN NOT regexp_matches(c, '[eE].*[.]') THEN c END AS DECIMAL(38, 12)) AS d "
        f"FROM (SELECT {cleaned} AS c FROM (SELECT text AS t FROM given)))",
    )
    read = found.column("read").to_numpy().astype(bool)
    value = found.column("value").combine_chunks()
    value = pa.concat_arrays(value.chunks) if isinstance(value, pa.ChunkedArray) else value
    rounded = found.column("rounded").combine_chunks().fill_null(False)
    return _Read(
        scaled_words(value),
        read,
        nulls_of(value) & read,
        rounded.to_numpy(zero_copy_only=False).astype(bool),
    )


def scaled_words(column: pa.Array) -> NDArray[np.int64]:
    """The unscaled values of a decimal128 array of at most 18 digits; 0 where null."""
    words = np.frombuffer(column.buffers()[1], np.int64)[0::2]
    words = words[column.offset : column.offset + len(column)]
    return np.where(nulls_of(column), 0, words)


def _unread(texts: pa.Array) -> dict[str, Bools]:
    """Tell infinity and NaN, and numbers beyond 38 digits, from what is no number at all."""
    infinite = flags(pc.match_substring_regex(texts, r"(?i)^[+-]?(inf(inity)?|nan)$"))
    large = flags(pc.match_substring_regex(texts, r"^[+-]?[0-9]{15,}([.,][0-9]*)?$"))
    return {
        "number.unreadable": ~infinite & ~large,
        "number.not_finite": infinite,
        "number.out_of_range": large,
    }


def _query(column: pa.Array, query: str) -> pa.Table:
    given = pa.table({"text": column})
    relation = connection().from_arrow(given)
    return relation.query("given", f"SELECT {query}").to_arrow_table()


def _plain(decimal: str) -> str:
    """SQL for the text `t` as DuckDB reads it, where it has digits and a decimal sign only."""
    if decimal == ",":
        without = "NOT contains(t, '_') AND NOT contains(t, '.')"
        return f"CASE WHEN {without} THEN replace(t, ',', '.') END"
    return "CASE WHEN NOT contains(t, '_') THEN t END"


def _cleaned(decimal: str, thousands: str) -> str:
    """As `_plain`, also of numbers in groups and of what spreadsheets and accounting write:
    (12.50), 12.50-, a currency sign. NULL where it must not be read.
    """
    t = r"CASE WHEN NOT contains(t, '_') THEN t END"
    t = rf"regexp_replace({t}, '^\s*[£$€¥]\s*|\s*[£$€¥]\s*$', '', 'g')"
    t = rf"regexp_replace({t}, '^\(([^()+-]*)\)$|^([^()+-]+)-$', '-\1\2')"
    mark = "\\" + decimal
    if thousands:
        group = re_literal(thousands)
        form = literal(rf"[-+]?[0-9]{{1,3}}({group}[0-9]{{3}})+({mark}[0-9]*)?")
        without = f"replace(n, {literal(thousands)}, '')"
        grouped = f"regexp_full_match(n, {form})"
        plain = f"NOT contains(n, {literal(thousands)})"
        n = f"CASE WHEN {plain} THEN n WHEN {grouped} THEN {without} END"
    else:
        n = "n"
    if decimal == ",":
        n = f"CASE WHEN NOT contains(m, '.') THEN replace(m, ',', '.') END FROM (SELECT {n} AS m"
        return f"(SELECT {n} FROM (SELECT {t} AS n)))"
    return f"(SELECT {n} FROM (SELECT {t} AS n))"


def re_literal(sign: str) -> str:
    return "\\" + sign if sign in ".'" else sign
