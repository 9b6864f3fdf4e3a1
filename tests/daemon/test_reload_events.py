"""Reload under load with the real workers: nothing lost, nothing twice, nobody refused."""

from __future__ import annotations

import random
import signal
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retaild.api.lake import Lake
from retaild.cli import main
from retaild.runtime.access import audit
from retaild.runtime.control import request
from retaild.runtime.state import State
from tests.daemon.strangers import install, with_site
from tests.daemon.whereabouts import look

Start = Callable[..., Any]
#: A machine at twenty times its load took five minutes for one of them, and lost nothing.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CONFIG = """
[lake]
interval_seconds = 0.2
[source.tills]
plugin = "tabular"
path = "tills"
pattern = "*.csv"
settle_seconds = 0
[source.web]
plugin = "tabular"
path = "web"
pattern = "*.csv"
settle_seconds = 0
"""
HEADER = "receipt_id,product_id,quantity,unit_price,event_time\n"
#: Longer than a loaded machine needs for a file, or for a step of the stream.
STILL_SECONDS = 120.0
#: A till waits when so many of its rows are not in the log yet. No machine that is let work gets
#: there: it takes thirty files a second. One at twenty times its load took two.
MOST_WAITING = 4_000
WORKERS = ("ingest", "stream", "serve", "source.tills", "source.web")


def wait_for(condition: Callable[[], Any], seconds: float = 40.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


class Tills:
    """Writes a file of receipts into a folder again and again; `written` are their numbers.

    `taken`: how many of them are in the log.
    """

    def __init__(
        self, folder: Path, name: str, pause: float = 0.1, taken: Callable[[], int] | None = None
    ) -> None:
        self.folder, self.name, self.written = folder, name, list[str]()
        self._pause, self._taken = pause, taken
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        folder.mkdir(exist_ok=True)

    def __enter__(self) -> Tills:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(self._pause):
            if self._taken is not None and len(self.written) - self._taken() > MOST_WAITING:
                continue
            receipts = [f"{self.name}-{number}-{line}" for line in range(20)]
            rows = [f"{r},A{i},1,2.50,2024-03-01 10:00:00\n" for i, r in enumerate(receipts)]
            beside = self.folder / f".{number}.tmp"
            beside.write_text(HEADER + "".join(rows))
            beside.rename(self.folder / f"{number:05}.csv")
            self.written += receipts
            number += 1


class Shoppers:
    """Ask the server fifty times a second, each with a connection of its own."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/health/live"
        self.answered, self.failed = 0, list[str]()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(4)]

    def __enter__(self) -> Shoppers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(0.08):
            try:
                with urllib.request.urlopen(self.url, timeout=20) as answer:
                    self.answered += answer.status == 200
            except OSError as error:
                self.failed.append(repr(error))


def reload(daemon: Any) -> dict[str, Any]:
    number = daemon.ask("reload")["reload"]["id"]

    def over() -> Any:
        found = daemon.ask("reload-status")["reload"]
        return found if found["id"] == number and found["state"] != "running" else None

    return wait_for(over, 90)  # type: ignore[no-any-return]


def edit(daemon: Any, old: str, new: str) -> None:
    text = daemon.config.read_text()
    assert old in text
    daemon.config.write_text(text.replace(old, new))


def receipts(daemon: Any) -> list[str]:
    table = Lake(daemon.data.lake).dataset("silver.sale").to_table(columns=["receipt_id"])
    found: list[str] = table.column("receipt_id").to_pylist()
    return found


def settled(daemon: Any, expected: list[str]) -> None:
    """Silver has each receipt once, and nothing else; waits for as long as it gets on.

    What has come no further for `STILL_SECONDS` says where it is: behind, or lost.
    """
    lake = Lake(daemon.data.lake)
    wait_for(lambda: lake.exists("silver.sale"), STILL_SECONDS)
    count, moved = 0, time.monotonic()
    while count < len(expected) and time.monotonic() - moved < STILL_SECONDS:
        time.sleep(0.2)
        if (now := len(receipts(daemon))) != count:
            count, moved = now, time.monotonic()
    root = daemon.config.parent
    found = look(daemon.data, daemon.config, {name: root / name for name in ("tills", "web")})
    assert found.explain(expected) == ""


