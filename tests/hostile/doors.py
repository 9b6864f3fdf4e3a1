"""Fuzz targets of what other processes and other servers send: messages, frames, archives."""

from __future__ import annotations

import io
import socket
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from retaild_plugins.cluster.kafka.message import MessageError, MessageReader
from retaild_plugins.cluster.kafka.record import log_entry
from retaild_plugins.cluster.kafka.source_config import Lines

from retaild.api import BuildContext, SourceBatch
from retaild.api.bus import LogEntry
from retaild.api.errors import RetaildError
from retaild.events import DeadLetter, arrow_schema
from retaild.events.codec import encode_table, to_table
from retaild.events.external import External
from retaild.pipeline.entries import decode
from retaild.runtime.backup.manifest import NAME
from retaild.runtime.backup.reading import Digests, visit_files
from retaild.runtime.component.channel import Channel
from retaild.runtime.ingest_frames import read_batch, write_batch

_CONTRIB = Path(__file__).parents[2] / "contrib/mqtt-source/src"
_AT = datetime(2024, 3, 1, 10, tzinfo=UTC)
_CONTEXT = BuildContext("tills", Path("/nonexistent"), Path("/nonexistent"), "Europe/Berlin", "EUR")
_LINES = {
    "csv": Lines(
        family="external",
        columns=("at", "what", "n"),
        fields={"event_time": "at", "subject": "what", "value": "n"},
        constants={"topic": "visitors"},
    ),
    "paths": Lines(
        family="external",
        fields={"event_time": "at", "subject": "door.name", "value": "n", "event_id": "id"},
        constants={"topic": "visitors"},
    ),
}


class _Settings:
    """What of a Kafka source's settings its reader of messages looks at."""

    def __init__(self, lines: Lines | None) -> None:
        self.lines = lines


_READERS = [
    MessageReader(_Settings(lines), _CONTEXT)  # type: ignore[arg-type]
    for lines in (None, *_LINES.values())
]


def kafka_message(data: bytes) -> None:
    """A message becomes events of the contract, equal ones each time, or a dead letter."""
    for reader in _READERS:
        try:
            events = reader.events(data, _AT)
        except MessageError:
            continue
        assert events
        assert [event.event_id for event in reader.events(data, _AT)] == [
            event.event_id for event in events
        ]
        for event in events:
            assert event.event_time.tzinfo is UTC
            assert type(event).model_validate_json(event.model_dump_json()) == event


class _Message:
    """A consumed message as confluent-kafka gives it."""

    def __init__(self, headers: list[tuple[str, Any]] | None, value: bytes | None) -> None:
        self._headers, self._value = headers, value

    def offset(self) -> int:
        return 7

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, Any]] | None:
        return self._headers


def kafka_record(data: bytes) -> None:
    """A record of anybody's is an entry, and the lake takes or sets apart all of it.

    The headers come first, `name:value` a line (`name` alone: no value), then an empty line.
    """
    head, _, payload = data.partition(b"\n\n")
    headers: list[tuple[str, Any]] = []
    for line in head.split(b"\n")[:20]:
        name, colon, value = line.partition(b":")
        headers.append((name.decode("utf-8", "replace"), value if colon else None))
    found = log_entry(_Message(headers, payload), 3, 12)
    assert found.offset == 10
    assert 12 <= found.rows_before < 2**63
    assert 1 <= found.entry.rows < 2**31
    _decoded(found)


def _decoded(entry: LogEntry) -> None:
    batch = decode([entry])
    for table in batch.tables.values():
        table.validate(full=True)
    for letter in batch.letters:
        assert letter


@cache
def _mapper() -> tuple[Any, type[Exception]]:
    """The plugin is a stranger's: not installed here, so it is read from where it lies."""
    sys.path.insert(0, str(_CONTRIB))
    try:
        from retaild_mqtt.config import Route  # type: ignore[import-not-found, unused-ignore]
        from retaild_mqtt.errors import (  # type: ignore[import-not-found, unused-ignore]
            MessageError as Refused,
        )
        from retaild_mqtt.mapping import Mapper  # type: ignore[import-not-found, unused-ignore]
    finally:
        sys.path.remove(str(_CONTRIB))
    routes = [
        {"topic": "shop/+/visitors/+", "family": "external",
         "fields": {"topic": {"constant": "visitors"}, "subject": {"topic": 4},
                    "event_time": "time", "value": "count.in"}},
        {"topic": "till/+/receipts", "family": "sale", "each": "lines", "id": "no",
         "fields": {"receipt_id": "number", "event_time": "time", "product_id": "article",
                    "quantity": "pieces", "unit_price": "price"}},
    ]  # fmt: skip
    return [Mapper(Route.model_validate(route), _CONTEXT) for route in routes], Refused


def mqtt_payload(data: bytes) -> None:
    """A payload becomes events of the contract, equal ones each time, or is refused."""
    mappers, refused = _mapper()
    for mapper in mappers:
        try:
            events = mapper.events("shop/main/visitors/north", data)
        except refused:
            continue
        again = mapper.events("shop/main/visitors/north", data)
        assert [event.event_id for event in again] == [event.event_id for event in events]
        for event in events:
            assert type(event).model_validate_json(event.model_dump_json()) == event


