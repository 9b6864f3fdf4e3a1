"""A disk that is full (a real one, of two mebibytes) or slow (a sync that takes its time)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
from retaild_plugins.buses.embedded.config import EmbeddedLogConfig
from retaild_plugins.buses.embedded.log import EmbeddedLog

from retaild.events.codec import iter_events
from retaild.pipeline.filelog import LogFullError
from retaild.pipeline.streams import carried_offset
from retaild.runtime.serving.errors import BusyError
from retaild.runtime.serving.writer import Durable, LogWriter
from retaild.runtime.state import State
from retaild.testing.stream import entry, rows, sale
from tests.rest.serving import InThread
from tests.runtime.serving.shops import Till

from .conftest import Shop

ROOT = Path(__file__).parents[2]


def fill(folder: Path, leave: int = 0) -> Path:
    """Take all room but `leave` bytes; the file that takes it."""
    file = folder / "filler"
    with file.open("wb", buffering=0) as output, suppress(OSError):
        while True:
            output.write(bytes(4096))
    os.truncate(file, max(0, file.stat().st_size - leave))
    return file


def write_many(state: State) -> None:
    for number in range(2000):
        state.save_source_position(f"tills{number}", {"row": "x" * 500})


def test_a_full_disk_refuses_events_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    with closing(EmbeddedLog(EmbeddedLogConfig(), small_disk / "log")) as log:
        log.open()
        log.append([entry(sale("first"))])
        filler = fill(small_disk)
        accepted, refused = 1, 0
        for number in range(200):
            try:
                log.append([entry(sale(f"n{number}"))])
                accepted += 1
            except LogFullError:
                refused += 1
        assert refused > 100
        assert log.end().rows == accepted
        filler.unlink()
        assert log.append([entry(sale("last"))]).rows == accepted + 1
        assert len(list(log.read(0))) == accepted + 1


def test_a_log_begun_on_a_full_disk_is_an_error_and_no_crash(small_disk: Path) -> None:
    """The marker is mapped into memory: a hole in it would end the process by SIGBUS."""
    fill(small_disk)
    log = EmbeddedLog(EmbeddedLogConfig(), small_disk / "log")
    with closing(log), pytest.raises(OSError, match="No space left"):
        log.open()


def test_the_stream_waits_for_room_and_loses_nothing(small_disk: Path) -> None:
    shop = Shop(small_disk / "data")
    shop.sell("a")
    shop.carry()
    shop.sell(*(f"s{n}" for n in range(100)))
    filler = fill(small_disk, leave=8192)
    with pytest.raises(Exception, match=r"No space left|could not be"):
        shop.carry()
    filler.unlink()
    shop.carry()
    assert len(shop.sold()) == 101
    assert len(rows(shop.lake, "bronze.sale", "event_id")) == 101
    shop.context.state.close()


def test_the_state_survives_a_full_disk(small_disk: Path) -> None:
    state = State(small_disk / "state.db")
    state.save_source_position("tills", {"row": 1})
    filler = fill(small_disk)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        write_many(state)
    assert state.source_position("tills") == {"row": 1}
    filler.unlink()
    state.save_source_position("tills", {"row": 2})
    assert state.source_position("tills") == {"row": 2}
    state.close()


def test_the_http_door_refuses_on_a_full_disk_and_holds_all_it_acknowledged(
    small_disk: Path,
) -> None:
    """Over HTTP, with the server's own log: 507 and why; answers go on meanwhile."""
    till = Till()
    accepted: list[str] = []
    refused: list[str] = []
    with InThread(small_disk) as server:

        def post(customer: str) -> httpx.Response:
            event = till.sale(customer, "a")
            answer = server.client.post("/api/v1/events", json=event)
            (accepted if answer.status_code == 202 else refused).append(event["event_id"])
            return answer

        assert post("ann").status_code == 202
        filler = fill(small_disk)
        answers = [post(f"c{n}") for n in range(100)]
        full = next(answer for answer in answers if answer.status_code != 202)
        assert {answer.status_code for answer in answers} <= {202, 507}
        assert full.json()["type"] == "bus.disk_full"
        assert "Free some space" in full.json()["hint"]
        assert server.offered("ann") == ["a"]
        assert server.client.get("/health/live").status_code == 200
        filler.unlink()
        assert post("bob").status_code == 202
        assert server.offered("bob") == ["a"]
        context = server.context
    assert len(refused) > 50
    with closing(context.bus()) as bus:
        bus.open()
        kept = [
            event["event_id"]
            for one in bus.read(0)
            for event in iter_events(one.entry.family, one.entry.codec, one.entry.payload)
        ]
    assert kept == accepted


