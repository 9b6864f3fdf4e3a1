"""What every bus must do. Subclass `BusConformance`, give it a `bus_factory`, run pytest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from retaild.api import Bus, Entry, LogEntry
from retaild.api.bus import TrimmedError

#: Opens one more client of the same log (as another process would).
BusFactory = Callable[[], Bus]


def entry(text: str, rows: int = 1) -> Entry:
    """A JSON entry that says `text`."""
    return Entry("sale", "json", rows, f'{{"event_id":"{text}"}}'.encode())


def read_all(bus: Bus, offset: int = 0) -> list[LogEntry]:
    found: list[LogEntry] = []
    while batch := bus.read(offset):
        found += batch
        offset = batch[-1].offset + 1
    return found


class BusConformance:
    """Provide the fixture `bus_factory`."""

    @pytest.fixture
    def bus_factory(self) -> BusFactory:
        raise NotImplementedError

    @pytest.fixture
    def bus(self, bus_factory: BusFactory) -> Iterator[Bus]:
        bus = bus_factory()
        bus.open()
        yield bus
        bus.close()

    def test_a_new_log_is_empty(self, bus: Bus) -> None:
        assert bus.read(0) == []
        assert (bus.end().offset, bus.end().rows) == (0, 0)

    def test_entries_come_back_as_written_and_in_order(self, bus: Bus) -> None:
        written = [
            entry("a"),
            Entry("stock", "arrow", 7, bytes(range(256))),
            Entry("käse", "json", 2, b"{}\n{}"),
        ]
        bus.append(written)
        found = read_all(bus)
        assert [e.entry for e in found] == written
        assert [e.offset for e in found] == [0, 1, 2]
        assert [e.rows_before for e in found] == [0, 1, 8]

    def test_append_tells_the_new_end(self, bus: Bus) -> None:
        end = bus.append([entry("a", rows=3), entry("b", rows=4)])
        assert (end.offset, end.rows) == (2, 7)
        assert bus.end() == end

    def test_appending_nothing_changes_nothing(self, bus: Bus) -> None:
        bus.append([entry("a")])
        assert bus.append([]).offset == 1

    def test_reading_can_start_anywhere_and_stops_at_enough_rows(self, bus: Bus) -> None:
        bus.append([entry(str(i), rows=10) for i in range(100)])
        found = bus.read(40, max_rows=25)
        assert [e.offset for e in found] == [40, 41, 42]
        assert bus.read(100) == []

    def test_a_large_entry_is_read_though_it_exceeds_max_rows(self, bus: Bus) -> None:
        bus.append([Entry("sale", "json", 5000, b"x" * 12_000_000)])
        (found,) = bus.read(0, max_rows=1)
        assert len(found.entry.payload) == 12_000_000

    def test_another_client_sees_appends_and_appends_itself(self, bus_factory: BusFactory) -> None:
        ours, theirs = bus_factory(), bus_factory()
        ours.open()
        theirs.open()
        ours.append([entry("a")])
        theirs.append([entry("b")])
        ours.append([entry("c")])
        texts = [e.entry.payload for e in read_all(theirs)]
        assert texts == [entry(t).payload for t in "abc"]
        assert ours.end() == theirs.end()
        ours.close()
        theirs.close()

    def test_what_was_appended_is_there_after_reopening(self, bus_factory: BusFactory) -> None:
        bus = bus_factory()
        bus.open()
        bus.append([entry("a")])
        bus.close()
        bus = bus_factory()
        bus.open()
        assert [e.entry for e in read_all(bus)] == [entry("a")]
        assert bus.append([entry("b")]).offset == 2
        bus.close()

    def test_threads_append_side_by_side(self, bus: Bus) -> None:
        def append(name: int) -> None:
            for i in range(25):
                bus.append([entry(f"{name}-{i}")])

        threads = [threading.Thread(target=append, args=[name]) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = read_all(bus)
        assert [e.offset for e in found] == list(range(100))
        assert len({e.entry.payload for e in found}) == 100

    def test_trimmed_entries_are_refused_and_later_ones_stay(self, bus: Bus) -> None:
        for i in range(200):
            bus.append([Entry("sale", "json", 1, b"%d" % i + b" " * 2000)])
        bus.trim(150)
        assert [e.offset for e in read_all(bus, 150)] == list(range(150, 200))
        with pytest.raises(TrimmedError, match="is gone"):
            bus.read(0)

    def test_closing_twice_is_harmless(self, bus_factory: BusFactory) -> None:
        bus = bus_factory()
        bus.open()
        bus.close()
        bus.close()
