"""What the ingest worker takes from the sources' processes, and what it refuses of whom."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from retaild.api import Entry, LogEnd
from retaild.api.source import SourceBatch
from retaild.events import DeadLetter, arrow_schema
from retaild.events.codec import decode_table
from retaild.runtime import ingest_hub
from retaild.runtime.component import channel
from retaild.runtime.component.channel import Channel, LostError, connect
from retaild.runtime.ingest_frames import SOCKET, BatchFrame, write_batch
from retaild.runtime.ingest_hub import Hub
from retaild.runtime.ingest_link import Link, RefusedError, linked
from retaild.testing.memory_bus import MemoryBus

from .ingest_processes import eventually
from .ingest_shop import Shop

CARD = "4111 1111 1111 1111"


def stock(count: int, first: int = 0, source: str = "tills", **fields: Any) -> pa.Table:
    rows = [
        {"event_id": f"e{n}", "event_time": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
         "source": source, "store": "m", "product_id": "p", "on_hand": 1, **fields}
        for n in range(first, first + count)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=arrow_schema("stock"))


def batch(count: int = 3, first: int = 0, **changes: Any) -> SourceBatch:
    made = SourceBatch("stock", stock(count, first), {"at": first + count}, label="counts.csv")
    return replace(made, **changes)


class SlowBus(MemoryBus):
    """Appends that wait for `open`; how many events of each source came, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None

    def append(self, entries: Any) -> LogEnd:
        self.gate.wait(30)
        if self.fault is not None:
            raise self.fault
        return super().append(entries)


@dataclass
class Door:
    """A hub that runs in a thread."""

    shop: Shop
    bus: SlowBus
    hub: Hub

    @contextmanager
    def source(self, name: str = "tills", read_ahead: int = 0) -> Iterator[Link]:
        with linked(self.shop.data_dir, name, read_ahead, lambda: False, 5) as link:
            yield link

    def entries(self) -> list[Entry]:
        return [found.entry for found in self.bus.read(0, 10**9)]

    def events(self, family: str = "stock") -> list[dict[str, Any]]:
        return [
            row
            for entry in self.entries()
            if entry.family == family
            for row in decode_table(entry.family, entry.codec, entry.payload).to_pylist()
        ]

    def position(self, name: str = "tills") -> Any:
        return self.hub.context.state.source_position(name)

    def error(self, name: str = "tills") -> str:
        rows = {row["instance"]: row["last_error"] for row in self.hub.context.state.sources()}
        return rows.get(name) or ""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    shop = Shop(tmp_path)
    shop.inbox.mkdir()
    shop.configure()
    extra = '\n[source.shelf]\nplugin = "tabular"\npath = "in"\n'
    with (tmp_path / "retaild.toml").open("a") as file:
        file.write(extra)
    context, bus = shop.worker(), SlowBus()
    hub = Hub(context, bus)
    thread = threading.Thread(target=hub.run)
    thread.start()
    eventually((context.data.run / SOCKET).exists)
    yield Door(shop, bus, hub)
    context.stop.set()
    bus.gate.set()
    thread.join(10)
    assert not thread.is_alive()


def never() -> None:
    """A source that waits for nothing in particular."""


def answers(link: Link, count: int) -> list[Any]:
    """The next `count` positions that are durable."""
    found: list[Any] = []
    until = time.monotonic() + 10
    while len(found) < count:
        assert time.monotonic() < until
        found += [position for position, _ in link.answers(0.2)]
    return found


def refusal(link: Link) -> str:
    with pytest.raises(RefusedError) as raised:
        answers(link, 1)
    return str(raised.value)


def test_a_batch_is_durable_when_it_is_acknowledged(door: Door) -> None:
    with door.source() as link:
        assert (link.position, link.credit) == (None, 1)
        link.send(batch(), never)
        assert answers(link, 1) == [{"at": 3}]
    assert [event["event_id"] for event in door.events()] == ["e0", "e1", "e2"]
    with door.source() as link:
        assert link.position == {"at": 3}


