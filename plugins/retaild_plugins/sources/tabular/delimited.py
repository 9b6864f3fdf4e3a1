"""Reads CSV, TSV and JSON lines in chunks of whole rows."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections import deque
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retaild_plugins.sources.tabular import faults
from retaild_plugins.sources.tabular.chunk import CHUNK_ROWS, Chunk, Refused
from retaild_plugins.sources.tabular.config import TabularConfig
from retaild_plugins.sources.tabular.encoding import to_utf8
from retaild_plugins.sources.tabular.records import Records, Splitter
from retaild_plugins.sources.tabular.stream import TextStream

_BLOCK = 4 * 1024 * 1024


class TextReader(ABC):
    """What CSV and JSON lines share: blocks, records, refusals, numbers of rows and lines.

    After the last chunk it may be asked again: the file may have grown.
    """

    def __init__(self, file: BinaryIO, name: str, size: int, config: TabularConfig) -> None:
        self.name = name
        self._config = config
        self._stream = TextStream(file, name, config.encoding, config.max_unpacked_bytes)
        self._size = size
        self._held = b""
        self._ready: deque[tuple[bytes, Records]] = deque()
        self._begun = False
        self._ended = False
        self._rows = 0
        self._lines = 0
        #: First bytes of a row that is longer than allowed, while its end is sought.
        self._overlong: bytes | None = None

    # -- the format's own ----------------------------------------------------------------------

    @abstractmethod
    def splitter(self) -> Splitter: ...

    @abstractmethod
    def begin(self, text: bytes, final: bool) -> int | None:
        """Look at the beginning; bytes of it that are no rows, None if more of it is needed."""

    @abstractmethod
    def table(self, block: bytes, rows: int) -> tuple[pa.Table, NDArray[np.bool_]]:
        """The good rows of `block` (UTF-8, whole rows), and which rows are good."""

    def odd(self, block: bytes, records: Records) -> dict[int, tuple[str, str]]:
        """Records of a wrong shape: index -> key and reason."""
        return {}

    @property
    @abstractmethod
    def row_format(self) -> str:
        """How a refused row is to be read again: the dead letter's `format`."""

    @property
    @abstractmethod
    def columns(self) -> list[str] | None:
        """Names of the columns, None if they may differ from row to row."""

    # -- reading -------------------------------------------------------------------------------

    @property
    def encoding(self) -> str:
        return self._stream.encoding

    @property
    def packed(self) -> bool:
        """Compressed, so it cannot grow at its end."""
        return self._stream.packed

    @property
    def consumed(self) -> int:
        return self._stream.consumed

    def total(self) -> int:
        """Rows of the file, as its read part lets one expect."""
        if not self._rows or self.consumed >= self._size:
            return self._rows
        return max(self._rows, int(self._rows * self._size / max(self.consumed, 1)))

    def next_chunk(self) -> Chunk | None:
        """The next rows; None if there are none now. Raises FileFaultError."""
        while not self._ready:
            if not self._fill():
                return None
        block, records = self._ready.popleft()
        last = not self._ready and self._ended
        return self._chunk(block, records, last)

    def prepare(self) -> None:
        """Read as far as the names of the columns, if there are any. Raises FileFaultError."""
        while not self._begun and self._fill():
            pass

    def _fill(self) -> bool:
        """Read and cut a block; False at the end."""
        data = self._read_block()
        block = self._held + data
        if not data and not (self._ended and block):
            return False
        if not self._begun:
            skipped = self.begin(block, self._ended)
            if skipped is None:
                self._held = block
                return bool(data) and self._within(block)
            self._begun = True
            self._lines += block.count(b"\n", 0, skipped)
            block = block[skipped:]
        self._cut(block)
        return True

    def _read_block(self) -> bytes:
        """A full block, or what there is up to the end."""
        parts: list[bytes] = []
        size = 0
        while size < _BLOCK:
            parts.append(self._stream.read(_BLOCK - size))
            if not parts[-1]:
                self._ended = not self._config.follow
                parts.append(self._stream.finish() if self._ended else b"")
                break
            self._ended = False
            size += len(parts[-1])
        return b"".join(parts)

    def _within(self, block: bytes) -> bool:
        if len(block) > self._config.max_row_bytes * 64:
            raise faults.not_this_format(self.name, "text", "its first line does not end")
        return True

    def _cut(self, block: bytes) -> None:
        records = self.splitter().split(block, self._ended)
        self._held = block[records.rest :]
        for first in range(0, len(records.starts), CHUNK_ROWS):
            part = slice(first, first + CHUNK_ROWS)
            start, end = int(records.starts[part][0]), int(records.ends[part][-1])
            self._ready.append(
                (
                    block[start:end],
                    Records(
                        records.starts[part] - start,
                        records.ends[part] - start,
                        records.stray[part],
                        end - start,
                        records.walked,
                    ),
                )
            )
        if self._ended:
            self._held = b""

    def _chunk(self, block: bytes, records: Records, last: bool) -> Chunk:
        lengths = records.ends - records.starts
        blank = _blank(block, records)
        numbers = self._rows + np.cumsum(~blank)
        lines_before = self._lines
        self._rows = int(numbers[-1])
        self._lines += block.count(b"\n")
        wrong = {int(i): ("row.quotes", _STRAY) for i in np.flatnonzero(records.stray & ~blank)}
        for i in np.flatnonzero(lengths > self._config.max_row_bytes):
            wrong[int(i)] = ("row.too_long", _TOO_LONG.format(limit=self._config.max_row_bytes))
        wrong = {**self.odd(block, records), **wrong} if not blank.all() else wrong
        wrong = {index: why for index, why in wrong.items() if not blank[index]}
        keep = ~blank
        keep[list(wrong)] = False
        decoded = to_utf8(block, records, self.encoding, keep)
        for i in np.flatnonzero(decoded.bad):
            wrong[int(i)] = ("row.encoding", _ENCODING.format(encoding=self.encoding))
        good = np.flatnonzero(keep & ~decoded.bad)
        table, shaped = self.table(decoded.block, len(good))
        for i in good[~shaped]:
            wrong[int(i)] = self.unshaped(block[records.starts[i] : records.ends[i]])
        good = good[shaped]

        def raw(index: int) -> tuple[int, bytes]:
            start, end = int(records.starts[index]), int(records.ends[index])
            line = lines_before + block.count(b"\n", 0, start) + 1
            text = block[start:end].removesuffix(b"\n").removesuffix(b"\r")
            return line, self._stream.original(text)

        refused = [
            Refused(int(numbers[i]), *raw(i), key, reason) for i, (key, reason) in wrong.items()
        ]
        refused.sort(key=lambda item: item.row)
        return Chunk(
            table=table,
            rows=numbers[good],
            raw=lambda index: raw(int(good[index])),
            count=int((~blank).sum()),
            refused=refused,
            last=last,
        )

    def unshaped(self, text: bytes) -> tuple[str, str]:
        """Why `table` left a row out."""
        return "row.shape", "is not a row. Mend it in the file."


