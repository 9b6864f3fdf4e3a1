"""Payment card numbers (PAN): found by length, issuer range and check digit; and masked.

Which digits an issuer range begins with: ISO/IEC 7812 as the schemes publish it. The check digit is
Luhn's (ISO/IEC 7812-1 annex B). Masking leaves the first six and last four digits, the most that
PCI DSS 4.0 requirement 3.4.1 lets anyone see. A number that a shop's articles carry must pass: a
value of a product field with a valid GTIN check digit (GS1 General Specifications 7.9), and a
13-digit number with one anywhere (a Visa number of that length has not been issued for decades).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

#: Fields whose value may be a GTIN.
PRODUCT_FIELDS = frozenset({"product_id", "gtin"})
#: Not looked at: what the host itself wrote, and closed vocabularies.
_SKIPPED = frozenset({"source", "currency", "line_type", "price_type", "action"})

_SHORTEST, _LONGEST = 13, 19
#: What people put between the digits: spaces and dashes, also typographic ones.
_BETWEEN = "[ \\-\u00a0\u2009\u202f\u2010-\u2015]{0,3}"
_CANDIDATE = f"[0-9](?:{_BETWEEN}[0-9]){{{_SHORTEST - 1}}}"
_RUN = re.compile(f"[0-9](?:{_BETWEEN}[0-9]){{{_SHORTEST - 1},}}")
#: In bytes of unknown encoding: UTF-16 puts a zero byte beside each digit.
_BYTES_BETWEEN = rb"(?:\x00?[ \-]){0,3}\x00?"
_BYTES_RUN = re.compile(rb"[0-9](?:" + _BYTES_BETWEEN + rb"[0-9]){%d,}" % (_SHORTEST - 1))
_DIGITS = re.compile("[0-9]+")
_DIGIT = re.compile("[0-9]")
_BYTES_DIGITS = re.compile(rb"[0-9]+")

_HEX_DIGITS = b"0123456789abcdef-"
_DIGEST_LENGTH = 32
#: Decimals below this cannot hold thirteen digits before the point.
_LONG_NUMBER = 10 ** (_SHORTEST - 1)


def find_card(text: str, *, product: bool = False) -> tuple[int, int] | None:
    """Where the first card number in `text` begins and ends; None if there is none.

    `product`: the text is a product's code, so a GTIN is not a card number.
    """
    if product and is_gtin(text.strip()):
        return None
    return next(_cards(text, _RUN, _DIGITS), None)


@overload
def mask(text: str) -> str: ...
@overload
def mask(text: bytes) -> bytes: ...
def mask(text: str | bytes) -> str | bytes:
    """`text` with all but the first six and last four digits of each card number starred out.

    The length stays. Of bytes, every single-byte encoding, UTF-8 and UTF-16 are understood.
    """
    if isinstance(text, str):
        return _masked(text, lambda now: _cards(now, _RUN, _DIGITS))
    # Latin-1 gives each byte its own character and takes all of them back.
    plain = _masked(
        text.decode("latin-1"),
        lambda now: _cards(now.encode("latin-1"), _BYTES_RUN, _BYTES_DIGITS),
    )
    plain = plain if text.isascii() else _mask_typographic(plain)
    return plain.encode("latin-1")


def _masked(text: str, cards: Callable[[str], Iterable[tuple[int, int]]]) -> str:
    """What is left of one number may begin another: masked until there is none."""
    while spans := list(cards(text)):
        hidden = {place for start, end in spans for place in _hidden(text, start, end)}
        text = "".join("*" if place in hidden else sign for place, sign in enumerate(text))
    return text


def _mask_typographic(plain: str) -> str:
    """UTF-8 bytes (as Latin-1 characters) that hold digits between typographic dashes."""
    try:
        return mask(plain.encode("latin-1").decode("utf-8")).encode().decode("latin-1")
    except UnicodeDecodeError:
        return plain


def _hidden(text: str, start: int, end: int) -> list[int]:
    """Places of the digits between the first six and the last four."""
    return [match.start() for match in _DIGIT.finditer(text, start, end)][6:-4]


def _cards(text: Any, run: Any, digits: Any) -> Iterator[tuple[int, int]]:
    """Card numbers that begin and end where a group of digits does, from left to right.

    They may overlap: which of two is the real one nobody knows.
    """
    for found in run.finditer(text):
        groups = [match.span() for match in digits.finditer(text, *found.span())]
        for first in range(len(groups)):
            last = _card_end(text, groups, first)
            if last is not None:
                yield groups[first][0], groups[last][1]


def _card_end(text: Any, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last group of the longest card number that begins with group `first`."""
    number, found = "", None
    for last in range(first, min(first + _LONGEST, len(groups))):
        start, end = groups[last]
        if len(number) + end - start > _LONGEST:
            break
        part = text[start:end]
        number += part.decode("ascii") if isinstance(part, bytes) else part
        if is_card(number) and not (last == first and len(number) == 13 and is_gtin(number)):
            found = last
    return found