@pytest.mark.parametrize("rows", [0, 1, 1_000, 20_000])
def test_what_arrives_is_what_was_sent(door: Door, rows: int) -> None:
    letter = DeadLetter(event_id="d", event_time=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
                        source="tills", target="stock", place="counts.csv row 9", reason_key="x",
                        reason="No.", raw=b"\x00\xff", format="csv")  # fmt: skip
    sent = batch(rows, dead_letters=(letter,), rows=np.arange(rows), done=rows + 1, total=rows + 1)
    with door.source() as link:
        link.send(sent, never)
        answers(link, 1)
    assert len(door.events()) == rows
    assert [DeadLetter.model_validate(row) for row in door.events("dead_letter")] == [letter]
    (peer_stat,) = door.hub.context.state.sources()
    assert (peer_stat["accepted"], peer_stat["dead"]) == (rows, 1)


def test_the_socket_is_its_owner_s_alone(door: Door) -> None:
    assert (door.shop.data / "run" / SOCKET).stat().st_mode & 0o777 == 0o600


def test_card_numbers_are_taken_out_of_what_a_source_sends(door: Door) -> None:
    events = pa.concat_tables([stock(2), stock(1, 2, product_id=CARD)])
    letter = DeadLetter(event_id="d", event_time=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
                        source="tills", target="stock", place="x", reason_key="x",
                        reason="No.", raw=CARD.encode())  # fmt: skip
    with door.source() as link:
        link.send(batch(events=events, dead_letters=(letter,), label=CARD), never)
        answers(link, 1)
    assert len(door.events()) == 2
    assert len(door.events("dead_letter")) == 2
    digits = b"4111 1111 1111 1111"
    assert not any(digits in str(row).encode() for row in door.events("dead_letter"))
    assert CARD not in str([peer.doing for peer in door.hub.peers])


def test_metadata_of_a_stranger_does_not_reach_the_log(door: Door) -> None:
    events = stock(1).replace_schema_metadata({"card": CARD})
    with door.source() as link:
        link.send(batch(events=events), never)
        answers(link, 1)
    (entry,) = door.entries()
    table = pa.ipc.open_stream(entry.payload).read_all()
    assert table.schema.metadata is None


WRONG: dict[str, tuple[Callable[[], SourceBatch], str]] = {
    "another source's name": (lambda: batch(events=stock(3, source="shelf")), "another source"),
    "an empty id": (lambda: batch(events=_with(stock(2), "event_id", ["a", ""])), "have no id"),
    "an id too long": (lambda: batch(events=_with(stock(1), "event_id", ["a" * 201])), "event_id"),
    "a text too long": (
        lambda: batch(events=_with(stock(1), "product_id", ["a" * 2001])), "product_id",
    ),
    "a value missing": (
        lambda: batch(events=_with(stock(1), "product_id", [None])), "product_id has no value",
    ),
    "a column missing": (lambda: batch(events=stock(1).drop_columns(["on_hand"])), "on_hand"),
    "another type": (
        lambda: batch(events=stock(1).set_column(5, "on_hand", pa.array([1.0]))), "on_hand",
    ),
    "a family that is none": (lambda: batch(family="stocks"), "no event family 'stocks'"),
    "dead letters as events": (
        lambda: SourceBatch("dead_letter", arrow_schema("dead_letter").empty_table(), {}),
        "no event family 'dead_letter'",
    ),
    "a position that is none": (lambda: batch(position=[1]), "position is not a JSON object"),
    "a position that grows": (lambda: batch(position={"x": "y" * 300_000}), "position is 300,"),
    "row numbers of others": (lambda: batch(rows=np.arange(7)), "row numbers"),
    "a dead letter of others": (
        lambda: batch(dead_letters=(DeadLetter(
            event_id="d", event_time=dt.datetime(2024, 1, 1, tzinfo=dt.UTC), source="shelf",
            target="stock", place="x", reason_key="x", reason="No.", raw=b""),)),
        "another source",
    ),
}  # fmt: skip


