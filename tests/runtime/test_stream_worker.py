"""The stream worker: carries on, tells its figures, survives failures, stops in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from retaild.api import Bus, Entry, StreamProgress
from retaild.api.errors import TransientError
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.host.registry import PluginRegistry
from retaild.pipeline.streams import carried_offset
from retaild.runtime import stream
from retaild.runtime.context import WorkerContext
from retaild.runtime.state import State
from retaild.testing.memory_bus import MemoryBus
from retaild.testing.stream import entry, rows, sale


@dataclass
class Scripted:
    """A processor that fails as often as told before each success."""

    failures: dict[str, int]
    opened: int = 0
    closed: int = 0
    offset: int = 0
    calls: list[float] = field(default_factory=list)
    bus: Bus | None = None

    def open(self, bus: Bus) -> StreamProgress:
        self.bus = bus
        self._fail("open")
        self.opened += 1
        return StreamProgress(0, 0)

    def step(self) -> StreamProgress:
        self.calls.append(time.monotonic())
        self._fail("step")
        assert self.bus is not None
        if self.offset < self.bus.end().offset:
            self.offset += 1
            return StreamProgress(self.offset, self.offset, 1, 0)
        return StreamProgress(self.offset, self.offset)

    def close(self) -> None:
        self.closed += 1

    def _fail(self, what: str) -> None:
        if self.failures.get(what, 0) > 0:
            self.failures[what] -= 1
            raise TransientError("The disk is full.", hint="Free some space.")


@dataclass
class Bench:
    context: WorkerContext
    bus: MemoryBus
    figures: dict[str, float | str]
    thread: threading.Thread | None = None

    def start(self, main: Callable[[], None]) -> None:
        self.thread = threading.Thread(target=main)
        self.thread.start()

    def wait(self, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + 30
        while not ready():
            assert time.monotonic() < until, self.figures
            time.sleep(0.01)

    def stop(self) -> None:
        self.context.stop.set()
        if self.thread is not None:
            self.thread.join(10)
            assert not self.thread.is_alive()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    data = DataDir(tmp_path)
    settings = Settings.model_validate({"lake": {"interval_seconds": 0.05}})
    context = WorkerContext(
        "stream", settings, data, PluginRegistry.load(), State(data.state_db), threading.Event()
    )
    bus, figures = MemoryBus(), {}
    monkeypatch.setattr(WorkerContext, "bus", lambda _self: bus)
    monkeypatch.setattr(WorkerContext, "heartbeat", lambda _self, **given: figures.update(given))
    bench = Bench(context, bus, figures)
    yield bench
    bench.stop()


def scripted(monkeypatch: pytest.MonkeyPatch, **failures: int) -> Scripted:
    processor = Scripted(failures)

    def build(_self: Any, kind: str, instance: str) -> Scripted:
        assert (kind, instance) == ("stream", "stream")
        return processor

    monkeypatch.setattr(WorkerContext, "build", build)
    return processor


def test_it_carries_and_tells(bench: Bench) -> None:
    bench.bus.append([entry(sale("a"), sale("b"), sale("a"))])
    bench.start(lambda: stream.main(bench.context))
    bench.wait(lambda: bench.figures.get("offset") == 1)
    bench.bus.append([entry(sale("c"))])
    bench.wait(lambda: bench.figures.get("offset") == 2)
    bench.stop()
    lake = bench.context.lake()
    assert carried_offset(lake) == 2
    assert rows(lake, "silver.sale", "event_id") == [("a",), ("b",), ("c",)]
    assert bench.figures["rows"] == 4
    assert bench.figures["lag_rows"] == 0
    assert bench.figures["duplicates"] == 1


def test_failures_for_now_are_survived_with_growing_pauses(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = scripted(monkeypatch, open=2, step=3)
    bench.bus.append([entry(sale("a"))])
    bench.start(lambda: stream.main(bench.context))
    bench.wait(lambda: bench.figures.get("offset") == 1)
    bench.stop()
    assert (processor.opened, processor.closed) == (1, 1)
    first, second, third, fourth = processor.calls[:4]
    assert fourth - third > third - second > second - first
    (row,) = [row for row in bench.context.state.workers() if row["name"] == "stream"]
    assert row["last_error"] == "The disk is full. Free some space."


def test_a_backlog_is_carried_without_pauses(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = scripted(monkeypatch)
    bench.bus.append([entry(sale(f"e{n}")) for n in range(200)])
    bench.start(lambda: stream.main(bench.context))
    bench.wait(lambda: bench.figures.get("offset") == 200)
    bench.stop()
    # 200 steps with the pause of 0.05 s between them would take ten seconds.
    assert processor.calls[199] - processor.calls[0] < 5


def test_it_waits_between_looks_at_an_idle_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor = scripted(monkeypatch)
    bench.start(lambda: stream.main(bench.context))
    time.sleep(0.5)
    bench.stop()
    assert 1 <= len(processor.calls) <= 11


def test_slow_commits_are_made_less_often(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = scripted(monkeypatch)
    quick = processor.step

    def slow() -> StreamProgress:
        progress = quick()
        time.sleep(0.1)
        return progress

    monkeypatch.setattr(processor, "step", slow)
    bench.start(lambda: stream.main(bench.context))
    bench.wait(lambda: len(processor.calls) >= 2)
    bench.stop()
    assert processor.calls[1] - processor.calls[0] >= 1.0


def test_an_import_ends_the_rest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of a second makes a rest of nine: not when thousands of rows come in."""
    processor = scripted(monkeypatch)
    quick = processor.step

    def slow() -> StreamProgress:
        time.sleep(1.0)
        return quick()

    monkeypatch.setattr(processor, "step", slow)
    bench.start(lambda: stream.main(bench.context))
    bench.wait(lambda: len(processor.calls) == 1)
    bench.bus.append([Entry("sale", "json", 5_000, b"")])
    bench.wait(lambda: len(processor.calls) == 2)
    bench.stop()
    assert processor.calls[1] - processor.calls[0] < 5


def test_a_stop_ends_the_tries(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = scripted(monkeypatch, open=1_000)
    bench.start(lambda: stream.main(bench.context))
    time.sleep(0.2)
    bench.stop()
    assert (processor.opened, processor.closed) == (0, 1)


def test_other_errors_end_the_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = scripted(monkeypatch)

    def broken() -> StreamProgress:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(processor, "step", broken)
    with pytest.raises(ValueError, match="a fault of ours"):
        stream.main(bench.context)
    assert processor.closed == 1
