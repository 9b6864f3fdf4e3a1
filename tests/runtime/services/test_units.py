"""Servers as units: found again by the next keeper, limited, logged, and nothing is left behind.

systemd's part is played by systemctl_peer.py; tests/appliance/test_systemd_services.py has the
real one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from retaild.api import Server
from retaild.runtime.services.children import Children
from retaild.runtime.services.keeper import Keeper, ServerEndedError
from retaild.runtime.services.supervision import NoUnitError, by_systemd, end_strays
from retaild.runtime.services.units import UnitError, Units
from tests.runtime.services.test_keeper import Shelf, _gone

SHIPPED = Path(__file__).parents[3] / "systemd" / "retaild-service@.service"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As below retaild.service: a runtime directory, and systemctl on the path."""
    home = tmp_path / "systemd"
    for path in (home, tmp_path / "bin", tmp_path / "run", tmp_path / "logs"):
        path.mkdir()
    program = tmp_path / "bin" / "systemctl"
    peer = Path(__file__).with_name("systemctl_peer.py")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {peer} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PEER_HOME", str(home))
    monkeypatch.setenv("PEER_TEMPLATE", str(SHIPPED))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setenv("INVOCATION_ID", "0123")
    yield home
    end_strays("systemd", ())


@pytest.fixture
def units(home: Path, tmp_path: Path) -> Units:
    return Units("shelf", tmp_path / "run" / "services", tmp_path / "logs", 128, "as configured")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "notes")


def _keeper(shelf: Shelf, units: Units) -> Keeper:
    return Keeper(shelf, supervision=units)


def test_servers_run_as_units_and_end_in_the_reverse_order(
    shelf: Shelf, units: Units, home: Path
) -> None:
    keeper = _keeper(shelf, units)
    assert keeper.start() == {"servers": 2}
    pids = keeper.pids
    parents = {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
               for pid in pids.values()}  # fmt: skip
    assert str(os.getpid()) not in parents
    keeper.stop()
    assert shelf.notes.read_text().split()[4:] == ["ends", "second", "ends", "first"]
    assert all(_gone(pid) for pid in pids.values())
    assert list(units.orders.glob("*.json")) == []
    limit = "set-property --runtime retaild-service@shelf:first.service MemoryMax=128M"
    assert limit in (home / "asked").read_text()


def test_a_keeper_that_was_killed_leaves_servers_that_the_next_one_goes_on_with(
    shelf: Shelf, units: Units
) -> None:
    killed = _keeper(shelf, units)
    killed.start()
    keeper = _keeper(shelf, units)
    assert keeper.start() == {"servers": 2}  # and no port is told to be taken
    assert keeper.pids == killed.pids
    keeper.stop()
    assert shelf.notes.read_text().split()[::2] == ["starts", "starts", "ends", "ends"]


def test_one_that_was_started_with_other_settings_is_started_anew(
    shelf: Shelf, units: Units
) -> None:
    killed = _keeper(shelf, units)
    killed.start()
    keeper = _keeper(shelf, replace(units, stamp="configured anew"))
    keeper.start()
    assert all(_gone(pid) for pid in killed.pids.values())
    assert len(set(keeper.pids.values()) | set(killed.pids.values())) == 4
    keeper.stop()


def test_what_is_found_but_does_not_answer_is_started_anew(shelf: Shelf, units: Units) -> None:
    killed = _keeper(shelf, units)
    killed.start()
    os.kill(killed.pids["second"], signal.SIGSTOP)
    now = [0.0]

    def clock() -> float:
        now[0] += 15.0  # each look takes as long
        return now[0]

    keeper = Keeper(shelf, clock, units)
    shelf.stop_seconds = 0.5
    assert keeper.start() == {"servers": 2}
    assert keeper.pids["second"] != killed.pids["second"]
    keeper.stop()


def test_how_it_ended_is_told(shelf: Shelf, units: Units) -> None:
    keeper = _keeper(shelf, units)
    keeper.start()
    try:
        os.kill(keeper.pids["second"], signal.SIGKILL)
        with pytest.raises(ServerEndedError, match=r"second ended \(killed by signal 9\)"):
            _watch(keeper)
    finally:
        keeper.stop()