def _with(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    field = pa.field(name, table.schema.field(name).type, table.schema.field(name).nullable)
    return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_batch_touches_nothing(door: Door, what: str, monkeypatch: Any) -> None:
    make, said = WRONG[what]
    # A stranger's process sends what ours would not.
    monkeypatch.setattr("retaild.runtime.ingest_frames.MAX_POSITION", 10**9)
    with door.source() as link:
        link.send(batch(), never)
        answers(link, 1)
        frame = write_batch(make(), 2)
        monkeypatch.undo()
        frame.send(link.channel, never)
        frame.close()
        assert said in refusal(link)
    assert (len(door.events()), door.position()) == (3, {"at": 3})
    assert said in door.error()


def test_too_large_a_position_is_refused_before_it_is_sent(door: Door) -> None:
    with door.source() as link, pytest.raises(Exception, match="position is 300,"):
        link.send(batch(position={"x": "y" * 300_000}), never)


@dataclass
class Raw:
    """A stranger that speaks for itself."""

    channel: Channel

    @classmethod
    @contextmanager
    def connected(cls, door: Door, **hello: Any) -> Iterator[Raw]:
        raw = cls(Channel(connect(door.shop.data / "run", SOCKET)))
        said = {"kind": "hello", "protocol": channel.PROTOCOL, "instance": "tills",
                "pid": os.getpid(), "read_ahead": 0, **hello}  # fmt: skip
        raw.channel.send(said)
        try:
            yield raw
        finally:
            raw.channel.close()

    def hears(self) -> dict[str, Any]:
        frames: list[Any] = []
        while not frames:
            assert self.channel.wait(10)
            frames = self.channel.receive()
        assert len(frames) == 1
        head: dict[str, Any] = frames[0].head
        return head

    def is_cut_off(self) -> bool:
        try:
            while self.channel.wait(10):
                self.channel.receive()
        except LostError:
            return True
        return False


@pytest.mark.parametrize(
    ("rubbish", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "begins with other signs"),
        (channel._HEADER.pack(b"rtl1", 0, 2**31, 0), "too long"),
        (channel._HEADER.pack(b"rtl1", 0, 2, 2**31), "too long"),
        (channel._HEADER.pack(b"rtl1", 1, 2, 100) + b"{}", "descriptor is missing"),
        (channel._HEADER.pack(b"rtl1", 0, 2, 0) + b"[]", "not a JSON object"),
        (channel._HEADER.pack(b"rtl1", 0, 9000, 0) + b"[" * 9000, "not JSON"),
        (channel._HEADER.pack(b"rtl1", 0, 15, 0) + b'{"kind":"ack" }', "a frame of kind 'ack'"),
    ],
)
def test_rubbish_cuts_its_sender_off_and_nobody_else(door: Door, rubbish: bytes, said: str) -> None:
    with door.source("shelf") as other, Raw.connected(door) as raw:
        assert raw.hears()["kind"] == "welcome"
        raw.channel.connection.send(rubbish)
        assert said in raw.hears()["message"]
        assert raw.is_cut_off()
        other.send(batch(events=stock(2, source="shelf")), never)
        answers(other, 1)
    assert said in door.error()
    assert len(door.events()) == 2


def _frame(**changes: Any) -> BatchFrame:
    made = write_batch(batch(), 1)
    return BatchFrame({**made.head, **changes}, made.body)


@pytest.mark.parametrize(
    "frame",
    [
        _frame(ends=[10, 5, 7]), _frame(ends=[0, 0]), _frame(ends=None), _frame(done=-1),
        _frame(total="x"), _frame(label=7), _frame(number="x"), _frame(position=None),
        BatchFrame(_frame().head, b"\xff" * len(_frame().body)),
        BatchFrame(_frame().head, _frame().body[:-40] + b"\xff" * 40),
    ],
)  # fmt: skip
def test_heads_and_bodies_of_a_stranger_s_making(door: Door, frame: BatchFrame) -> None:
    with Raw.connected(door) as raw:
        raw.hears()
        frame.send(raw.channel, never)
        assert raw.hears()["kind"] == "error"
    assert door.events() == []
    assert door.position() is None


