"""What every stream processor must do. Subclass `StreamConformance` and give it `open_stream`.

Rows are compared one by one, in silver and in the windows; a processor may take as many steps as it
likes. The expected values are worked out by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from retaild.api import Bus, Entry, Lake, StreamProcessor, StreamProgress
from retaild.events import Event, LineType, Sale, Stock
from retaild.events.codec import decode_table, encode_events, encode_table
from retaild.testing.memory_bus import MemoryBus

#: Opens the processor under test on a lake's directory.
OpenStream = Callable[[Path, Bus], StreamProcessor]

NINE = datetime(2011, 12, 5, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def sale(event_id: str, at: datetime = NINE, **fields: Any) -> Sale:
    """A line of receipt R1: one pen for 1.00."""
    own = {"receipt_id": "R1", "product_id": "PEN", "quantity": "1", "unit_price": "1.00"}
    common = {"event_id": event_id, "event_time": at, "source": "tills", "currency": "GBP"}
    return Sale.model_validate({**common, **own, **fields})


def entry(*events: Event, codec: str = "json") -> Entry:
    """The events as one entry of the log."""
    family, payload = events[0].family, encode_events(events)
    if codec == "arrow":
        return Entry(
            family, "arrow", len(events), encode_table(decode_table(family, "json", payload))
        )
    return Entry(family, "json", len(events), payload)


def carry(stream: StreamProcessor, bus: Bus) -> StreamProgress:
    """Step until the log is carried; figures of all steps together."""
    written = duplicates = 0
    while True:
        progress = stream.step()
        written, duplicates = written + progress.written, duplicates + progress.duplicates
        if progress.offset == bus.end().offset:
            return StreamProgress(progress.offset, progress.rows, written, duplicates)


def rows(lake: Lake, name: str, *columns: str) -> list[tuple[Any, ...]]:
    """Rows of a table as sorted tuples of the columns; none if it is not there."""
    if not lake.exists(name):
        return []
    table: pa.Table = lake.dataset(name).to_table(columns=list(columns))
    return sorted(zip(*(table[c].to_pylist() for c in columns), strict=True), key=repr)


def hours(lake: Lake) -> list[tuple[Any, ...]]:
    """(store, hour of 2011-12-05, receipts, lines, units, revenue) of the windows, as text."""
    found = rows(
        lake, "silver.sale_window_hour", "store", "window_start", "window_end", "receipts", "lines",
        "units", "revenue",
    )  # fmt: skip
    for _, start, end, *_ in found:
        assert end - start == HOUR
    midnight = NINE.replace(hour=0)
    return sorted(
        (store, (start - midnight) / HOUR, receipts, lines, f"{units}", f"{revenue}")
        for store, start, _, receipts, lines, units, revenue in found
    )


class StreamConformance:
    """Provide the fixture `open_stream`."""

    @pytest.fixture
    def open_stream(self) -> OpenStream:
        raise NotImplementedError

    @pytest.fixture
    def bus(self) -> Bus:
        """The log to read; give another where the processor cannot read this one."""
        return MemoryBus()

    @pytest.fixture
    def lake(self, tmp_path: Path) -> Lake:
        return Lake(tmp_path / "lake")

    @pytest.fixture
    def stream(self, open_stream: OpenStream, lake: Lake, bus: Bus) -> Iterator[StreamProcessor]:
        stream = open_stream(lake.root, bus)
        yield stream
        stream.close()

    # -- silver --------------------------------------------------------------------------------

    def test_an_empty_log_is_carried_at_once(self, stream: StreamProcessor, lake: Lake) -> None:
        assert stream.step() == StreamProgress(0, 0)
        assert lake.names() == [] or all(name.startswith("bronze.") for name in lake.names())

    @pytest.mark.parametrize("codec", ["json", "arrow"])
    def test_amounts_are_exact(
        self, stream: StreamProcessor, bus: Bus, lake: Lake, codec: str
    ) -> None:
        bus.append([
            entry(
                sale("a", quantity="3", unit_price="2.35", discount="0.10"),
                sale("b", quantity="3", unit_price="2.35", amount="7.00"),
                sale("c", quantity="-2", unit_price="1.125", line_type=LineType.RETURN),
                sale("d", quantity="0.333", unit_price="0.9999"),  # 0.3329667
                sale("e", quantity="0.5", unit_price="0.0001"),  # 0.00005, half up
                sale("f", quantity="80995", unit_price="2.08"),
                sale("g", quantity="1", unit_price="-11062.06", line_type=LineType.ADJUSTMENT),
                # 900000000123 x 90001234 = 81001110611070151782 in ten-millionths
                sale("h", quantity="900000000.123", unit_price="9000.1234"),
                codec=codec,
            )
        ])  # fmt: skip
        assert carry(stream, bus).written == 8
        expected = [
            ("a", "6.9500"), ("b", "7.0000"), ("c", "-2.2500"), ("d", "0.3330"), ("e", "0.0001"),
            ("f", "168469.6000"), ("g", "-11062.0600"),
            ("h", "8100111061107.0152"),
        ]  # fmt: skip
        found = [
            (key, str(amount)) for key, amount in rows(lake, "silver.sale", "event_id", "amount")
        ]
        assert found == expected

    def test_rows_say_where_they_come_from(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        bus.append([entry(sale("a"), sale("b")), entry(sale("c"), codec="arrow")])
        carry(stream, bus)
        expected = [("a", 0), ("b", 0), ("c", 1)]
        assert rows(lake, "bronze.sale", "event_id", "_offset") == expected
        assert rows(lake, "silver.sale", "event_id", "_offset") == expected
        appended = [entry.appended_at for entry in bus.read(0)]
        found = [at.timestamp() for (at,) in rows(lake, "silver.sale", "_appended_at")]
        assert found == pytest.approx([appended[0], appended[0], appended[1]], abs=1e-5)

    def test_bronze_keeps_what_was_accepted(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        bus.append([entry(sale("a")), entry(sale("a", amount="5.00"))])
        carry(stream, bus)
        columns = ("event_id", "amount", "_offset")
        assert rows(lake, "bronze.sale", *columns) == [("a", Decimal("5.0000"), 1), ("a", None, 0)]

    def test_other_families_arrive(self, stream: StreamProcessor, bus: Bus, lake: Lake) -> None:
        count = Stock(
            event_id="s", event_time=NINE, source="erp", product_id="PEN", on_hand=Decimal("2.5")
        )
        bus.append([entry(sale("a")), entry(count), entry(count)])
        assert carry(stream, bus) == StreamProgress(3, 3, 2, 1)
        found = rows(lake, "silver.stock", "event_id", "event_time", "store", "on_hand")
        assert found == [("s", NINE, "main", Decimal("2.500"))]

    # -- once ----------------------------------------------------------------------------------

    def test_repeats_are_left_out(self, stream: StreamProcessor, bus: Bus, lake: Lake) -> None:
        bus.append([entry(sale("a"), sale("a"), sale("b")), entry(sale("b"), sale("c"))])
        first = carry(stream, bus)
        bus.append([entry(sale("c"), sale("d"), codec="arrow")])
        second = carry(stream, bus)
        assert (first.written + second.written, first.duplicates + second.duplicates) == (4, 3)
        assert rows(lake, "silver.sale", "event_id") == [("a",), ("b",), ("c",), ("d",)]
        assert len(rows(lake, "bronze.sale", "event_id")) == 7

    def test_the_first_of_the_repeats_counts(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        bus.append([entry(sale("a", quantity="1"), sale("a", quantity="2"))])
        carry(stream, bus)
        bus.append([entry(sale("a", NINE + HOUR, quantity="3"))])
        carry(stream, bus)
        assert rows(lake, "silver.sale", "quantity") == [(Decimal("1.000"),)]
        assert hours(lake) == [("main", 9, 1, 1, "1.000", "1.0000")]

    def test_repeats_are_known_after_a_restart(
        self, open_stream: OpenStream, bus: Bus, lake: Lake
    ) -> None:
        bus.append([entry(sale("a"), sale("b"))])
        for _ in range(3):
            stream = open_stream(lake.root, bus)
            carry(stream, bus)
            stream.close()
            bus.append([entry(sale("a"), sale("b"), sale("c"))])
        assert rows(lake, "silver.sale", "event_id") == [("a",), ("b",), ("c",)]
        assert hours(lake) == [("main", 9, 1, 3, "3.000", "3.0000")]

    def test_it_goes_on_where_it_was(self, open_stream: OpenStream, bus: Bus, lake: Lake) -> None:
        bus.append([entry(sale("a")), entry(sale("b"), sale("c"))])
        stream = open_stream(lake.root, bus)
        assert carry(stream, bus) == StreamProgress(2, 3, 3, 0)
        stream.close()
        bus.append([entry(sale("d"))])
        stream = open_stream(lake.root, bus)
        assert carry(stream, bus) == StreamProgress(3, 4, 1, 0)
        stream.close()
        assert rows(lake, "bronze.sale", "event_id") == [("a",), ("b",), ("c",), ("d",)]

    # -- windows -------------------------------------------------------------------------------

    def test_windows_are_per_store_and_hour(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        last = NINE + HOUR - timedelta(microseconds=1)
        bus.append([
            entry(
                sale("a", NINE, receipt_id="R1", quantity="2", unit_price="1.50"),
                sale("b", NINE, receipt_id="R1", quantity="1", unit_price="4.00"),
                sale("c", last, receipt_id="R2", quantity="1.5", unit_price="2.00"),
                sale("d", NINE + HOUR, receipt_id="R3"),
                sale("e", NINE, receipt_id="R1", store="north"),
            )
        ])  # fmt: skip
        carry(stream, bus)
        assert hours(lake) == [
            ("main", 9, 2, 3, "4.500", "10.0000"),
            ("main", 10, 1, 1, "1.000", "1.0000"),
            ("north", 9, 1, 1, "1.000", "1.0000"),
        ]

    def test_windows_count_goods_less_returns(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        bus.append([
            entry(
                sale("a", quantity="5", unit_price="2.00"),
                sale("b", receipt_id="C2", quantity="-2", unit_price="2", line_type="return"),
                sale("c", product_id="POST", unit_price="18", line_type="service"),
                sale("d", quantity="-9", unit_price="0", line_type="adjustment"),
            )
        ])  # fmt: skip
        carry(stream, bus)
        assert hours(lake) == [("main", 9, 2, 2, "3.000", "6.0000")]

    def test_late_events_correct_their_windows(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        """In the same batch, in a later one, and days behind the newest."""
        bus.append([entry(sale("a", NINE + 2 * HOUR), sale("b", NINE), sale("c", NINE + HOUR))])
        carry(stream, bus)
        bus.append([entry(sale("d", NINE, receipt_id="R2"))])
        carry(stream, bus)
        bus.append([entry(sale("e", NINE + timedelta(days=40)))])
        carry(stream, bus)
        bus.append([entry(sale("f", NINE + HOUR), sale("g", NINE, quantity="3"))])
        carry(stream, bus)
        assert hours(lake) == [
            ("main", 9, 2, 3, "5.000", "5.0000"),
            ("main", 10, 1, 2, "2.000", "2.0000"),
            ("main", 11, 1, 1, "1.000", "1.0000"),
            ("main", 9 + 40 * 24, 1, 1, "1.000", "1.0000"),
        ]

    def test_late_events_after_a_restart(
        self, open_stream: OpenStream, bus: Bus, lake: Lake
    ) -> None:
        batches = [
            [sale("a", NINE), sale("b", NINE + timedelta(days=3))],
            [sale("c", NINE), sale("d", NINE + timedelta(days=3), receipt_id="R9")],
            [sale("e", NINE - timedelta(days=1))],
        ]
        for batch in batches:
            bus.append([entry(*batch)])
            stream = open_stream(lake.root, bus)
            carry(stream, bus)
            stream.close()
        assert hours(lake) == [
            ("main", 9 - 24, 1, 1, "1.000", "1.0000"),
            ("main", 9, 1, 2, "2.000", "2.0000"),
            ("main", 9 + 72, 2, 2, "2.000", "2.0000"),
        ]

    def test_a_clock_far_ahead_does_not_spoil_the_others(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        bus.append([entry(sale("a", datetime(2099, 1, 1, tzinfo=UTC)))])
        carry(stream, bus)
        for name in ("b", "c"):
            bus.append([entry(sale(name, NINE, receipt_id=name))])
            carry(stream, bus)
        assert hours(lake)[0] == ("main", 9, 2, 2, "2.000", "2.0000")

    # -- what cannot be used -------------------------------------------------------------------

    def test_unreadable_entries_go_to_the_dead_letters(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        bus.append([
            entry(sale("a")),
            Entry("sale", "json", 1, b'{"event_id": '),
            Entry("sale", "json", 1, b"[1, 2]"),
            Entry("sale", "arrow", 5, b"\xff\x00nothing of the kind"),
            Entry("sale", "json", 1, b'{"event_id": "x", "quantity": "many"}'),
            Entry("weather", "json", 1, b'{"rain": true}'),
            entry(sale("b")),
        ])  # fmt: skip
        assert carry(stream, bus).offset == 7
        assert rows(lake, "silver.sale", "event_id") == [("a",), ("b",)]
        found = rows(lake, "silver.dead_letter", "_offset", "target", "reason_key", "raw")
        assert found == [
            (1, "sale", "stream.unreadable", b'{"event_id": '),
            (2, "sale", "stream.unreadable", b"[1, 2]"),
            (3, "sale", "stream.unreadable", b"\xff\x00nothing of the kind"),
            (4, "sale", "stream.unreadable", b'{"event_id": "x", "quantity": "many"}'),
            (5, "weather", "event.unknown_family", b'{"rain": true}'),
        ]
        assert rows(lake, "bronze.dead_letter", "event_id") == rows(
            lake, "silver.dead_letter", "event_id"
        )

    def test_events_that_lack_something_go_to_the_dead_letters(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        whole = sale("a").model_dump_json(exclude_none=True)
        broken = sale("b").model_dump_json(exclude_none=True).replace('"product_id":"PEN",', "")
        bus.append([Entry("sale", "json", 2, f"{whole}\n{broken}".encode())])
        carry(stream, bus)
        assert rows(lake, "silver.sale", "event_id") == [("a",)]
        assert rows(lake, "bronze.sale", "event_id") == [("a",)]
        ((key, reason, raw),) = rows(lake, "silver.dead_letter", "reason_key", "reason", "raw")
        assert key == "event.incomplete"
        assert "product_id" in reason
        assert b'"event_id": "b"' in raw

    def test_an_amount_that_does_not_fit_goes_to_the_dead_letters(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        huge = sale("b", quantity="900000000000000", unit_price="90000000000000")
        bus.append([entry(sale("a"), huge, sale("c"))])
        carry(stream, bus)
        assert rows(lake, "silver.sale", "event_id") == [("a",), ("c",)]
        assert len(rows(lake, "bronze.sale", "event_id")) == 3
        assert rows(lake, "silver.dead_letter", "reason_key") == [("stream.not_computable",)]
        assert hours(lake) == [("main", 9, 1, 2, "2.000", "2.0000")]

    def test_dead_letters_of_the_doors_arrive_once(
        self, stream: StreamProcessor, bus: Bus, lake: Lake
    ) -> None:
        from retaild.events import DeadLetter

        letter = DeadLetter(
            event_id="d", event_time=NINE, source="tills", target="sale", format="csv",
            place="tills.csv row 17", reason_key="row.date", reason="There is no 31st of June.",
            raw=b"\xe4;31.06.",
        )  # fmt: skip
        bus.append([entry(letter), entry(letter), Entry("sale", "json", 1, b"{")])
        carry(stream, bus)
        found = rows(lake, "silver.dead_letter", "place", "raw")
        assert found == [("log entry 2", b"{"), ("tills.csv row 17", b"\xe4;31.06.")]