@pytest.fixture
def shop(start: Start) -> Any:
    daemon = start("real", config=CONFIG)
    root = daemon.config.parent
    for name in ("tills", "web"):
        (root / name).mkdir()
    wait_for(daemon.status)
    for name in WORKERS:
        wait_for(lambda name=name: daemon.worker(name).get("state") == "running", 60)
    return daemon


def test_a_changed_source_loses_and_doubles_nothing(shop: Any) -> None:
    root = shop.config.parent
    with Tills(root / "tills", "t") as tills, Tills(root / "web", "w") as web:
        wait_for(lambda: len(tills.written) > 100)
        for store in ("north", "south", "east"):
            # Another limit of its own: the settings that ids are made of stay as they are.
            limit = {"north": 100, "south": 101, "east": 102}[store]
            text = shop.config.read_text().split("\nmax_row_bytes")[0].rstrip()
            shop.config.write_text(f"{text}\nmax_row_bytes = {limit}000\n")
            others = ("ingest", "stream", "serve", "source.tills")
            before = {name: shop.worker(name)["pid"] for name in others}
            found = reload(shop)
            assert found["state"] == "done", found
            assert found["touched"]["replaced"] == ["source.web"]
            assert {name: shop.worker(name)["pid"] for name in before} == before
            time.sleep(0.5)
        for one in (tills, web):
            one.end()
        settled(shop, tills.written + web.written)


def test_a_server_is_swapped_under_fifty_requests_a_second(shop: Any, unused_port: int) -> None:
    with Shoppers(unused_port) as shoppers:
        wait_for(lambda: shoppers.answered > 50)
        for count in (3, 4):
            text = shop.config.read_text().split("[recommendations]")[0]
            shop.config.write_text(f"{text}[recommendations]\ncount = {count}\n")
            found = reload(shop)
            assert found["state"] == "done", found
            assert found["touched"]["replaced"] == ["serve"]
        more = shoppers.answered + 50
        wait_for(lambda: shoppers.answered > more)
    assert shoppers.failed == []


def test_a_source_that_cannot_work_is_taken_back_and_all_flows_on(shop: Any) -> None:
    root = shop.config.parent
    with Tills(root / "tills", "t") as tills:
        wait_for(lambda: len(tills.written) > 100)
        edit(shop, 'path = "web"', 'path = "web"\nencoding = "no-such-encoding"')
        found = reload(shop)
        assert found["state"] == "refused"
        assert "encoding" in found["faults"][0]["path"]
        tills.end()
        settled(shop, tills.written)


def rows_of(daemon: Any, source: str) -> Callable[[], int]:
    """Tells how many rows of it are in the log."""
    state = State(daemon.data.state_db)
    return lambda: sum(r["accepted"] for r in state.sources() if r["instance"] == source)


def test_a_source_is_read_again_from_its_beginning_while_it_works(shop: Any) -> None:
    """What it had sent and was not written yet must not bring the old position back."""
    root, accepted = shop.config.parent, rows_of(shop, "tills")
    with Tills(root / "tills", "t", 0.05) as tills:
        wait_for(lambda: accepted() > 1000)
        others = {name: shop.worker(name)["pid"] for name in WORKERS if name != "source.tills"}
        known = accepted()
        assert main(["source", "reset", "tills", "--yes", "-c", str(shop.config)]) == 0
        entry = audit.entries(State(shop.data.state_db), what="source.reset")["entries"][0]
        # Where it was when it had ended, which is further than when it was asked.
        assert entry["before"]["position"]
        assert entry["after"] == {"position": None}
        tills.end()
        settled(shop, tills.written)
        wait_for(lambda: accepted() >= len(tills.written) + known)
    assert {name: shop.worker(name)["pid"] for name in others} == others


