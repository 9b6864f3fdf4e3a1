"""Sources and the ingest worker as real processes, killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retaild.api.errors import ConfigError, TransientError
from retaild.runtime.component import ComponentContext
from retaild.runtime.component.exits import EXIT_FAILURE, EXIT_TEMPORARY
from retaild.runtime.component.source import run
from retaild.runtime.heartbeat import Heart

from .ingest_processes import Process, eventually
from .ingest_shop import HEADER, Shop, row

Start = Callable[..., Process]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.inbox.mkdir()
    shop.configure()
    return shop


@pytest.fixture
def start(shop: Shop) -> Iterator[Start]:
    running: list[Process] = []

    def begin(kind: str, name: str = "tills") -> Process:
        running.append(Process(kind, name, shop.root / "retaild.toml", shop.data))
        return running[-1]

    yield begin
    for one in running:
        one.kill()


def stat(shop: Shop, name: str = "tills") -> dict[str, Any]:
    rows = {found["instance"]: found for found in shop.context().state.sources()}
    return rows.get(name, {})


def figures(shop: Shop, name: str) -> dict[str, Any]:
    rows = {found["name"]: found["figures"] or {} for found in shop.context().state.workers()}
    return rows.get(name, {})


def accepted(shop: Shop, count: int) -> Callable[[], bool]:
    state = shop.context().state
    return lambda: sum(found["accepted"] for found in state.sources()) >= count


def test_files_go_into_the_log_and_people_see_it(shop: Shop, start: Start) -> None:
    hub, source = start("ingest"), start("source")
    (shop.inbox / "a.csv").write_text(HEADER + row(1) + row(1) + "broken\n")
    eventually(accepted(shop, 2))
    eventually(lambda: figures(shop, "source.tills").get("rows") == 3)
    own = figures(shop, "source.tills")
    assert own["dead_letters"] == 1
    assert own["doing"] in ("a.csv 3/3", "waiting for input")
    eventually(lambda: figures(shop, "ingest").get("source.tills") == "a.csv 3/3")
    whole = figures(shop, "ingest")
    assert (whole["rows"], whole["dead_letters"], whole["sources"]) == (3, 1, 1)

    code, seconds = source.stop()
    assert (code, seconds < 4) == (0, True)
    start("source")
    (shop.inbox / "b.csv").write_text(HEADER + row(2))
    eventually(accepted(shop, 3))
    assert hub.stop()[0] == 0
    log = shop.log()
    assert [sale["receipt_id"] for sale in log["sale"]] == ["1", "1", "2"]
    (letter,) = log["dead_letter"]
    assert (letter["raw"], letter["target"]) == (b"broken", "sale")


@pytest.mark.slow
def test_kills_at_any_moment_lose_and_double_nothing(shop: Shop, start: Start) -> None:
    """The hub and the source in turn, in the middle of an import; ids decide what is double."""
    files, lines = 24, 400
    for number in range(files):
        text = "".join(row(f"{number}-{line // 3}") for line in range(lines))
        (shop.inbox / f"{number:02}.csv").write_text(HEADER + text)
    chance = random.Random(4)
    running = {"ingest": start("ingest"), "source": start("source")}
    kills = 0
    while not accepted(shop, files * lines)():
        if kills < 8:
            time.sleep(chance.uniform(0.05, 0.6) + (0.9 if kills % 2 else 0.0))
            victim = chance.choice(["ingest", "source"])
            running[victim].kill()
            running[victim] = start(victim)
            kills += 1
        for kind, one in running.items():
            if not one.runs:  # as the daemon does
                running[kind] = start(kind)
        time.sleep(0.05)
    time.sleep(0.5)
    sales = shop.log()["sale"]
    ids = Counter(sale["event_id"] for sale in sales)
    assert len(ids) == files * lines
    # A batch that was in the log but whose position was not saved yet comes again, with its ids.
    assert len(sales) - len(ids) <= kills * lines * 3


def test_the_source_goes_on_when_the_hub_is_back(shop: Shop, start: Start) -> None:
    hub, source = start("ingest"), start("source")
    (shop.inbox / "a.csv").write_text(HEADER + row(1))
    eventually(accepted(shop, 1))
    hub.kill()
    (shop.inbox / "b.csv").write_text(HEADER + row(2))
    time.sleep(0.5)
    start("ingest")
    eventually(accepted(shop, 2))
    assert source.runs
    assert [sale["receipt_id"] for sale in shop.log()["sale"]] == ["1", "2"]


def test_what_ended_a_source_is_told_masked(shop: Shop, start: Start) -> None:
    shop.inbox.rmdir()
    start("ingest")
    source = start("source")
    assert source.wait(30) == EXIT_TEMPORARY
    assert "cannot be read" in stat(shop)["last_error"]
    assert figures(shop, "source.tills") == {}
    shop.inbox.mkdir()
    start("source")
    (shop.inbox / "a.csv").write_text(HEADER + row(1))
    eventually(accepted(shop, 1))
    assert stat(shop)["last_error"] is None


def test_a_source_waits_while_too_much_waits_for_the_lake(shop: Shop, start: Start) -> None:
    shop.configure(backlog=1000)
    for number in range(5):
        text = "".join(row(f"{number}-{line}") for line in range(600))
        (shop.inbox / f"{number}.csv").write_text(HEADER + text)
    start("ingest")
    start("source")
    eventually(lambda: figures(shop, "source.tills").get("doing") == "waiting for the lake")
    assert 1000 < stat(shop)["accepted"] < 3000

    def room() -> bool:
        shop.carry_to_lake()
        return accepted(shop, 3000)()

    eventually(room)
    assert len({sale["event_id"] for sale in shop.log()["sale"]}) == 3000


def test_two_processes_of_one_source_do_not_double_it(shop: Shop, start: Start) -> None:
    """The later one is heard; the first tries to come back, and neither reads anything twice."""
    start("ingest")
    first = start("source")
    (shop.inbox / "a.csv").write_text(HEADER + "".join(row(n) for n in range(200)))
    eventually(accepted(shop, 200))
    start("source")
    time.sleep(1.5)
    first.kill()
    (shop.inbox / "b.csv").write_text(HEADER + row("late"))
    eventually(accepted(shop, 201))
    ids = [sale["event_id"] for sale in shop.log()["sale"]]
    assert len(set(ids)) == len(ids) == 201


# -- what the runner asks of a source, in this process --------------------------------------------


class Recorder:
    """A source that notes what is done to it."""

    def __init__(self, batches: int = 0, fault: Exception | None = None) -> None:
        self.calls: list[Any] = []
        self.left, self.fault = batches, fault
        self.ahead = self.most = 0

    def open(self, position: Any) -> None:
        self.calls.append(("open", position))
        if isinstance(self.fault, ConfigError):
            raise self.fault

    def poll(self) -> Any:
        from .test_ingest_hub import batch

        if self.fault is not None:
            raise self.fault
        if self.left == 0:
            return None
        self.left -= 1
        self.ahead += 1
        self.most = max(self.most, self.ahead)
        number = sum(call[0] == "poll" for call in self.calls)
        self.calls.append(("poll", number))
        return batch(1, number)

    def confirmed(self, position: Any) -> None:
        self.ahead -= 1
        self.calls.append(("confirmed", position["at"]))

    def close(self) -> None:
        self.calls.append(("close", None))


class Running:
    """The runner, in a thread, with a source of our own."""

    def __init__(self, shop: Shop, source: Recorder, read_ahead: int, patch: Any) -> None:
        c = shop.context()
        self.context = ComponentContext("source.tills", c.settings, c.data, c.plugins, c.state,
                                        threading.Event(), Heart(), "source", "tills")  # fmt: skip
        spec = c.plugins.spec("source", "tabular")
        changed = type(spec)(name="tabular", summary="x", config=spec.config,
                             build=lambda *_: source, read_ahead=read_ahead)  # fmt: skip
        patch.setitem(c.plugins._built, ("source", "tabular"), changed)
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            run(self.context)
        except Exception as error:
            self.error = error

    def finish(self) -> Exception | None:
        self.context.stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.error


@pytest.fixture
def running(shop: Shop, start: Start, monkeypatch: Any) -> Iterator[Callable[..., Running]]:
    start("ingest")
    begun: list[Running] = []

    def begin(source: Recorder, read_ahead: int = 0) -> Running:
        begun.append(Running(shop, source, read_ahead, monkeypatch))
        return begun[-1]

    yield begin
    for one in begun:
        one.finish()


@pytest.mark.parametrize("read_ahead", [0, 1, 3])
def test_confirmed_comes_in_order_and_nothing_is_read_further_ahead(
    running: Any, read_ahead: int
) -> None:
    source = Recorder(batches=40)
    one = running(source, read_ahead)
    eventually(lambda: ("confirmed", 40) in source.calls)
    assert one.finish() is None
    assert [what for call, what in source.calls if call == "confirmed"] == list(range(1, 41))
    assert source.most <= read_ahead + 1
    assert source.calls[0] == ("open", None)
    assert source.calls[-1] == ("close", None)


def test_no_sign_of_life_before_the_source_is_open(running: Any, monkeypatch: Any) -> None:
    entered, release = threading.Event(), threading.Event()

    class Slow(Recorder):
        def open(self, position: Any) -> None:
            entered.set()
            release.wait(10)

    one = running(Slow())
    assert entered.wait(20)
    assert one.context.heart._figures == {}
    release.set()
    eventually(lambda: one.context.heart._figures.get("doing") == "waiting for input")


def test_what_a_source_lets_out_is_masked_and_kept(shop: Shop, running: Any) -> None:
    one = running(Recorder(fault=ValueError("no room for 4111111111111111")))
    one.thread.join(20)
    assert str(one.error) == "ValueError: no room for 411111******1111"
    assert stat(shop)["last_error"] == str(one.error)


@pytest.mark.parametrize("kind", [ConfigError, TransientError])
def test_its_kind_stays_what_it_is(running: Any, kind: type[Exception]) -> None:
    one = running(Recorder(fault=kind("the address 4111111111111111 is none")))
    one.thread.join(20)
    assert type(one.error) is kind
    assert "411111******1111" in str(one.error)


def test_without_a_hub_it_ends_for_now(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setattr("retaild.runtime.component.source._HUB_SECONDS", 0.3)
    one = Running(shop, Recorder(), 0, monkeypatch)
    one.thread.join(10)
    assert isinstance(one.error, TransientError)
    assert "cannot be reached" in stat(shop)["last_error"]


def test_a_stop_finds_it_at_once_while_the_disk_takes_nothing(
    shop: Shop, start: Start, monkeypatch: Any
) -> None:
    hub = start("ingest")
    source = Recorder(batches=3)
    one = Running(shop, source, 1, monkeypatch)
    eventually(lambda: ("confirmed", 3) in source.calls)
    os.kill(hub.pid, signal.SIGSTOP)
    source.left = 10
    eventually(lambda: source.ahead == 2)
    began = time.monotonic()
    assert one.finish() is None
    assert time.monotonic() - began < 4
    assert source.calls[-1] == ("close", None)
    os.kill(hub.pid, signal.SIGCONT)


def test_the_exit_codes_are_the_daemon_s(shop: Shop, start: Start) -> None:
    """A foreign name is a failure, not something to be tried for ever."""
    start("ingest")
    eventually((shop.data / "run" / "ingest.sock").exists)
    text = (shop.root / "retaild.toml").read_text().replace("source.tills", "source.others")
    (shop.root / "other.toml").write_text(text)
    other = Process("source", "others", shop.root / "other.toml", shop.data)
    assert other.wait(20) == EXIT_FAILURE
    assert "there is no source 'others'" in stat(shop, "others")["last_error"]
