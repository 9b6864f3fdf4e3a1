"""The bytes of a text file: unpacked, within bounds, and in an encoding that ASCII fits into."""

from __future__ import annotations

import codecs
import gzip
import zlib
from typing import BinaryIO

from retaild_plugins.sources.tabular import faults

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class TextStream:
    """Reads blocks. UTF-16 comes out as UTF-8 (its surrogates kept, so that it is reversible).

    `encoding` is the file's (known after the first block); `auto` stays for "UTF-8, else
    Windows-1252, row by row". `consumed` counts bytes of the file itself.
    """

    def __init__(self, file: BinaryIO, name: str, encoding: str, limit: int) -> None:
        self._file = file
        self._name = name
        self._limit = limit
        self._packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        self._unpacked: BinaryIO = gzip.GzipFile(fileobj=file) if self._packed else file  # type: ignore[assignment]
        self._size = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self.encoding = encoding

    @property
    def packed(self) -> bool:
        return self._packed

    @property
    def consumed(self) -> int:
        return self._file.tell()

    def read(self, size: int) -> bytes:
        """The next bytes, b"" at the end as of now. Raises FileFaultError."""
        try:
            data = self._unpacked.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise faults.not_this_format(self._name, "gzip", str(error).rstrip(".")) from None
        except OSError as error:
            raise faults.unreadable(self._name, error.strerror or str(error)) from None
        first = self._size == 0
        self._size += len(data)
        if self._packed and self._size > self._limit:
            raise faults.too_large(self._name, self._limit)
        if first and data:
            data = self._begin(data)
        return (
            self._decoder.decode(data).encode("utf-8", "surrogatepass") if self._decoder else data
        )

    def finish(self) -> bytes:
        """What a decoder still holds of a character cut off at the end."""
        if self._decoder is None:
            return b""
        try:
            self._decoder.decode(b"", True)
        except UnicodeDecodeError:
            self._decoder.reset()
            return b"\xff"  # no UTF-8: its row will be refused
        return b""

    def original(self, text: bytes) -> bytes:
        """The bytes in the file that `read` gave as `text`."""
        if self._decoder is None:
            return text
        try:
            return text.decode("utf-8", "surrogatepass").encode(self.encoding, "surrogatepass")
        except UnicodeDecodeError:
            return text

    def _begin(self, data: bytes) -> bytes:
        """Settle the encoding and take the byte order mark off."""
        found = next(((mark, name) for mark, name in _BOMS if data.startswith(mark)), None)
        mark, marked = found or (b"", "")
        if self.encoding == "auto":
            self.encoding = marked or _guessed(data)
        elif self.encoding == "utf-16":
            self.encoding = marked or "utf-16-le"
        elif self.encoding != marked:
            mark = mark if self.encoding.startswith("utf") else b""
        if self.encoding == "utf-32":
            raise faults.not_this_format(self._name, "text", "it is written in UTF-32")
        if self.encoding.startswith("utf-16"):
            self._decoder = codecs.getincrementaldecoder(self.encoding)("surrogatepass")
        return data[len(mark) :]


def _guessed(data: bytes) -> str:
    """UTF-16 without a mark shows by the zero bytes of its ASCII signs."""
    sample = data[:4096]
    if sample[1::2].count(0) > len(sample) * 0.3:
        return "utf-16-le"
    if sample[0::2].count(0) > len(sample) * 0.3:
        return "utf-16-be"
    return "auto"