def test_a_lake_without_room_closes_the_door_until_it_has_caught_up(
    small_disk: Path, tmp_path: Path
) -> None:
    """The log has room and the lake has none: 503 before too much waits, and nothing is lost."""
    (small_disk / "lake").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lake").symlink_to(small_disk / "lake")
    till, accepted = Till(), 0
    with InThread(tmp_path, "max_backlog_rows = 1000\n") as server:
        shop = Shop(tmp_path / "data")
        server.events(till.sale("ann", "a"))
        shop.carry()
        filler = fill(small_disk)

        def post(count: int) -> httpx.Response:
            events = [till.sale("ann", "a") for _ in range(count)]
            return server.client.post("/api/v1/events", json={"events": events})

        for _ in range(20):
            answer = post(100)
            if answer.status_code == 503:
                break
            accepted += 100
            with pytest.raises(Exception, match=r"No space left|could not be"):
                shop.carry()
            measure_lag(server, shop)
        assert answer.status_code == 503
        assert answer.json()["type"] == "events.backlog"
        assert answer.headers["retry-after"]
        assert 1000 <= accepted <= 1200
        filler.unlink()
        shop.carry()
        measure_lag(server, shop)
        assert post(1).status_code == 202
        shop.carry()
        assert len(shop.sold()) == 1 + accepted + 1
        shop.context.state.close()


def measure_lag(server: InThread, shop: Shop) -> None:
    """What the stream worker tells each second, and the server takes in."""
    assert server.services is not None
    done = carried_offset(shop.lake)
    with closing(shop.context.bus()) as bus:
        bus.open()
        carried = sum(one.entry.rows for one in bus.read(0) if one.offset < done)
    shop.context.state.save_worker("stream", kind="stream", figures={"rows": carried})
    server.services.vitals._exchange()


def test_a_job_that_finds_the_disk_full_leaves_the_old_tables_and_succeeds_later(
    small_disk: Path,
) -> None:
    shop = Shop(small_disk / "data")
    shop.sell("a")
    shop.carry()
    assert job(shop, "gold") == 0
    shop.sell("b", "c")
    shop.carry()
    filler = fill(small_disk, leave=16_384)
    assert job(shop, "gold") not in (0, None)
    assert [row[0] for row in rows(shop.lake, "gold.product", "product_id")] == ["PEN"]
    filler.unlink()
    (run, *_) = shop.context.state.runs()
    assert run["state"] != "succeeded"
    assert job(shop, "gold") == 0
    assert rows(shop.lake, "gold.customer_product", "customer_id") == []
    assert rows(shop.lake, "gold.product_day", "units") == [(3.0,)]
    (run, *_) = shop.context.state.runs()
    assert run["state"] == "succeeded"
    shop.context.state.close()


def job(shop: Shop, name: str) -> int:
    """Its process, as the daemon starts it; the exit code."""
    command = [sys.executable, "-m", "retaild.runtime.job", name, "--data", str(shop.data.root)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode


def test_a_slow_disk_makes_doors_refuse_instead_of_growing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sync takes 0.1 s (fdatasync wrapped): 400 requests at once, 32 may wait."""
    synced = os.fdatasync

    def slowly(descriptor: int) -> None:
        time.sleep(0.1)
        synced(descriptor)

    monkeypatch.setattr(os, "fdatasync", slowly)

    async def nothing(_durable: Durable) -> None:
        """Nobody applies the events."""

    async def knock() -> tuple[int, int, int]:
        writer = LogWriter(EmbeddedLog(EmbeddedLogConfig(), tmp_path / "log"), 32, nothing)
        writer.start()
        most = 0

        async def one(number: int) -> bool:
            nonlocal most
            try:
                await writer.append([entry(sale(f"n{number}"))])
            except BusyError:
                return False
            return True

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, writer.waiting)
                await asyncio.sleep(0.005)

        watcher = asyncio.create_task(watch())
        answers = await asyncio.gather(*(one(number) for number in range(400)))
        watcher.cancel()
        later = await one(1000)  # there is room again
        await asyncio.to_thread(writer.stop)
        return sum(answers) + later, answers.count(False), most

    accepted, refused, most = asyncio.run(knock())
    assert accepted == 33
    assert refused == 368
    assert most <= 32
    with closing(EmbeddedLog(EmbeddedLogConfig(), tmp_path / "log")) as log:
        log.open()
        assert log.end().rows == accepted
