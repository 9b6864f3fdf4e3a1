"""The machine's clock jumps a day, forward or back (time.time wrapped): nothing is lost by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from retaild.runtime.context import JobContext
from retaild.runtime.heartbeat import Heart
from retaild.runtime.jobs import compact, trim
from retaild.runtime.serving import base

from .conftest import Shop

DAY = 86_400.0
Jump = Callable[[float], None]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Moves the wall clock; the monotonic one goes on."""
    real = time.time

    def to(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return to


def job(shop: Shop) -> JobContext:
    c = shop.context
    return JobContext("job", c.settings, c.data, c.plugins, c.state, threading.Event())


@pytest.mark.parametrize("seconds", [2 * DAY, -2 * DAY])
def test_retention_never_takes_what_lake_or_server_still_need(
    shop: Shop, jump: Jump, seconds: float
) -> None:
    """A clock that is ahead makes everything look old: what was not carried stays all the same."""
    base.write_base(shop.data.online, 1, {"meta": {}}, {})
    shop.sell("c", "d")
    jump(seconds)
    trim.run(job(shop))
    shop.carry()
    assert shop.sold() == ["a", "b", "c", "d"]


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_events_and_lake_go_on_over_a_jump(shop: Shop, jump: Jump, seconds: float) -> None:
    jump(seconds)
    shop.sell("c")
    shop.carry()
    jump(0.0)
    shop.sell("d")
    shop.carry()
    assert shop.sold() == ["a", "b", "c", "d"]
    with closing(shop.context.bus()) as bus:
        bus.open()
        assert [entry.offset for entry in bus.read(0)] == [0, 1, 2, 3]


@pytest.mark.parametrize("seconds", [3 * DAY, -3 * DAY])
def test_compaction_over_a_jump_keeps_every_row(shop: Shop, jump: Jump, seconds: float) -> None:
    jump(seconds)
    assert "error" not in compact.run(job(shop))["tables"]["silver.sale"]
    shop.sell("c")
    shop.carry()
    assert shop.sold() == ["a", "b", "c"]


def test_heartbeats_go_on_when_the_clock_goes_back(shop: Shop, jump: Jump) -> None:
    """Every second by the monotonic clock, with a new value each time: no worker looks hung."""
    heart, stop, beats = Heart(), threading.Event(), list[float]()

    def write(figures: object) -> None:
        shop.context.state.beat("stream", {})
        (row,) = shop.context.state.workers()
        beats.append(row["beat"])
        heart.beat({})
        if len(beats) == 1:
            jump(-DAY)
        if len(beats) == 3:
            stop.set()

    heart.beat({})
    began = time.monotonic()
    heart.run(write, stop)
    assert time.monotonic() - began < 6
    assert beats[1] < beats[0] - DAY / 2 < beats[0]
    assert beats[1] != beats[2]