_STRAY = (
    "has a quotation mark or carriage return in a place where none may stand, so its fields "
    "cannot be told apart. Double the quotation marks inside quoted texts, or set quote = '' if "
    "the file quotes nothing."
)
_TOO_LONG = "is longer than {limit:,} bytes. If that is right, raise `max_row_bytes`."
_ENCODING = (
    "has bytes that are no text in the encoding {encoding}. Set `encoding` to the one the file is "
    "written in."
)


def _blank(block: bytes, records: Records) -> NDArray[np.bool_]:
    """Empty lines are no rows."""
    lengths = records.ends - records.starts
    first = np.frombuffer(block, np.uint8)[records.starts]
    blank: NDArray[np.bool_] = (lengths <= 2) & ((first == 10) | ((first == 13) & (lengths == 2)))
    return blank


class DelimitedReader(TextReader):
    """CSV and TSV."""

    def __init__(
        self, file: BinaryIO, name: str, size: int, config: TabularConfig, tabs: bool
    ) -> None:
        super().__init__(file, name, size, config)
        self._tabs = tabs
        self._delimiter = config.delimiter
        self._columns: list[str] = []
        self._splitter: Splitter | None = None

    def splitter(self) -> Splitter:
        assert self._splitter is not None
        return self._splitter

    @property
    def columns(self) -> list[str] | None:
        """None for an empty file."""
        self.prepare()
        return self._columns if self._begun else None

    @property
    def row_format(self) -> str:
        how = {
            "encoding": self.encoding,
            "delimiter": self._delimiter,
            "columns": self._columns,
        }
        text = "csv " + json.dumps(how, ensure_ascii=False, separators=(",", ":"))
        return text if len(text) <= 2000 else "csv"

    def begin(self, text: bytes, final: bool) -> int | None:
        """Skip the preamble, then read the line of names and choose the delimiter."""
        place = 0
        for _ in range(self._config.skip_lines):
            place = text.find(b"\n", place) + 1
            if place == 0:
                return len(text) if final else None
        while text[place : place + 1] in (b"\n", b"\r"):
            place += 1
        end = text.find(b"\n", place) + 1
        if end == 0 and not final:
            return None
        line = text[place : end or len(text)]
        if self._delimiter == "auto":
            self._delimiter = "\t" if self._tabs else _likely_delimiter(line, self._config.quote)
        config = self._config
        self._splitter = Splitter(self._delimiter, config.quote, config.max_row_bytes)
        if config.fields:
            self._columns = _distinct(list(config.fields))
            return place
        head = self._splitter.split(text[place:], final)
        if not len(head.ends):
            return None if not final else len(text)
        names = text[place : place + int(head.ends[0])]
        self._columns = _distinct(self._names(names))
        return place + int(head.ends[0])

    def _names(self, line: bytes) -> list[str]:
        encoding = "utf-8" if self.encoding.startswith("utf") else self.encoding
        try:
            text = line.decode("utf-8" if encoding == "auto" else encoding)
        except UnicodeDecodeError:
            text = line.decode("cp1252", "replace")
        quote = self._config.quote
        rows = csv.reader(
            [text.rstrip("\r\n")],
            delimiter=self._delimiter,
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        )
        try:
            return [name.strip() for name in next(rows, [])]
        except csv.Error as error:
            why = f"its line of column names cannot be read ({error})"
            raise faults.not_this_format(self.name, "CSV", why) from None

    def odd(self, block: bytes, records: Records) -> dict[int, tuple[str, str]]:
        found = self.splitter().delimiters(block, records) + 1
        wanted = len(self._columns)
        reason = "has {found} fields, but the file has {wanted} columns. Mend the row in the file."
        return {
            int(i): ("row.columns", reason.format(found=found[i], wanted=wanted))
            for i in np.flatnonzero(found != wanted)
        }

    def table(self, block: bytes, rows: int) -> tuple[pa.Table, NDArray[np.bool_]]:
        import pyarrow.csv as pc

        schema = pa.schema([(name, pa.string()) for name in self._columns])
        if rows == 0:
            return schema.empty_table(), np.zeros(0, bool)
        quote = self._config.quote
        table = pc.read_csv(
            pa.BufferReader(block),
            read_options=pc.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=self._columns
            ),
            parse_options=pc.ParseOptions(
                delimiter=self._delimiter,
                quote_char=quote or False,
                newlines_in_values=bool(quote),
                ignore_empty_lines=False,
            ),
            convert_options=pc.ConvertOptions(
                check_utf8=False, column_types=schema, strings_can_be_null=False
            ),
        )
        if table.num_rows != rows:
            raise faults.not_this_format(self.name, "CSV", "its rows cannot be told apart")
        return table, np.ones(rows, bool)


