"""What is fed with hostile bytes, and what must hold whatever they are.

Each target takes bytes and raises if the code under it does what it must not: an exception of
another kind than it promises, a row lost, a card number let through. `seeds` are where mutation
begins. Used by the quick test (some hundred inputs each) and by `make fuzz` (coverage-guided).
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from retaild_plugins.sources.tabular.config import TabularConfig
from retaild_plugins.sources.tabular.delimited import DelimitedReader, JsonLinesReader
from retaild_plugins.sources.tabular.faults import FileFaultError
from retaild_plugins.sources.tabular.mapping import RowMapping
from retaild_plugins.sources.tabular.numbers import NumberReader
from retaild_plugins.sources.tabular.readers import check_columns
from retaild_plugins.sources.tabular.times import MomentReader

from retaild.api import BuildContext, Entry
from retaild.api.errors import RetaildError
from retaild.config.documents import read_documents
from retaild.config.settings import inspect_settings
from retaild.events import arrow_schema
from retaild.events.cards import find_card, mask
from retaild.events.codec import encode_table
from retaild.pipeline.filelog import frame
from retaild.runtime.serving import validation
from retaild.web.byteview import hex_rows, text
from retaild.web.forms import local_path
from tests.hostile import doors

LIMIT = 1024 * 1024
_NOWHERE = Path("/nonexistent")
COLUMNS = {"receipt_id": "r", "product_id": "a", "description": "t", "quantity": "q",
           "unit_price": "p", "event_time": "at"}  # fmt: skip
_CSV = b'r,a,t,q,p,at\n1,A,"Cup, red",2,2.50,2024-03-01\nC2,B,Mug,-1,"1,234.5",2024-03-01 10:00\n'
_TABULAR = TabularConfig(path=_NOWHERE, columns=COLUMNS, settle_seconds=0)
_CONTEXT = BuildContext("tills", _NOWHERE, _NOWHERE)
_NOISE = Decimal("1e-12")
_CARD = "4111 1111 1111 1111"


@dataclass(frozen=True, slots=True)
class Target:
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    #: Inputs are no longer.
    max_bytes: int = 2048


def delimited(data: bytes) -> None:
    """Every row of a file becomes an event or is refused; nothing else is ever raised."""
    reader = DelimitedReader(io.BytesIO(data), "x.csv", len(data), _TABULAR, tabs=False)
    mapping = RowMapping(_TABULAR, _CONTEXT)
    try:
        check_columns(reader, mapping, "x.csv")
        _read(reader, mapping)
    except FileFaultError:
        return


def json_lines(data: bytes) -> None:
    mapping = RowMapping(_TABULAR, _CONTEXT)
    reader = JsonLinesReader(
        io.BytesIO(data), "x.jsonl", len(data), _TABULAR, mapping.needed(None)
    )  # fmt: skip
    try:
        _read(reader, mapping)
    except FileFaultError:
        return


def _read(reader: Any, mapping: RowMapping) -> None:
    wanted = arrow_schema("sale")
    while (chunk := reader.next_chunk()) is not None:
        table, rows, refused = mapping.apply(chunk)
        assert table.schema.equals(wanted), "the events have other columns"
        assert table.num_rows + len(refused) == chunk.count, "a row was lost"
        assert len(rows) == table.num_rows
        if chunk.last:
            return


def numbers(data: bytes) -> None:
    """A number is read as Decimal reads it, or not at all.

    What lies behind the twelfth decimal is taken for the noise of somebody's floats.
    """
    lines = _lines(data)
    found = NumberReader(".", ",", False).read(pa.array(lines, pa.string()), 4)
    faulty = [any(rows[i] for rows in found.faults.values()) for i in range(len(lines))]
    for i, line in enumerate(lines):
        if faulty[i] or found.missing[i] or "," in line or not _plain_number(line):
            continue
        with localcontext(prec=4000):
            assert abs(Decimal(int(found.scaled[i])).scaleb(-4) - Decimal(line)) <= _NOISE, line


def _plain_number(line: str) -> bool:
    try:
        return Decimal(line).is_finite()
    except InvalidOperation:
        return False


def moments(data: bytes) -> None:
    lines = _lines(data)
    column = pa.array(lines, pa.string())
    found = MomentReader(("iso", "%d.%m.%Y %H:%M", "epoch"), "Europe/Berlin").read(column)
    assert len(found.utc) == len(lines)
    found.array().validate(full=True)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").split("\n")[:200]


def frames(data: bytes) -> None:
    """What the log takes for an entry is exactly what was packed."""
    position = 0
    for found, end in frame.frames(data, 0):
        again = frame.pack(found.entry, found.offset, found.rows_before, found.appended_at)
        assert data[position:end] == again
        position = end


def cards(data: bytes) -> None:
    """No card number survives masking, in text or bytes; nothing else changes its length."""
    for original in (data, data.decode("utf-8", "replace")):
        masked = mask(original)
        assert len(masked) == len(original)
        assert mask(masked) == masked
    assert find_card(mask(data.decode("utf-8", "replace"))) is None


_DEFAULTS = validation.Defaults("api", "main", 1_700_000_000.0)


def posted(data: bytes) -> None:
    """What comes in by POST is accepted or refused, element by element, and keeps its bytes."""
    for kind in ("application/json", "application/x-ndjson"):
        try:
            body = validation.Body(data, kind)
        except RetaildError:
            continue
        good, bad = validation.check(body, _DEFAULTS)
        assert len(good) + len(bad) == len(body.elements)
        for item in good:
            assert item.event.model_validate_json(item.line) == item.event
            assert b"\n" not in item.line, "a line of the log would become two"
        for refused in bad:
            letter = validation.dead_letter(refused, _DEFAULTS, "POST")
            assert letter.model_validate_json(letter.model_dump_json()) == letter


def configuration(data: bytes) -> None:
    """A configuration is good or has faults, each with a sentence."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder, "retaild.toml")
        path.write_bytes(data)
        read_documents(path, {})
        settings, _, faults = inspect_settings(path, Path(folder), {})
    assert (settings is None) == bool([f for f in faults if f.severity == "error"])
    assert all(fault.message for fault in faults)