def test_any_damage_to_a_body_is_found_or_harmless(door: Door) -> None:
    made = write_batch(batch(50), 1)
    generator = np.random.default_rng(4)
    for _ in range(150):
        body = bytearray(made.body)
        for place in generator.integers(0, len(body), 3):
            body[place] = generator.integers(0, 256)
        with Raw.connected(door) as raw:
            raw.hears()
            BatchFrame(made.head, bytes(body)).send(raw.channel, never)
            assert raw.hears()["kind"] in ("ack", "error")
    with door.source() as link:
        link.send(batch(1, 100), never)
        assert answers(link, 1) == [{"at": 101}]


def test_shared_memory_that_may_still_change_is_refused(door: Door) -> None:
    descriptor = channel.shared_memory()
    os.write(descriptor, b"x" * 100)
    with Raw.connected(door) as raw:
        raw.hears()
        raw.channel.send({"kind": "batch", "number": 1, "family": "stock"}, b"", descriptor)
        assert "not sealed" in raw.hears()["message"]
    os.close(descriptor)


def test_a_descriptor_that_is_no_memory_is_refused(door: Door) -> None:
    with (door.shop.root / "retaild.toml").open() as file, Raw.connected(door) as raw:
        raw.hears()
        raw.channel.send({"kind": "batch", "number": 1, "family": "stock"}, b"", file.fileno())
        assert "no shared memory" in raw.hears()["message"]


def test_compressed_batches_are_refused(door: Door) -> None:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, arrow_schema("stock"), options=options) as writer:
        writer.write_table(stock(1000))
    body = sink.getvalue().to_pybytes()
    with Raw.connected(door) as raw:
        raw.hears()
        _frame(ends=[len(body)] * 3)
        BatchFrame({**_frame().head, "ends": [len(body)] * 3}, body).send(raw.channel, never)
        assert "compressed" in raw.hears()["message"]


def test_a_source_that_sends_more_than_its_credit_is_cut_off(door: Door) -> None:
    door.bus.gate.clear()
    with Raw.connected(door, read_ahead=1) as raw:
        assert raw.hears()["credit"] == 2
        for number in range(4):
            write_batch(batch(1, number), number).send(raw.channel, never)
        door.bus.gate.set()
        assert raw.is_cut_off()
    eventually(lambda: "more than 2 batches" in door.error())
    assert len(door.events()) <= 3


@pytest.mark.parametrize(
    "hello",
    [{"protocol": 99}, {"instance": "nobody"}, {"instance": None}, {"pid": 1}, {"read_ahead": "9"}],
)
def test_who_does_not_say_who_it_is_gets_nothing(door: Door, hello: dict[str, Any]) -> None:
    with Raw.connected(door, **hello) as raw:
        assert raw.hears()["kind"] == "error"
        assert raw.is_cut_off()


def test_a_source_cannot_pass_for_another_whose_process_lives(door: Door) -> None:
    state = door.hub.context.state
    state.save_worker("source.tills", kind="source", pid=os.getppid(), state="running")
    with pytest.raises(RefusedError, match="is process"), door.source():
        pass
    state.save_worker("source.tills", pid=os.getpid())
    with door.source() as link:
        assert link.credit == 1


def test_a_second_connection_takes_the_place_of_the_first(door: Door) -> None:
    door.bus.gate.clear()
    with door.source("shelf") as blocker, door.source() as old:
        blocker.send(batch(events=stock(1, source="shelf")), never)
        time.sleep(0.3)  # the hub now waits for the disk
        old.send(batch(), never)
        new_door = door.source()
        opened: list[Link] = []
        connecting = threading.Thread(target=lambda: opened.append(new_door.__enter__()))
        connecting.start()
        time.sleep(0.3)
        door.bus.gate.set()
        connecting.join(10)
        (new,) = opened
        # The old one's batch may be in the log by now or not; the new one is told which.
        assert new.position == door.position()
        first = 3 if new.position else 0
        new.send(batch(3, first), never)
        answers(new, 1)
        assert Raw(old.channel).is_cut_off()
        new_door.__exit__(None, None, None)
    ids = [event["event_id"] for event in door.events() if event["source"] == "tills"]
    assert len(ids) == len(set(ids))
    assert {"e0", "e1", "e2"} <= set(ids) or first == 3