def test_one_that_may_is_started_again_alone(shelf: Shelf, units: Units) -> None:
    shelf.alone = True
    keeper = _keeper(shelf, units)
    keeper.start()
    before = keeper.pids
    os.kill(before["second"], signal.SIGKILL)
    until = time.monotonic() + 20
    while keeper.pids["second"] == before["second"] and time.monotonic() < until:
        keeper.watch()
    assert keeper.pids["first"] == before["first"]
    assert keeper.pids["second"] != before["second"]
    keeper.stop()


def _watch(keeper: Keeper) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        time.sleep(0.01)
        keeper.watch()


def test_it_ends_with_all_that_it_has_started(units: Units, tmp_path: Path) -> None:
    stubborn = f"trap '' TERM; sleep 100 & echo $! >{tmp_path}/child; wait; wait"
    running = units.start(Server("sh", ("sh", "-c", stubborn)))
    child = tmp_path / "child"
    while not child.exists() or not child.read_text():
        time.sleep(0.01)
    assert running.stop(0.3)
    assert _gone(running.pid)
    assert _gone(int(child.read_text()))


def test_what_it_prints_is_in_our_log_once(
    units: Units, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = Server("talks", ("sh", "-c", "echo one; echo two >&2; exit 3"), directory=tmp_path)
    running = units.start(server)
    until = time.monotonic() + 20
    while running.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    assert running.poll() == 3
    Units("shelf", units.orders, units.logs).adopt(server)
    assert capfd.readouterr().out == "one\ntwo\n"


def test_its_order_is_for_nobody_else_and_holds_no_environment_of_ours(
    units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETAILD__SERVICE__SHELF__PASSWORD", "hunter2")
    monkeypatch.setenv("RETAILD_DATA_MARK", "/data")
    server = Server("naps", ("sleep", "100"), {"OWN": "1"})
    running = units.start(server)
    [order] = units.orders.glob("*.json")
    assert order.stat().st_mode & 0o777 == 0o600
    assert order.parent.stat().st_mode & 0o777 == 0o700
    environment = json.loads(order.read_text())["environment"]
    assert environment["OWN"] == "1"
    assert not {"RETAILD__SERVICE__SHELF__PASSWORD", "RETAILD_DATA_MARK", "INVOCATION_ID"} & set(
        environment
    )
    while b"python" in Path(f"/proc/{running.pid}/cmdline").read_bytes():
        time.sleep(0.01)  # it has not become the server yet
    assert b"hunter2" not in Path(f"/proc/{running.pid}/environ").read_bytes()
    running.stop(5.0)


def test_servers_of_a_service_that_is_gone_are_ended(units: Units) -> None:
    naps = Server("naps", ("sleep", "100"))
    kept, stray = units.start(naps), replace(units, service="old_one").start(naps)
    assert end_strays("auto", ["shelf"]) == ["retaild-service@old_5fone:naps.service"]
    assert _gone(stray.pid)
    assert kept.poll() is None
    kept.stop(5.0)


def test_what_systemd_refuses_is_told(units: Units, home: Path) -> None:
    (home / "denied").touch()
    with pytest.raises(UnitError, match=r"set-property.*Interactive authentication required"):
        units.start(Server("naps", ("sleep", "100")))


@pytest.mark.usefixtures("home")
def test_units_are_used_where_our_own_unit_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_systemd("auto")
    assert not by_systemd("children")
    assert not by_systemd("auto", {"INVOCATION_ID": "0123"})  # a terminal, say
    with monkeypatch.context() as patched:
        patched.setenv("PEER_TEMPLATE", "/nowhere")
        assert not by_systemd("auto")
        with pytest.raises(NoUnitError):
            by_systemd("systemd")


def test_children_are_never_found() -> None:
    assert Children().adopt(Server("naps", ("sleep", "100"))) is None
