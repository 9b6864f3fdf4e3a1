"""Text columns: without space around, with null where a file writes 'nothing'."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Bools = NDArray[np.bool_]

_WORTH_WHILE = 1000


class TextCleaner:
    """Strips Unicode white space and turns the spellings in `nulls` into null."""

    def __init__(self, nulls: tuple[str, ...]) -> None:
        self._nulls = pa.array(sorted({*nulls, ""}), pa.string())
        self._longest = max(len(text.encode()) for text in {*nulls, ""})

    def clean(self, column: pa.Array) -> pa.Array:
        """Of an Arrow `string` array; passed through where there is nothing to do."""
        if _has_margins(column):
            column = pc.utf8_trim_whitespace(column)
        lengths = pc.binary_length(column)
        shortest = pc.min(lengths).as_py()
        if shortest is None or shortest > self._longest:
            return column
        short = np.flatnonzero(lengths.fill_null(-1).to_numpy() <= self._longest)
        none = pc.is_in(column.take(pa.array(short)), value_set=self._nulls).to_numpy(
            zero_copy_only=False
        )
        if not none.any():
            return column
        mask = np.zeros(len(column), bool)
        mask[short[none]] = True
        return pc.if_else(pa.array(mask), pa.scalar(None, pa.string()), column)


def _has_margins(column: pa.Array) -> bool:
    """Whether any text begins or ends with a sign that may be white space."""
    _, offsets, data = column.buffers()
    if data is None or len(column) == 0:
        return False
    edges = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    signs = np.frombuffer(data, np.uint8)
    filled = edges[1:] > edges[:-1]
    first, last = signs[edges[:-1][filled]], signs[edges[1:][filled] - 1]
    return bool(_marginal(first).any() or _marginal(last).any())


def _marginal(signs: NDArray[np.uint8]) -> Bools:
    """ASCII white space, or a byte of a sign beyond ASCII, which may be a space."""
    found: Bools = (signs <= 32) | (signs >= 127)
    return found


def as_text(column: pa.Array) -> pa.Array:
    """Any column as `string`; a whole number in a float column loses its '.0'."""
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_dictionary(kind):
        return as_text(column.dictionary_decode())
    if pa.types.is_floating(kind):
        return _float_text(column)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([_decoded(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_nested(kind):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
    return pc.cast(column, pa.string())


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _float_text(column: pa.Array) -> pa.Array:
    """NaN is no value, as pandas writes it."""
    values = pc.cast(column, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    plain = np.where(missing, 0.0, values)
    if np.all(np.abs(plain) < 2**53) and np.all(plain == np.rint(plain)):
        whole = pa.array(plain.astype(np.int64), mask=missing)
        return pc.cast(whole, pa.string())
    texts = [
        None if gone else (str(int(value)) if value == int(value) else repr(value))
        if np.isfinite(value) else str(value)
        for value, gone in zip(plain.tolist(), missing.tolist(), strict=True)
    ]  # fmt: skip
    return pa.array(texts, pa.string())


def untrimmed_floats(column: pa.Array) -> pa.Array:
    """'17850.0' -> '17850', as spreadsheets and pandas write identifiers with gaps."""
    floats = pc.match_substring_regex(column, r"^[0-9]+\.0+$")
    if not pc.any(floats).as_py():
        return column
    return pc.if_else(floats, pc.replace_substring_regex(column, r"\.0+$", ""), column)


def nulls_of(column: pa.Array) -> Bools:
    """Which values are null."""
    if column.null_count == 0:
        return np.zeros(len(column), bool)
    found: Bools = pc.is_null(column).to_numpy(zero_copy_only=False)
    return found


def flags(column: pa.Array) -> Bools:
    """A boolean column for numpy, null as False."""
    found: Bools = column.fill_null(False).to_numpy(zero_copy_only=False)
    return found


@dataclass(frozen=True, slots=True)
class Distinct:
    """A text column as its different values and, for each row, the place of its value in them."""

    values: pa.Array
    places: NDArray[np.int64]
    missing: Bools


def distinct(column: pa.Array) -> Distinct | None:
    """None where too few values come again for it to be worth while."""
    if len(column) < _WORTH_WHILE:
        return None
    encoded = column.dictionary_encode()
    if not 0 < len(encoded.dictionary) < len(column) // 2:
        return None
    places = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return Distinct(encoded.dictionary, places, nulls_of(column))