def _memory() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def shown(data: bytes) -> None:
    """The pages show any bytes, and no form leads anywhere else."""
    text(data)
    list(hex_rows(data))
    target = local_path(data.decode("utf-8", "replace"), "/pricing")
    parts = urlsplit(target)
    assert not parts.netloc
    assert not parts.scheme
    assert target.startswith("/pricing")


def _event(**fields: Any) -> bytes:
    known = {"family": "activity", "action": "view", "customer_id": "1", "product_id": "A"}
    return json.dumps({**known, **fields}).encode()


def _frames() -> bytes:
    table = arrow_schema("sale").empty_table()
    first = frame.pack(Entry("activity", "json", 1, _event()), 0, 0, 1.5)
    return first + frame.pack(Entry("sale", "arrow", 1, encode_table(table)), 1, 1, 2.5)


_TOML = b"""[retaild]
timezone = "Europe/London"
[api]
port = 8470
[source.tills]
plugin = "tabular"
path = "/srv"
limits = {memory_mib = 64}
[job.refresh]
cron = "30 3 * * *"
"""

TARGETS: dict[str, Target] = {
    "delimited": Target(
        delimited,
        (_CSV, _CSV.decode().encode("utf-16"), b"r;a;t;q;p;at\n", b"r,a\rt,q\n1\n"),
    ),
    "json-lines": Target(
        json_lines,
        (b'{"r":"1","a":"A","q":2,"p":"2.50","at":"2024-03-01"}\n{"r":{"x":[1]}}\n', b"[]\n"),
    ),
    "numbers": Target(numbers, (b"1\n-2.50\n1,234.5\n1e3\n0x1\n.5\n5.\n(3)\n3-\n",)),
    "moments": Target(
        moments, (b"2024-03-01T10:00:00Z\n31.03.2024 02:30\n1700000000\n2024-02-30\n",)
    ),
    "frames": Target(frames, (_frames(),)),
    "cards": Target(cards, (_CARD.encode(), f"x{_CARD}-5500005555555559".encode("utf-16-le"))),
    "posted": Target(
        posted,
        (_event(), b"[" + _event() + b"," + _event(family="sale") + b"]",
         b'{"events":[' + _event(event_time="2024-03-01T10:00:00Z") + b"]}",
         _event() + b"\n" + _event(customer_id=_CARD)),
    ),
    "configuration": Target(configuration, (_TOML,)),
    "kafka-message": Target(doors.kafka_message, doors.MESSAGES),
    "kafka-record": Target(doors.kafka_record, doors.RECORDS),
    "mqtt-payload": Target(doors.mqtt_payload, doors.PAYLOADS),
    "hub-frame": Target(doors.hub_frame, doors.frames(), 8192),
    "archive": Target(doors.archive, doors.archives(), 4096),
    "shown": Target(shown, (b"/pricing?q=1", b"//elsewhere", b"/\\elsewhere", _CSV)),
}  # fmt: skip