BRITTLE = """\
import os
from retaild.api import Config, SourceSpec, hookimpl

class BrittleConfig(Config):
    breaks: bool = False

class Brittle:
    def __init__(self, config):
        self.config = config
    def open(self, position):
        pass
    def poll(self):
        if self.config.breaks:
            print("brittle breaks", flush=True)
            os._exit(3)
    def close(self):
        pass

@hookimpl
def retaild_sources():
    return [SourceSpec(name="brittle", summary="Breaks when told to.", config=BrittleConfig,
                       build=lambda config, context: Brittle(config), families=("sale",))]
"""


def test_a_source_that_opens_and_then_dies_is_taken_back(start: Start, tmp_path: Path) -> None:
    """It builds, passes its probe and opens; its first poll ends the process."""
    install(tmp_path / "site", "acme_brittle", BRITTLE)
    (tmp_path / "tills").mkdir()
    (tmp_path / "web").mkdir()
    text = CONFIG + '[source.brittle]\nplugin = "brittle"\nbreaks = false\n'
    daemon = start("real", config=text, PYTHONPATH=with_site(tmp_path / "site"))
    names = (*WORKERS, "source.brittle")
    wait_for(daemon.status)
    for name in names:
        wait_for(lambda name=name: daemon.worker(name).get("state") == "running", 60)
    before = {name: daemon.worker(name)["pid"] for name in names}
    with Tills(tmp_path / "tills", "t") as tills:
        edit(daemon, "breaks = false", "breaks = true")
        found = reload(daemon)
        assert found["state"] == "returned", found
        assert "source.brittle does not work" in found["error"]
        assert any("brittle breaks" in line for line in found["log"]), found["log"]
        wait_for(lambda: daemon.worker("source.brittle").get("state") == "running", 30)
        after = {name: daemon.worker(name)["pid"] for name in names}
        assert after.pop("source.brittle") != before.pop("source.brittle")
        assert after == before
        tills.end()
        settled(daemon, tills.written)


def test_thirty_reloads_in_a_row(shop: Any, unused_port: int) -> None:
    """Ten files a second: a third of what the source takes on two idle cores."""
    taken = rows_of(shop, "tills")
    root, chosen = shop.config.parent, random.Random(4)
    with Tills(root / "tills", "t", 0.1, taken) as tills, Shoppers(unused_port) as shoppers:
        for number in range(30):
            interval = chosen.choice(["0.2", "0.3", "0.5"])
            count = chosen.choice([5, 6, 7])
            limit = chosen.choice(["100000", "200000"])
            broken = "nonsense = 1\n" if number % 7 == 6 else ""
            text = CONFIG.replace("interval_seconds = 0.2", f"interval_seconds = {interval}")
            host = shop.config.read_text().split("[lake]")[0]
            shop.config.write_text(
                f"{host}{text.lstrip()}max_row_bytes = {limit}\n{broken}"
                f"[recommendations]\ncount = {count}\n"
            )
            found = reload(shop)
            expected = ("refused",) if broken else ("done", "unchanged")
            assert found["state"] in expected, (number, found)
        tills.end()
        settled(shop, tills.written)
    assert shoppers.failed == []


def test_a_daemon_killed_in_the_middle_under_load(start: Start, shop: Any) -> None:
    root = shop.config.parent
    with Tills(root / "tills", "t") as tills:
        wait_for(lambda: len(tills.written) > 100)
        edit(shop, "interval_seconds = 0.2", "interval_seconds = 0.3")
        edit(shop, 'path = "web"', 'path = "web"\nmax_row_bytes = 100000')
        request(shop.data, "reload")
        wait_for(lambda: "replacing" in shop.ask("reload-status")["reload"]["step"])
        shop.process.send_signal(signal.SIGKILL)
        shop.process.wait()
        again = start("real")
        wait_for(again.status)
        assert reload(again)["state"] == "unchanged"
        tills.end()
        settled(again, tills.written)