def is_card(number: str) -> bool:
    """13 to 19 digits in an issuer's range and with Luhn's check digit."""
    return _SHORTEST <= len(number) <= _LONGEST and _issued(number) and _luhn(number)


def _luhn(number: str) -> bool:
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[0::2]) + sum(doubled[digit] for digit in digits[1::2])) % 10 == 0


#: Issuer ranges: first and last prefix (of equal length), lengths of the number.
_LONG = range(16, 20)
_RANGES: tuple[tuple[str, str, range | tuple[int, ...]], ...] = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),  # Mastercard, series 2
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("6011", "6011", _LONG),  # Discover
    ("644", "659", _LONG),
    ("622126", "622925", _LONG),
    ("300", "305", range(14, 20)),  # Diners Club
    ("3095", "3095", range(14, 20)),
    ("36", "36", range(14, 20)),
    ("38", "39", range(14, 20)),
    ("3528", "3589", _LONG),  # JCB
    ("62", "62", _LONG),  # UnionPay
    ("8110", "8171", _LONG),
    ("50", "50", range(13, 20)),  # Maestro
    ("56", "58", range(13, 20)),
    ("6304", "6304", range(13, 20)),
    ("6390", "6390", range(13, 20)),
    ("67", "67", range(13, 20)),
    ("2200", "2204", _LONG),  # Mir
    ("9792", "9792", (16,)),  # Troy
)


def _issued(number: str) -> bool:
    return any(
        low <= number[: len(low)] <= high and len(number) in lengths
        for low, high, lengths in _RANGES
    )


def is_gtin(code: str) -> bool:
    """8, 12, 13 or 14 digits with a GTIN check digit."""
    if len(code) not in (8, 12, 13, 14) or not (code.isascii() and code.isdigit()):
        return False
    digits = [int(digit) for digit in reversed(code)]
    return (sum(digits[0::2]) + 3 * sum(digits[1::2])) % 10 == 0


def card_rows(table: pa.Table) -> NDArray[np.bool_]:
    """True for each row with a card number in one of its texts or in a very long number.

    Columns are known by the names of the event contract; ids made by `retaild.events.ids` cannot
    hold one. Works on distinct values, and only on those a regular expression leaves over.
    """
    import numpy as np

    found = np.zeros(table.num_rows, dtype=bool)
    for name in table.column_names:
        if name not in _SKIPPED:
            found |= _column_rows(name, table.column(name))
    return found


def _column_rows(name: str, column: pa.ChunkedArray) -> NDArray[np.bool_] | bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_decimal(column.type):
        column = _long_numbers(column)
    elif not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return False
    longest = pc.max(pc.binary_length(column)).as_py()
    if longest is None or longest < _SHORTEST or (name == "event_id" and _all_digests(column)):
        return False
    distinct = pc.unique(column)
    likely = distinct.filter(pc.match_substring_regex(distinct, _CANDIDATE)).to_pylist()
    product = name in PRODUCT_FIELDS
    cards = [value for value in likely if value and find_card(value, product=product)]
    if not cards:
        return False
    hits = pc.is_in(column, value_set=pa.array(cards, column.type))
    rows: NDArray[np.bool_] = hits.to_numpy()
    return rows


def _long_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers with as many digits as a card number, as text; all else null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bounds = pc.min_max(column).as_py()
    extreme = max((abs(bound) for bound in bounds.values() if bound is not None), default=0)
    if extreme < _LONG_NUMBER:
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    return pc.replace_substring_regex(pc.cast(column, pa.string()), r"\.[0-9]*$", "")


def _all_digests(column: pa.ChunkedArray) -> bool:
    """True if every value is as long as a digest and has no other signs than one."""
    import pyarrow.compute as pc

    shortest = pc.min(pc.binary_length(column)).as_py()
    if shortest is None or shortest < _DIGEST_LENGTH:
        return False
    return not any(_text_bytes(chunk).translate(None, _HEX_DIGITS) for chunk in column.chunks)


def _text_bytes(chunk: pa.Array) -> bytes:
    """All texts of an Arrow string array, one after the other."""
    import numpy as np
    import pyarrow as pa

    width = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
    _, offsets, data = chunk.buffers()
    if data is None:
        return b""
    ends = np.frombuffer(offsets, width)[chunk.offset : chunk.offset + len(chunk) + 1]
    text: bytes = data.slice(int(ends[0]), int(ends[-1] - ends[0])).to_pybytes()
    return text
