"""The embedded stream processor, by the suite for all and in what is its own."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake.exceptions import DeltaError
from retaild_plugins.streams.embedded import plugin
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

from retaild.api import BuildContext, Bus, Lake, StreamProcessor
from retaild.pipeline.carry.carrier import LakeAheadError, LakeWriteError
from retaild.pipeline.streams import PROGRESS_TABLE, STREAM_APP, carried_offset, stream_pipelines
from retaild.testing.memory_bus import MemoryBus
from retaild.testing.stream import (
    NINE,
    OpenStream,
    StreamConformance,
    carry,
    entry,
    hours,
    rows,
    sale,
)


def opened(
    lake_dir: Path, bus: Bus, batch_rows: int = EmbeddedStreamConfig().batch_rows
) -> EmbeddedProcessor:
    context = BuildContext("stream", lake_dir.parent / "state", lake_dir)
    processor = EmbeddedProcessor(EmbeddedStreamConfig(batch_rows=batch_rows), context)
    processor.open(bus)
    return processor


class TestEmbedded(StreamConformance):
    @pytest.fixture
    def open_stream(self) -> OpenStream:
        return opened


class TestEmbeddedInSmallSteps(StreamConformance):
    """A row a step: every order of commits and restarts in between."""

    @pytest.fixture
    def open_stream(self) -> OpenStream:
        def small(lake_dir: Path, bus: Bus) -> StreamProcessor:
            return opened(lake_dir, bus, batch_rows=1)

        return small


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


def test_it_can_lower_every_step_of_the_pipelines() -> None:
    (spec,) = plugin.retaild_stream_processors()
    for pipeline in stream_pipelines().values():
        assert pipeline.step_names() <= spec.supports


def test_the_sample_is_a_working_configuration() -> None:
    sample = tomllib.loads(Path(plugin.__file__).with_name("sample.toml").read_text())["stream"]
    assert sample.pop("plugin") == "embedded"
    assert EmbeddedStreamConfig(**sample) == EmbeddedStreamConfig()


def test_keys_that_share_a_hash_are_both_kept(
    lake: Lake, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every key has one of two hashes: the keys themselves decide, nothing is lost."""

    def poor_hash(_self: Any, column: Any) -> Any:
        return np.array([len(key) % 2 for key in column.to_pylist()], np.uint64)

    monkeypatch.setattr("retaild.pipeline.carry.sql.Sql.hashes", poor_hash)
    bus.append([entry(sale("a"), sale("b"), sale("a"), sale("cc"))])
    stream = opened(lake.root, bus)
    carry(stream, bus)
    bus.append([entry(sale("b"), sale("d"), sale("dd"), sale("d"))])
    progress = carry(stream, bus)
    stream.close()
    assert rows(lake, "silver.sale", "event_id") == [("a",), ("b",), ("cc",), ("d",), ("dd",)]
    assert (progress.written, progress.duplicates) == (2, 2)


#: The commits of a step with sales and a poison entry, in the order they may come.
COMMITS = (
    "bronze.sale", "silver.sale", "silver.sale_window_hour", "bronze.dead_letter",
    "silver.dead_letter", PROGRESS_TABLE,
)  # fmt: skip


@pytest.mark.parametrize("victim", COMMITS)
def test_a_failure_at_any_commit_is_healed(
    lake: Lake, bus: MemoryBus, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next step of the same process, and (with more events by then) by a new process."""
    from retaild.api import Entry

    stream = opened(lake.root, bus)
    bus.append([entry(sale("a"))])
    carry(stream, bus)
    bus.append([entry(sale("b"), sale("a")), Entry("sale", "json", 1, b"{")])
    real_commit = Lake._write
    real_mark = Lake.mark

    def name_of(target: Any) -> str:
        uri = target if isinstance(target, str) else target.table_uri.rstrip("/")
        return ".".join(uri.split("/")[-2:])

    def failing_write(self: Lake, target: Any, *rest: Any) -> None:
        if name_of(target) == victim:
            raise DeltaError("the disk is full")
        real_commit(self, target, *rest)

    def failing_mark(self: Lake, table: Any, *rest: Any) -> None:
        if name_of(table) == victim:
            raise DeltaError("the disk is full")
        real_mark(self, table, *rest)

    monkeypatch.setattr(Lake, "_write", failing_write)
    monkeypatch.setattr(Lake, "mark", failing_mark)
    for _ in range(2):
        with pytest.raises(LakeWriteError):
            stream.step()
    monkeypatch.undo()
    other = opened(lake.root, bus)  # as after kill -9
    bus.append([entry(sale("c"), sale("b"))])
    carry(other, bus)
    other.close()
    stream.close()
    assert rows(lake, "bronze.sale", "event_id") == [("a",), ("a",), ("b",), ("b",), ("c",)]
    assert rows(lake, "silver.sale", "event_id") == [("a",), ("b",), ("c",)]
    assert len(rows(lake, "silver.dead_letter", "event_id")) == 1
    assert len(rows(lake, "bronze.dead_letter", "event_id")) == 1
    assert hours(lake) == [("main", 9, 1, 3, "3.000", "3.0000")]


def test_a_failed_step_is_made_up_for_by_the_next(
    lake: Lake, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = opened(lake.root, bus)
    bus.append([entry(sale("a"), sale("b"))])
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "mark", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(LakeWriteError):
            stream.step()
    bus.append([entry(sale("a"), sale("c"))])
    carry(stream, bus)
    stream.close()
    assert rows(lake, "silver.sale", "event_id") == [("a",), ("b",), ("c",)]
    assert len(rows(lake, "bronze.sale", "event_id")) == 4


def test_the_marker_goes_on_though_a_family_rests(lake: Lake, bus: MemoryBus) -> None:
    from decimal import Decimal

    from retaild.events import Stock

    count = Stock(event_id="s", event_time=NINE, source="erp", product_id="PEN", on_hand=Decimal(2))
    bus.append([entry(count)])
    stream = opened(lake.root, bus)
    carry(stream, bus)
    for name in "abc":
        bus.append([entry(sale(name))])
        carry(stream, bus)
    stream.close()
    assert lake.committed("silver.stock", STREAM_APP) == 1
    assert carried_offset(lake) == 4


def test_a_log_that_is_older_than_the_lake_is_refused(lake: Lake, bus: MemoryBus) -> None:
    bus.append([entry(sale("a")), entry(sale("b"))])
    stream = opened(lake.root, bus)
    carry(stream, bus)
    stream.close()
    with pytest.raises(LakeAheadError, match="up to 2, but the log ends at 0"):
        opened(lake.root, MemoryBus())


def test_columns_that_a_table_lacks_are_added(lake: Lake, bus: MemoryBus) -> None:
    """A table of an older version without the optional column `country`."""
    from retaild.pipeline.streams import bronze_schema

    schema = bronze_schema("sale")
    lake.create("bronze.sale", schema.remove(schema.get_field_index("country")))
    bus.append([entry(sale("a", country="France"))])
    stream = opened(lake.root, bus)
    carry(stream, bus)
    stream.close()
    assert rows(lake, "bronze.sale", "event_id", "country") == [("a", "France")]