def _likely_delimiter(line: bytes, quote: str) -> str:
    outside = line.split(quote.encode())[0::2] if quote else [line]
    counts = {sign: sum(part.count(sign.encode()) for part in outside) for sign in ",;\t|"}
    return max(counts, key=lambda sign: counts[sign])


def _distinct(names: list[str]) -> list[str]:
    """A name that comes again gets a number: 'price', 'price (2)'."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result


class JsonLinesReader(TextReader):
    """One JSON object a line; the columns are the keys (or JSONPath of the configuration)."""

    def __init__(
        self, file: BinaryIO, name: str, size: int, config: TabularConfig, paths: list[str]
    ) -> None:
        super().__init__(file, name, size, config)
        self._paths = paths
        self._splitter = Splitter("", "", config.max_row_bytes)

    def splitter(self) -> Splitter:
        return self._splitter

    @property
    def columns(self) -> None:
        return None

    @property
    def row_format(self) -> str:
        return "json"

    def begin(self, text: bytes, final: bool) -> int | None:
        if text.lstrip()[:1] == b"[":
            raise faults.not_this_format(
                self.name, "JSON lines", "it is one JSON array, not an object a line"
            )
        return 0

    def table(self, block: bytes, rows: int) -> tuple[pa.Table, NDArray[np.bool_]]:
        from retaild_plugins.sources.tabular.jsonpath import extract

        return extract(lines_of(block, rows), self._paths)

    def unshaped(self, text: bytes) -> tuple[str, str]:
        return "row.json", "is not a JSON object. Write one object, {...}, on each line."


def lines_of(block: bytes, rows: int) -> pa.Array:
    """The lines of `block` as an Arrow array over the same bytes."""
    signs = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(signs == 10) + 1
    if len(ends) < rows:
        ends = np.append(ends, len(block))
    offsets = np.concatenate(([0], ends)).astype(np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(block))
