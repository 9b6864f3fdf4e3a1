"""The doors' parts without processes: entries, the backlog, imports of a file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from retaild.api import Lake, LogEnd
from retaild.api.source import SourceBatch
from retaild.events import arrow_schema
from retaild.runtime import ingest_append
from retaild.runtime.importing import import_file
from retaild.runtime.ingest_backlog import Backlog, BacklogError
from retaild.testing.memory_bus import MemoryBus

from .ingest_shop import HEADER, Shop, row


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.inbox.mkdir()
    shop.configure()
    return shop


class _StuckLake(Lake):
    def committed(self, name: str, app_id: str) -> int | None:
        return None


def test_an_import_gives_up_on_a_lake_that_takes_nothing(tmp_path: Path) -> None:
    bus = MemoryBus()
    entry = next(iter(ingest_append.table_entries("stock", _stock(1500))))
    bus.append([entry])
    backlog = Backlog(bus, _StuckLake(tmp_path), 1000)
    assert backlog.rows() == 1500
    with pytest.raises(BacklogError) as raised:
        backlog.wait(threading.Event(), patience=0.3)
    assert "1,500 rows wait" in str(raised.value)
    Backlog(bus, _StuckLake(tmp_path), 1500).wait(threading.Event(), patience=0.3)


def _stock(count: int, width: int = 1) -> Any:
    import datetime as dt

    import pyarrow as pa

    rows = [
        {"event_id": f"{n:0{width}}", "event_time": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
         "source": "s", "store": "m", "product_id": "p", "on_hand": 1}
        for n in range(count)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=arrow_schema("stock"))


def test_entries_keep_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_append, "MAX_ROWS", 100)
    monkeypatch.setattr(ingest_append, "MAX_BYTES", 3000)
    entries = list(ingest_append.table_entries("stock", _stock(1000, width=150)))
    assert sum(entry.rows for entry in entries) == 1000
    assert all(entry.rows <= 100 and len(entry.payload) <= 3000 for entry in entries)
    assert len(entries) > 10


def test_an_empty_batch_writes_nothing() -> None:
    bus = MemoryBus()
    empty = SourceBatch("stock", arrow_schema("stock").empty_table(), {})
    assert ingest_append.append_batch(bus, empty) == ingest_append.Taken()
    assert bus.end() == LogEnd(0, 0)


def test_an_import_is_idempotent_and_tells_its_progress(shop: Shop) -> None:
    path = shop.root / "export.csv"
    path.write_text(HEADER + row(1) + row(1) + "broken\n")
    told: list[tuple[int, int, str]] = []
    result = import_file(shop.context(), path, "tills", on_progress=lambda *a: told.append(a))
    assert (result.accepted, result.dead, result.refused_cards) == (2, 1, 0)
    assert result.complete
    assert told[-1] == (3, 3, "export.csv")
    import_file(shop.context(), path, "tills")
    ids = [sale["event_id"] for sale in shop.log()["sale"]]
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2
    letters = [letter["event_id"] for letter in shop.log()["dead_letter"]]
    assert letters[0] == letters[1]


def test_an_import_cut_short_goes_on(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from retaild_plugins.sources.tabular import delimited

    monkeypatch.setattr(delimited, "CHUNK_ROWS", 10)
    path = shop.root / "export.csv"
    path.write_text(HEADER + "".join(row(n // 5) for n in range(95)))
    stop = threading.Event()

    def progress(done: int, _total: int, _label: str) -> None:
        if done >= 30:
            stop.set()

    cut = import_file(shop.context(), path, "tills", stop=stop, on_progress=progress)
    assert not cut.complete
    assert cut.accepted == 30
    rest = import_file(shop.context(), path, "tills")
    assert rest.accepted == 65
    assert len({sale["event_id"] for sale in shop.log()["sale"]}) == 95


def test_a_file_that_is_none_is_told(shop: Shop) -> None:
    path = shop.root / "export.parquet"
    path.write_bytes(b"PAR1")
    result = import_file(shop.context(), path, "tills")
    assert result.accepted == 0
    assert "export.parquet is not a readable Parquet file" in result.faults[0]


def test_importing_through_a_source_that_is_not_there(shop: Shop) -> None:
    from retaild.runtime.importing import NotImportableError

    with pytest.raises(NotImportableError) as raised:
        import_file(shop.context(), shop.root / "x.csv", "till")
    assert "Configured: tills." in str(raised.value)
