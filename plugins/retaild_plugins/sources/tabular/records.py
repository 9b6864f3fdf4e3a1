"""Cutting delimited text into records, by RFC 4180, without looking at each row in Python.

A quote opens a quoted field only at the field's beginning; inside, two quotes stand for one and a
line may end. If every quote of a block stands where that grammar wants it, the record ends are the
line ends with an even number of quotes before them, which numpy counts. Only a block with a stray
quote is walked through record by record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEWLINE, RETURN = 10, 13


@dataclass(frozen=True, slots=True)
class Records:
    """Record i of a block is `block[starts[i]:ends[i]]`, its line end included.

    `stray[i]`: quotes that fit no grammar, or a lone carriage return. The block from `rest` on is
    the beginning of a record that is not complete yet.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    stray: NDArray[np.bool_]
    rest: int
    #: Found record by record: quotes do not pair up over the block.
    walked: bool = False


class Splitter:
    """Cuts blocks; each begins where a record does. `quote` and `delimiter` may be empty."""

    def __init__(self, delimiter: str, quote: str, max_row_bytes: int) -> None:
        self._delimiter = ord(delimiter) if delimiter else -1
        self._quote = ord(quote) if quote else -1
        self._longest = max_row_bytes
        self._record = _record_pattern(delimiter, quote) if quote else None

    def split(self, block: bytes, final: bool) -> Records:
        """`final`: nothing follows, so what the block ends with is a whole record."""
        signs = np.frombuffer(block, np.uint8)
        lines = np.flatnonzero(signs == NEWLINE)
        quotes = self._quotes(block, signs)
        if quotes.size == 0:
            return self._plain(block, signs, lines, final)
        if self._regular(signs, quotes, final):
            even = np.searchsorted(quotes, lines) % 2 == 0
            records = self._plain(block, signs, lines[even], final, quotes)
            if final or len(block) - records.rest <= self._longest:
                return records
        return self._walk(block, final)

    def delimiters(self, block: bytes, records: Records) -> NDArray[np.int64]:
        """Number of delimiters outside quotes in each record."""
        if records.walked:
            return self._walk_delimiters(block, records)
        signs = np.frombuffer(block, np.uint8)
        places = np.flatnonzero(signs == self._delimiter)
        quotes = self._quotes(block, signs)
        if quotes.size:
            places = places[np.searchsorted(quotes, places) % 2 == 0]
        last, first = (np.searchsorted(places, edge) for edge in (records.ends, records.starts))
        counts: NDArray[np.int64] = last - first
        return counts

    def _quotes(self, block: bytes, signs: NDArray[np.uint8]) -> NDArray[np.int64]:
        if self._quote < 0 or bytes([self._quote]) not in block:
            return np.empty(0, np.int64)
        return np.flatnonzero(signs == self._quote)

    def _regular(self, signs: NDArray[np.uint8], quotes: NDArray[np.int64], final: bool) -> bool:
        """Every opening quote begins a field, every closing one ends it."""
        if final and len(quotes) % 2:
            return False
        return not self._unquoted_quotes(signs, quotes)

    def _unquoted_quotes(self, signs: NDArray[np.uint8], quotes: NDArray[np.int64]) -> bool:
        opening, closing = quotes[0::2], quotes[1::2]
        before = signs[np.maximum(opening - 1, 0)]
        opens = (opening == 0) | self._borders(before) | (before == self._quote)
        after = signs[np.minimum(closing + 1, len(signs) - 1)]
        closes = (closing == len(signs) - 1) | self._borders(after) | (after == self._quote)
        return not (opens.all() and closes.all())

    def _borders(self, signs: NDArray[np.uint8]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (
            (signs == self._delimiter) | (signs == NEWLINE) | (signs == RETURN)
        )
        return found

    def _plain(
        self,
        block: bytes,
        signs: NDArray[np.uint8],
        lines: NDArray[np.int64],
        final: bool,
        quotes: NDArray[np.int64] | None = None,
    ) -> Records:
        ends = lines + 1
        if final and len(block) > (ends[-1] if ends.size else 0):
            ends = np.append(ends, len(block))
        starts = np.concatenate(([0], ends[:-1])) if ends.size else ends
        stray = np.zeros(len(ends), bool)
        if b"\r" in block:
            stray = _lone_returns(signs, starts, ends, quotes)
        return Records(starts, ends, stray, int(ends[-1]) if ends.size else 0)

    def _walk(self, block: bytes, final: bool) -> Records:
        """Record by record; where quotes fit no grammar, the line is a stray record."""
        assert self._record is not None
        starts, ends, stray, place = [], [], [], 0
        while place < len(block):
            found = self._record.match(block, place)
            whole = found is not None and (block[found.end() - 1] == NEWLINE or final)
            if found is not None and whole and found.end() - place <= self._longest:
                end, bad = found.end(), False
            else:
                # A quoted field may go on in the next block, as long as a row may be.
                if not final and (found is not None or self._may_go_on(block, place)):
                    break
                line = block.find(b"\n", place)
                end, bad = (line + 1 if line >= 0 else len(block)), True
                if line < 0 and not final:
                    break
            starts.append(place)
            ends.append(end)
            stray.append(bad)
            place = end
        begins, stops = np.array(starts, np.int64), np.array(ends, np.int64)
        return Records(begins, stops, np.array(stray, bool), place, walked=True)

    def _may_go_on(self, block: bytes, place: int) -> bool:
        assert self._record is not None
        if len(block) - place > self._longest:
            return False
        # Closing the open quote at the block's end would make it a record.
        quote = bytes([self._quote])
        return any(self._record.fullmatch(block[place:] + end) for end in (quote, quote * 2))

    def _walk_delimiters(self, block: bytes, records: Records) -> NDArray[np.int64]:
        delimiter = re.escape(bytes([self._delimiter]))
        quote = re.escape(bytes([self._quote]))
        # A field's text, quoted or not, is left out; what remains are delimiters.
        text = re.compile(
            b"(?:(?<=^)|(?<=" + delimiter + b"))" + quote + b"(?:[^" + quote + b"]|"
            + quote * 2 + b")*+" + quote
        )  # fmt: skip
        plain = bytes([self._delimiter])
        return np.array(
            [
                text.sub(b"", block[start:end]).count(plain)
                for start, end in zip(records.starts, records.ends, strict=True)
            ],
            np.int64,
        )


def _record_pattern(delimiter: str, quote: str) -> re.Pattern[bytes]:
    d, q = re.escape(delimiter).encode(), re.escape(quote).encode()
    quoted = q + b"(?:[^" + q + b"]|" + q + q + b")*+" + q
    # A quote in the middle of an unquoted field is a sign like any other: 5" PLATE.
    unquoted = b"[^" + q + d + b"\r\n][^" + d + b"\r\n]*+"
    field = b"(?:" + quoted + b"|" + unquoted + b"|)"
    return re.compile(field + b"(?:" + d + field + b")*+(?:\r?\n|\r?\\Z)")


def _lone_returns(
    signs: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    quotes: NDArray[np.int64] | None,
) -> NDArray[np.bool_]:
    """Records with a carriage return that neither ends a line nor stands in quotes."""
    returns = np.flatnonzero(signs == RETURN)
    followed = signs[np.minimum(returns + 1, len(signs) - 1)] == NEWLINE
    lone = returns[~followed & (returns != len(signs) - 1)]
    if quotes is not None and lone.size:
        lone = lone[np.searchsorted(quotes, lone) % 2 == 0]
    stray = np.zeros(len(ends), bool)
    owner = np.searchsorted(ends, lone, side="right")
    stray[owner[owner < len(ends)]] = True
    return stray
