"""Bytes as a person can read them, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterator

#: Bytes shown of one dead letter; more would not be read by a person.
SHOWN = 4096
_PER_ROW = 16


def text(raw: bytes) -> str:
    """UTF-8 with what is not printable made visible: control pictures, U+FFFD for bad bytes."""
    decoded = raw[:SHOWN].decode("utf-8", "replace")
    return "".join(_visible(character) for character in decoded)


def _visible(character: str) -> str:
    if character in "\n\t":
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    # Direction marks could make a line read as something else than it is.
    return character if character.isprintable() else f"\\u{code:04x}"


def hex_rows(raw: bytes) -> Iterator[tuple[str, str, str]]:
    """(offset, hex, ASCII) of 16 bytes each, as hexdump -C shows them."""
    for offset in range(0, min(len(raw), SHOWN), _PER_ROW):
        chunk = raw[offset : offset + _PER_ROW]
        ascii_text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in chunk)
        yield f"{offset:06x}", chunk.hex(" "), ascii_text
