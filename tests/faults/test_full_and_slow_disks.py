"""A disk that is full (a real one, of two mebibytes) or slow (a sync that takes its time)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from retaild_plugins.buses.embedded.config import EmbeddedLogConfig
from retaild_plugins.buses.embedded.log import EmbeddedLog

from retaild.pipeline.filelog import LogFullError
from retaild.runtime.serving.errors import BusyError
from retaild.runtime.serving.writer import Durable, LogWriter
from retaild.runtime.state import State
from retaild.testing.stream import entry, rows, sale

from .conftest import Shop


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