def test_a_flood_does_not_starve_the_other_source(door: Door) -> None:
    """Of two that always have something to send, none gets more than a turn before the other."""
    order: list[str] = []
    append = MemoryBus.append

    def noted(entries: Any) -> LogEnd:
        order.extend(decode_table(e.family, e.codec, e.payload)["source"][0].as_py()
                     for e in entries)  # fmt: skip
        return append(door.bus, entries)

    door.bus.append = noted  # type: ignore[method-assign]
    done = threading.Event()

    def flood() -> None:
        with door.source("shelf", read_ahead=8) as link:
            number = 0
            while not done.is_set():
                while link.credit:
                    link.send(batch(2000, number, events=stock(2000, number, "shelf")), never)
                    number += 2000
                list(link.answers(0.1))

    flooding = threading.Thread(target=flood)
    flooding.start()
    eventually(lambda: order.count("shelf") > 5)
    with door.source() as link:
        for number in range(10):
            since = order.count("shelf")
            link.send(batch(1, number), never)
            answers(link, 1)
            assert order.count("shelf") - since <= 4
    done.set()
    flooding.join(10)


def test_a_full_disk_loses_nothing_and_says_so(door: Door) -> None:
    door.bus.fault = OSError(28, "No space left on device")
    with door.source(read_ahead=1) as link:
        link.send(batch(), never)
        link.send(batch(2, 3), never)
        eventually(lambda: "No space left" in str([peer.doing for peer in door.hub.peers]))
        assert list(link.answers(0.2)) == []
        assert "No space left" in link.notice
        door.bus.fault = None
        assert answers(link, 2) == [{"at": 3}, {"at": 5}]
    assert [event["event_id"] for event in door.events()] == ["e0", "e1", "e2", "e3", "e4"]


def test_rows_whose_position_was_not_saved_come_again_with_the_same_ids(
    door: Door, monkeypatch: Any
) -> None:
    """They are in the log by then: silver's ids decide, not the door."""
    save, failures = ingest_hub.record, [sqlite3.OperationalError("disk I/O error")]

    def fails_once(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        save(*arguments)

    monkeypatch.setattr(ingest_hub, "record", fails_once)
    with door.source() as link:
        link.send(batch(), never)
        assert answers(link, 1) == [{"at": 3}]
    ids = [event["event_id"] for event in door.events()]
    assert ids == ["e0", "e1", "e2"] * 2
    assert door.position() == {"at": 3}


def test_sources_wait_while_too_much_waits_for_the_lake(door: Door) -> None:
    door.hub._backlog._limit = 2
    with door.source() as link:
        link.send(batch(), never)
        answers(link, 1)
        link.send(batch(1, 3), never)
        eventually(lambda: list(link.answers(0.1)) or link.notice)
        assert link.notice == "waiting for the lake"
        door.hub._backlog._limit = 100
        answers(link, 1)


def test_a_source_that_never_reads_is_given_up(door: Door) -> None:
    with door.source(read_ahead=8) as link:
        for number in range(200_000):
            try:
                write_batch(batch(0, position={}), number).send(link.channel, never)
            except LostError:
                break
            if number % 8 == 7:
                time.sleep(0.001)
        else:
            pytest.fail("it was heard out for ever")


def test_one_that_says_nothing_is_forgotten(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr("retaild.runtime.ingest_hub.HELLO_SECONDS", 0.2)
    silent = Channel(connect(door.shop.data / "run", SOCKET))
    eventually(lambda: len(door.hub.peers) == 1)
    eventually(lambda: len(door.hub.peers) == 0)
    silent.close()