def hub_frame(data: bytes) -> None:
    """What a plugin's process sends is a batch of the contract, or refused as a whole."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    try:
        theirs.sendall(data)
        theirs.close()
        while True:
            for frame in channel.receive():
                batch = read_batch(frame, "tills")
                frame.close()
                _check(batch)
    except RetaildError:  # no frame, a wrong batch, or the end
        return
    finally:
        channel.close()


def _check(batch: SourceBatch) -> None:
    assert batch.events.schema.equals(arrow_schema(batch.family), check_metadata=True)
    batch.events.validate(full=True)
    assert set(batch.events["source"].to_pylist()) <= {"tills"}
    assert batch.rows is None or len(batch.rows) == batch.events.num_rows
    # What was accepted can be written to the log and read again.
    assert batch.events.num_rows == 0 or encode_table(batch.events)


#: No more than this may come out of an archive of a few kilobytes in this target's memory.
_ROOM = 64 * 1024 * 1024


def archive(data: bytes) -> None:
    """Nothing leads out of the place where a backup is unpacked; a broken one is said to be."""
    endings = {0: ".tar", 1: ".tar.gz", 2: ".tar.zst"}
    if not data:
        return
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        path = Path(folder, f"backup{endings[data[0] % 3]}")
        path.write_bytes(data[1:])
        seen, unpacked = Digests(), 0

        def visit(name: str, source: IO[bytes], size: int) -> None:
            nonlocal unpacked
            parts = PurePosixPath(name).parts
            assert ".." not in parts
            assert not name.startswith("/")
            assert "\0" not in name
            assert Path(folder, "work", name).resolve().is_relative_to(Path(folder, "work"))
            seen.take(name, source)
            assert seen.found[name][0] <= size
            unpacked += seen.found[name][0]
            assert unpacked < _ROOM

        try:
            manifest = visit_files(path, visit)
            seen.problems(manifest)
        except RetaildError:
            pass
        assert {entry.name for entry in Path(folder).iterdir()} == {path.name}


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


# -- seeds -----------------------------------------------------------------------------------------


def _reading(number: int) -> External:
    return External(
        event_id=f"e{number}", event_time=_AT, source="tills", topic="visitors", subject="north",
        value=number,
    )  # fmt: skip


MESSAGES = (
    b'{"family":"activity","action":"view","customer_id":"1","product_id":"A"}',
    b'[{"family":"external","topic":"t","subject":"s","value":1.5,"event_time":"2024-03-01T10:00"}]',
    b'{"at":"2024-03-01T10:00:00+01:00","door":{"name":"north"},"n":3,"id":"x"}\n{"n":1}\n',
    b"2024-03-01 10:00,north,3\n0001-01-01T00:00+14:00,south,1e3\n",
    b"[" * 1500,
)
RECORDS = (
    b"family:external\ncodec:json\nrows:1\nrows_before:40\n\n"
    + _reading(1).model_dump_json(exclude_none=True).encode(),
    b"family:external\ncodec:arrow\nrows:2\nrows_before:40\n\n"
    + encode_table(to_table([_reading(1), _reading(2)])),
    b"family:external\ncodec\nrows\nrows_before\n\n{}",
    b"family:sale\ncodec:json\nrows:-1\nrows_before:99999999999999999999\n\n{}\n[]",
)
PAYLOADS = (
    b'{"time":"2024-03-01T10:00:00","count":{"in":3}}',
    (
        b'{"number":"R1","time":"2024-03-01T10:00:00Z","lines":[{"no":1,"article":"A",'
        b'"pieces":2,"price":2.50},{"no":2,"article":7,"pieces":-1,"price":"1"}]}'
    ),
    b'{"time":"0001-01-01T00:00:00","count":{"in":1e999}}',
)


def frames() -> tuple[bytes, ...]:
    letter = DeadLetter(
        event_id="d", event_time=_AT, source="tills", target="external", place="line 1",
        reason_key="x", reason="It is wrong.", raw=b"x",
    )  # fmt: skip
    table = to_table([_reading(1), _reading(2)])
    return tuple(
        _wire(SourceBatch("external", events, {"line": 2}, letters, 2, 4, "a.csv"))
        for events, letters in ((table, ()), (table.slice(0, 1), (letter,)))
    )


def _wire(batch: SourceBatch) -> bytes:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    try:
        write_batch(batch, 1).send(channel)
        return theirs.recv(1 << 20)
    finally:
        channel.close()
        theirs.close()


def archives() -> tuple[bytes, ...]:
    plain = _tar([("data/state.db", b"x" * 20), (NAME, b"{}")])
    wrong = _tar([("data/../../etc/passwd", b"x"), ("/etc/passwd", b"y")])
    import gzip

    import pyarrow as pa

    packed = pa.compress(plain, "zstd", asbytes=True)
    return (b"\0" + plain, b"\0" + wrong, b"\1" + gzip.compress(plain), b"\2" + packed)


def _tar(members: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()[: 512 * (2 * len(members) + 2)]
