"""The ingest worker: sources in threads, positions after the rows, failures by policy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retaild.api import Lake, LogEnd
from retaild.api.source import SourceBatch
from retaild.events import arrow_schema
from retaild.runtime import ingest_append, ingest_runner
from retaild.runtime.context import WorkerContext
from retaild.runtime.importing import import_file
from retaild.runtime.ingest import main
from retaild.runtime.ingest_backlog import Backlog, BacklogError
from retaild.testing.memory_bus import MemoryBus

from .ingest_shop import HEADER, Shop, row


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.inbox.mkdir()
    shop.configure()
    return shop


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[WorkerContext], Any]]:
    """Starts a worker in a thread; `finish` stops it and gives what it raised."""
    monkeypatch.setattr(ingest_runner, "_POLL", 0.02)
    running: list[Any] = []

    class Running:
        def __init__(self, context: WorkerContext) -> None:
            self.context = context
            self.errors: list[BaseException] = []
            self.thread = threading.Thread(target=self._work)
            self.thread.start()

        def _work(self) -> None:
            try:
                main(self.context)
            except Exception as error:
                self.errors.append(error)

        def finish(self) -> list[BaseException]:
            self.context.stop.set()
            self.thread.join(30)
            assert not self.thread.is_alive()
            return self.errors

    def start(context: WorkerContext) -> Running:
        running.append(Running(context))
        return running[-1]

    yield start
    for one in running:
        one.finish()


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)
    return found


def stat(shop: Shop) -> dict[str, Any]:
    return next(iter(shop.context().state.sources()), {})


def test_files_go_into_the_log_and_are_remembered(shop: Shop, run: Any) -> None:
    (shop.inbox / "a.csv").write_text(HEADER + row(1) + row(1) + "broken\n")
    worker = run(shop.worker())
    eventually(lambda: stat(shop).get("accepted") == 2)
    (shop.inbox / "b.csv").write_text(HEADER + row(2))
    eventually(lambda: stat(shop).get("accepted") == 3)
    assert worker.finish() == []
    figures = worker.context.heart._figures
    assert (figures["rows"], figures["dead_letters"], figures["failing"]) == (4, 1, 0)

    again = run(shop.worker())
    (shop.inbox / "c.csv").write_text(HEADER + row(3))
    eventually(lambda: stat(shop).get("accepted") == 4)
    again.finish()
    log = shop.log()
    assert [sale["receipt_id"] for sale in log["sale"]] == ["1", "1", "2", "3"]
    (letter,) = log["dead_letter"]
    assert (letter["raw"], letter["target"]) == (b"broken", "sale")
    assert stat(shop)["dead"] == 1


def test_a_crash_before_the_position_is_saved_repeats_with_the_same_ids(
    shop: Shop, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retaild.runtime.state import State

    (shop.inbox / "a.csv").write_text(HEADER + "".join(row(n // 2) for n in range(10)))
    save, crashed = State.save_source_position, threading.Event()

    def crash(*arguments: Any) -> None:
        if not crashed.is_set():
            crashed.set()
            raise OSError("the disk is full of 4111111111111111")
        save(*arguments)

    monkeypatch.setattr(State, "save_source_position", crash)
    worker = run(shop.worker())
    eventually(lambda: stat(shop).get("accepted") == 10)
    worker.finish()
    ids = [sale["event_id"] for sale in shop.log()["sale"]]
    assert len(ids) == 20
    assert ids[:10] == ids[10:]
    assert len(set(ids)) == 10


def test_what_goes_wrong_is_told_masked_and_tried_again(shop: Shop, run: Any) -> None:
    shop.inbox.rmdir()
    worker = run(shop.worker())
    error = eventually(lambda: stat(shop).get("last_error"))
    assert "cannot be read" in error
    assert worker.thread.is_alive()
    shop.inbox.mkdir()
    (shop.inbox / "a.csv").write_text(HEADER + row(1))
    eventually(lambda: stat(shop).get("accepted") == 1)
    assert stat(shop)["last_error"] is None


def test_startup_error_ends_the_worker(shop: Shop, run: Any) -> None:
    shop.configure(startup="error")
    shop.inbox.rmdir()
    worker = run(shop.worker())
    worker.thread.join(30)
    (error,) = worker.finish()
    assert "cannot be read" in str(error)


def test_startup_ignore_leaves_the_source_out(shop: Shop, run: Any) -> None:
    shop.configure(startup="ignore")
    shop.inbox.rmdir()
    worker = run(shop.worker())
    eventually(lambda: worker.context.heart._figures.get("source.tills") == "left out")
    assert worker.thread.is_alive()
    assert worker.finish() == []


def test_a_source_waits_while_too_much_waits_for_the_lake(
    shop: Shop, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retaild_plugins.sources.tabular import delimited

    monkeypatch.setattr(delimited, "CHUNK_ROWS", 600)
    shop.configure(backlog=1000)
    (shop.inbox / "a.csv").write_text(HEADER + "".join(row(n) for n in range(3000)))
    worker = run(shop.worker())
    waiting = "waiting for the lake"
    eventually(lambda: worker.context.heart._figures.get("source.tills") == waiting)
    assert 1000 < stat(shop)["accepted"] < 3000
    for _ in range(4):
        shop.carry_to_lake()
        time.sleep(0.5)
    eventually(lambda: stat(shop)["accepted"] == 3000)
    worker.finish()
    assert len({sale["event_id"] for sale in shop.log()["sale"]}) == 3000


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
