"""Jobs gold, compact, trim and quality, on a lake that the stream processor filled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

from retaild.api import BuildContext, Entry, Lake
from retaild.api.bus import TrimmedError
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.events import Stock
from retaild.host.registry import PluginRegistry
from retaild.runtime.context import JobContext
from retaild.runtime.jobs import compact, gold, quality, trim
from retaild.runtime.jobs.gold import NoSilverError
from retaild.runtime.state import State
from retaild.testing.memory_bus import MemoryBus
from retaild.testing.stream import NINE, carry, entry, hours, rows, sale

NewContext = Callable[..., JobContext]
#: The shop's clock of these tests: the evening of the day of NINE.
EVENING = NINE + timedelta(hours=10)


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def context(data: DataDir, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> NewContext:
    monkeypatch.setattr(JobContext, "bus", lambda _self: bus)

    def make(**lake: int) -> JobContext:
        offset = EVENING.timestamp() - time.time()
        settings = Settings.model_validate(
            {"lake": lake, "retaild": {"clock_offset_seconds": offset}}
        )
        state, plugins = State(data.state_db), PluginRegistry.load()
        return JobContext("job", settings, data, plugins, state, threading.Event())

    return make


def fill(data: DataDir, bus: MemoryBus, *entries: Entry) -> None:
    bus.append(entries)
    stream = EmbeddedProcessor(
        EmbeddedStreamConfig(), BuildContext("stream", data.root / "stream", data.lake)
    )
    stream.open(bus)
    carry(stream, bus)
    stream.close()


def lake_of(data: DataDir) -> Lake:
    return Lake(data.lake)


# -- gold and compact --------------------------------------------------------------------------


def test_gold_needs_events(context: NewContext) -> None:
    with pytest.raises(NoSilverError):
        gold.run(context())


def test_gold_builds_all_tables(data: DataDir, bus: MemoryBus, context: NewContext) -> None:
    fill(data, bus, entry(sale("a", customer_id="C1"), sale("b")))
    result = gold.run(context())
    figures = {table["table"]: table for table in result["tables"]}
    assert len(figures) == 8
    assert figures["gold.product_day"]["rows"] == 1
    assert figures["gold.product_day"]["reads"] == {
        "silver.sale": lake_of(data).version("silver.sale")
    }
    assert rows(lake_of(data), "gold.customer", "customer_id", "lines") == [("C1", 1)]


def test_compact_joins_files_and_keeps_the_offset(
    data: DataDir, bus: MemoryBus, context: NewContext
) -> None:
    for name in "abc":
        fill(data, bus, entry(sale(name)))
    result = compact.run(context(vacuum_hours=1))
    assert result["tables"]["silver.sale"]["files_removed"] == 3
    fill(data, bus, entry(sale("c"), sale("d")))
    lake = lake_of(data)
    assert rows(lake, "silver.sale", "event_id") == [("a",), ("b",), ("c",), ("d",)]
    assert len(rows(lake, "bronze.sale", "event_id")) == 5
    assert hours(lake) == [("main", 9, 1, 4, "4.000", "4.0000")]


# -- trim --------------------------------------------------------------------------------------


class TrimmedBus(MemoryBus):
    """Trims to the entry, where a real log trims to the segment."""

    first = 0

    def trim(self, offset: int) -> None:
        self.first = offset

    def read(self, offset: int, max_rows: int = 65_536) -> list[Any]:
        if offset < self.first:
            raise TrimmedError(offset, self.first)
        return super().read(offset, max_rows)


def aged(bus: MemoryBus, *ages_in_hours: float) -> None:
    """Make the entries as old as that."""
    from dataclasses import replace

    now = time.time()
    bus.entries = [
        replace(found, appended_at=now - age * 3600)
        for found, age in zip(bus.entries, ages_in_hours, strict=True)
    ]


@pytest.mark.parametrize(
    ("base", "ages", "expected"),
    [
        (4, (30, 28, 26, 2), 3),  # the newest is too young
        (2, (30, 28, 26, 25), 2),  # the server would begin to read at 2
        (None, (30, 28, 26, 25), 0),  # there is no base yet
        (9, (30, 28, 26, 25), 4),  # nothing that the lake does not have
        (4, (3, 2, 1, 0), 0),
    ],
)
def test_the_log_keeps_what_lake_or_server_may_need(
    data: DataDir, context: NewContext, monkeypatch: pytest.MonkeyPatch,
    base: int | None, ages: tuple[float, ...], expected: int,
) -> None:  # fmt: skip
    bus = TrimmedBus()
    monkeypatch.setattr(JobContext, "bus", lambda _self: bus)
    fill(data, bus, *(entry(sale(name)) for name in "abcd"))
    bus.append([entry(sale("e"))])  # not carried yet
    aged(bus, *ages, ages[-1])
    if base is not None:
        for offset in (0, base):
            (data.online / f"base-{offset:020d}").mkdir(parents=True)
    (data.online / ".base-00000000000000000099.work").mkdir(parents=True)
    assert trim.run(context(log_hours=24))["log_offset"] == expected
    assert bus.first == expected
    assert trim.run(context(log_hours=24))["log_offset"] == expected


def test_old_rows_go_when_retention_says_so(
    data: DataDir, bus: MemoryBus, context: NewContext
) -> None:
    """By the shop's clock: ten days before its evening."""
    edge = EVENING - timedelta(days=10)
    fill(
        data, bus,
        entry(sale("old", edge - timedelta(minutes=1)), sale("kept", edge + timedelta(minutes=1))),
        Entry("sale", "json", 1, b"{"),
    )  # fmt: skip
    everything = trim.run(context())
    assert everything["rows_removed"] == {}
    result = trim.run(context(silver_days=10))
    assert result["rows_removed"] == {"silver.sale": 1, "silver.sale_window_hour": 1}
    lake = lake_of(data)
    assert rows(lake, "silver.sale", "event_id") == [("kept",)]
    assert len(rows(lake, "bronze.sale", "event_id")) == 2
    assert trim.run(context(bronze_days=10))["rows_removed"]["bronze.sale"] == 1


def test_the_stream_goes_on_after_rows_were_removed(
    data: DataDir, bus: MemoryBus, context: NewContext
) -> None:
    fill(data, bus, entry(sale("old", NINE - timedelta(days=40)), sale("a")))
    trim.run(context(silver_days=10, bronze_days=10))
    fill(data, bus, entry(sale("a"), sale("b")))
    assert rows(lake_of(data), "silver.sale", "event_id") == [("a",), ("b",)]


# -- quality -----------------------------------------------------------------------------------


def checked(context: JobContext) -> dict[tuple[str, str], tuple[bool, float | None]]:
    quality.run(context)
    return {
        (row["table_name"], row["check_name"]): (bool(row["passed"]), row["value"])
        for row in context.state.quality()
    }


def test_sound_data_passes(data: DataDir, bus: MemoryBus, context: NewContext) -> None:
    fill(data, bus, entry(*(sale(f"e{n}", customer_id="C1", description="pen") for n in range(9))))
    found = checked(context())
    assert all(passed for passed, _ in found.values()), found
    assert found["silver.sale", "fresh"] == (True, pytest.approx(10, abs=0.1))
    assert found["silver.sale", "counted once"] == (True, 0)


def test_what_is_wrong_is_found(data: DataDir, bus: MemoryBus, context: NewContext) -> None:
    lines = [sale(f"e{n}", unit_price="1.00") for n in range(19)]
    lines.append(sale("wild", unit_price="30.00"))
    lines.append(sale("future", EVENING + timedelta(days=2)))
    counts = [
        Stock(event_id=str(n), event_time=NINE + timedelta(hours=n), source="erp",
              product_id=product, on_hand=on_hand)
        for n, (product, on_hand) in enumerate([("PEN", 5), ("PEN", -2), ("INK", -1), ("INK", 3)])
    ]  # fmt: skip
    fill(data, bus, entry(*lines), entry(*counts), entry(*lines[:7]))
    found = checked(context())
    assert found["silver.sale", "in the future"] == (False, 1)
    passed, share = found["silver.sale", "plausible prices"]
    assert not passed
    assert share == pytest.approx(1 / 21)
    assert found["silver.sale", "known customers"] == (False, 1.0)
    assert found["silver.sale", "sent again"] == (True, 7 / 28)
    assert found["silver.stock", "stock not negative"] == (False, 1)
    assert found["silver.sale", "amounts add up"] == (True, 0)
    assert found["silver.sale", "complete"] == (True, 0)


def test_losses_and_doubles_in_silver_are_found(
    data: DataDir, bus: MemoryBus, context: NewContext
) -> None:
    fill(data, bus, entry(*(sale(name) for name in "abcd")))
    lake = lake_of(data)
    lake.delete("silver.sale", "event_id = 'a'")
    found = checked(context())
    assert found["silver.sale", "complete"] == (False, 1)
    assert found["silver.sale", "amounts add up"] == (False, 1)
    again = lake.dataset("silver.sale").to_table().slice(0, 1)
    lake.append("silver.sale", again)
    found = checked(context())
    assert found["silver.sale", "counted once"] == (False, 1)


def test_lines_that_silver_refused_are_accounted_for(
    data: DataDir, bus: MemoryBus, context: NewContext
) -> None:
    huge = sale("huge", quantity="900000000000000", unit_price="90000000000000")
    fill(data, bus, entry(sale("a"), huge))
    found = checked(context())
    assert found["silver.sale", "complete"] == (True, 0)
    assert found["silver.sale", "amounts add up"] == (True, 0)


def test_rows_that_the_stream_is_writing_are_not_missing(
    data: DataDir, bus: MemoryBus, context: NewContext
) -> None:
    """Bronze may be ahead of silver while a step is under way."""
    fill(data, bus, entry(sale("a")))
    lake = lake_of(data)
    ahead = lake.dataset("bronze.sale").to_table().to_pylist()[0] | {"event_id": "b", "_offset": 1}
    import pyarrow as pa

    from retaild.pipeline.streams import bronze_schema

    lake.append("bronze.sale", pa.Table.from_pylist([ahead], bronze_schema("sale")))
    assert checked(context())["silver.sale", "complete"] == (True, 0)


def test_the_clock_of_the_shop_counts(data: DataDir, bus: MemoryBus, context: NewContext) -> None:
    fill(data, bus, entry(sale("a", EVENING - timedelta(hours=80))))
    passed, age = checked(context())["silver.sale", "fresh"]
    assert not passed
    assert age == pytest.approx(80, abs=0.1)
    assert datetime.now(UTC) - EVENING > timedelta(days=1000)
