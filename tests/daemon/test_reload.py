"""Reload with real processes that do little: what is touched, what is not, what goes back."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retaild.runtime.control import RefusedError
from retaild.runtime.state import State
from tests.daemon.strangers import install, with_site

Start = Callable[..., Any]
TRIO = ("stream=steady", "ingest=steady", "serve=steady")
NAMES = ("stream", "ingest", "serve")


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")


def reload(daemon: Any) -> dict[str, Any]:
    """Ask for a reload and wait for its outcome."""
    asked = daemon.ask("reload", by="system user ann", via="command")["reload"]
    return wait_reload(daemon, asked["id"])


def wait_reload(daemon: Any, number: int) -> dict[str, Any]:
    def over() -> Any:
        found = daemon.ask("reload-status")["reload"]
        return found if found and found["id"] == number and found["state"] != "running" else None

    return wait_for(over, 40)  # type: ignore[no-any-return]


def edit(daemon: Any, old: str, new: str) -> None:
    text = daemon.config.read_text()
    assert old in text
    daemon.config.write_text(text.replace(old, new))


def pids(daemon: Any) -> dict[str, int]:
    return {name: daemon.worker(name)["pid"] for name in NAMES}


def test_a_reload_touches_only_what_the_change_is_about(start: Start) -> None:
    daemon = start(*TRIO, config="[lake]\ninterval_seconds = 5\n")
    daemon.wait_running(*NAMES)
    before = pids(daemon)
    edit(daemon, "interval_seconds = 5", "interval_seconds = 2")
    found = reload(daemon)
    assert (found["state"], found["number"]) == ("done", 2)
    (change,) = found["changes"]
    assert (change["path"], change["before"], change["after"]) == (
        "lake.interval_seconds", "5.0", "2.0",
    )  # fmt: skip
    assert (change["file"], change["line"]) == (str(daemon.config), 6)
    assert found["touched"]["replaced"] == ["stream"]
    assert sorted(found["touched"]["untouched"]) == ["ingest", "serve"]
    after = pids(daemon)
    assert (after["ingest"], after["serve"]) == (before["ingest"], before["serve"])
    assert after["stream"] != before["stream"]
    assert any("stream has interval 2" in line for line in daemon.notes())
    # Who did it is written down, and a second time there is nothing to do.
    (entry,) = State(daemon.data.state_db).rows("SELECT * FROM audit WHERE what = 'config.reload'")
    assert (entry["who"], entry["via"]) == ("system user ann", "command")
    assert entry["before"]["settings"] == {"lake.interval_seconds": "5.0"}
    assert entry["after"]["settings"] == {"lake.interval_seconds": "2.0"}
    assert reload(daemon)["state"] == "unchanged"


@pytest.mark.slow
def test_an_edited_file_changes_nothing_before_a_reload(start: Start) -> None:
    """Also not for a worker that is killed and started again meanwhile."""
    daemon = start(*TRIO, config="[lake]\ninterval_seconds = 5\n")
    daemon.wait_running(*NAMES)
    edit(daemon, "interval_seconds = 5", "interval_seconds = 2")
    before = daemon.worker("stream")["pid"]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: daemon.worker("stream").get("pid") not in (None, before))
    daemon.wait_running("stream")
    said = [line.partition(" ")[2] for line in daemon.notes() if "stream has" in line]
    assert said == ["stream has interval 5", "stream has interval 5"]


def test_faults_touch_nothing_and_are_all_told(start: Start) -> None:
    daemon = start(*TRIO, config="[lake]\ninterval_seconds = 5\n[job.trim]\nevery_seconds = 60\n")
    daemon.wait_running(*NAMES)
    before, active = pids(daemon), json.loads((daemon.data.run / "active.json").read_text())
    edit(daemon, "interval_seconds = 5", "interval = 2")
    edit(daemon, "every_seconds = 60", 'cron = "61 * * * *"')
    found = reload(daemon)
    assert found["state"] == "refused"
    assert [(fault["line"], fault["path"]) for fault in found["faults"]] == [
        (6, "lake.interval"), (8, "job.trim.cron"),
    ]  # fmt: skip
    assert pids(daemon) == before
    assert json.loads((daemon.data.run / "active.json").read_text()) == active
    assert open_alerts(daemon) == ["reload.failed"]
    # Mended, the alert is over.
    edit(daemon, "interval = 2", "interval_seconds = 5")
    edit(daemon, 'cron = "61 * * * *"', "every_seconds = 60")
    assert reload(daemon)["state"] == "unchanged"
    assert open_alerts(daemon) == []


def open_alerts(daemon: Any) -> list[str]:
    rows = State(daemon.data.state_db).rows("SELECT key FROM alert WHERE resolved IS NULL")
    return [row["key"] for row in rows if row["key"].startswith("reload")]


def test_what_begins_well_and_then_dies_is_taken_back(start: Start) -> None:
    config = "[lake]\ninterval_seconds = 5\n[recommendations]\ncount = 5\n"
    daemon = start("stream=picky", "ingest=steady", "serve=steady", config=config)
    daemon.wait_running(*NAMES)
    before = pids(daemon)
    edit(daemon, "interval_seconds = 5", "interval_seconds = 13")
    edit(daemon, "count = 5", "count = 6")
    found = reload(daemon)
    assert found["state"] == "returned"
    assert "stream does not work with the new configuration" in found["error"]
    assert any("thirteen brings bad luck" in line for line in found["log"])
    daemon.wait_running(*NAMES)
    after = pids(daemon)
    assert after["ingest"] == before["ingest"]
    said = [line.partition(" ")[2] for line in daemon.notes() if "stream has" in line]
    assert said == ["stream has interval 5", "stream has interval 5"]
    active = json.loads((daemon.data.run / "active.json").read_text())
    assert (active["number"], active["values"]["lake"]["interval_seconds"]) == (1, 5)
    assert open_alerts(daemon) == ["reload.failed"]
    assert [path.name for path in (daemon.data.run / "configurations").iterdir()] == ["1.json"]


@pytest.mark.slow
def test_one_reload_at_a_time(start: Start) -> None:
    daemon = start(*TRIO)
    daemon.wait_running(*NAMES)
    first = daemon.ask("reload")["reload"]
    with pytest.raises(RefusedError, match="is under way") as raised:
        daemon.ask("reload")
    assert raised.value.key == "reload.busy"
    # A signal cannot be refused: it is done when the first is.
    daemon.process.send_signal(signal.SIGHUP)
    assert wait_reload(daemon, first["id"] + 1)["via"] == "signal"


@pytest.mark.slow
def test_a_hang_up_reloads(start: Start) -> None:
    daemon = start(*TRIO, config="[lake]\ninterval_seconds = 5\n")
    daemon.wait_running(*NAMES)
    edit(daemon, "interval_seconds = 5", "interval_seconds = 3")
    daemon.process.send_signal(signal.SIGHUP)
    assert wait_reload(daemon, 1)["state"] == "done"
    assert daemon.process.poll() is None


@pytest.mark.slow
def test_changed_files_reload_by_themselves_where_that_is_wanted(start: Start) -> None:
    daemon = start(*TRIO, config="[lake]\ninterval_seconds = 5\n")
    daemon.wait_running(*NAMES)
    edit(daemon, "[retaild]\n", "[retaild]\nreload_on_change = true\n")
    assert reload(daemon)["state"] == "done"
    (daemon.config.parent / "conf.d").mkdir()
    (daemon.config.parent / "conf.d" / "more.toml").write_text("[lake]\ninterval_seconds = 4\n")
    found = wait_reload(daemon, 2)
    assert (found["state"], found["via"]) == ("done", "changed files")
    assert found["changes"][0]["file"].endswith("conf.d/more.toml")


@pytest.mark.slow
def test_the_data_directory_cannot_be_changed(start: Start) -> None:
    daemon = start(*TRIO)
    daemon.wait_running(*NAMES)
    edit(daemon, "[retaild]\n", '[retaild]\ndata_dir = "elsewhere"\n')
    found = reload(daemon)
    assert found["state"] == "refused"
    assert found["faults"][0]["message"] == "retaild.data_dir cannot be changed by a reload."
    assert found["faults"][0]["line"] == 2


@pytest.mark.slow
def test_the_bus_cannot_be_changed(start: Start, tmp_path: Path) -> None:
    install(tmp_path / "site", "acme_bus", BUS)
    daemon = start(*TRIO, PYTHONPATH=with_site(tmp_path / "site"), config="[bus]\n")
    daemon.wait_running(*NAMES)
    before = pids(daemon)
    edit(daemon, "[bus]\n", '[bus]\nplugin = "acme"\n')
    found = reload(daemon)
    assert found["state"] == "refused"
    assert [(fault["path"], fault["line"]) for fault in found["faults"]] == [("bus.plugin", 6)]
    assert "from 'embedded' to 'acme'" in found["faults"][0]["message"]
    assert pids(daemon) == before
    diff = daemon.ask("config-diff", timeout=60)
    assert "bus.plugin cannot be changed" in diff["faults"][0]["message"]


@pytest.mark.slow
def test_a_reload_tries_again_what_was_left_out(start: Start, tmp_path: Path) -> None:
    """Whether it finds something to change or not."""
    install(tmp_path / "site", "acme_sink", SINK.format(away=str(tmp_path / "away")))
    (tmp_path / "away").touch()
    config = '[lake]\ninterval_seconds = 5\n[alert.pager]\nplugin = "acme"\nstartup = "ignore"\n'
    daemon = start(*TRIO, PYTHONPATH=with_site(tmp_path / "site"), config=config)
    daemon.wait_running(*NAMES)

    def is_now(state: str) -> None:
        wait_for(lambda: daemon.worker("alert.pager").get("state") == state, 40)

    is_now("left out")
    edit(daemon, "interval_seconds = 5", "interval_seconds = 2")
    assert reload(daemon)["state"] == "done"
    is_now("left out")
    assert reload(daemon)["state"] == "unchanged"
    is_now("left out")
    (tmp_path / "away").unlink()
    assert reload(daemon)["state"] == "unchanged"
    is_now("running")


BUS = """
from retaild.api import BusSpec, Config, hookimpl

class BusConfig(Config):
    pass

@hookimpl
def retaild_buses():
    return [BusSpec(name="acme", summary="Another log.", config=BusConfig, build=print)]
"""
SINK = """
import pathlib
from retaild.api import AlertSinkSpec, Config, hookimpl
from retaild.api.errors import TransientError

class SinkConfig(Config):
    pass

class Sink:
    def open(self):
        if pathlib.Path({away!r}).exists():
            raise TransientError("It is away.")
    def send(self, notification):
        pass
    def close(self):
        pass

@hookimpl
def retaild_alert_sinks():
    return [AlertSinkSpec(name="acme", summary="Tells.", config=SinkConfig,
                          build=lambda config, context: Sink())]
"""


def test_schedules_and_arguments_of_jobs_are_taken_over(start: Start) -> None:
    daemon = start(*TRIO, config="[job.gold]\nevery_seconds = 3600\n")
    daemon.wait_running(*NAMES)
    before, trim = pids(daemon), job(daemon, "trim")["next_run"]
    edit(daemon, "every_seconds = 3600", 'every_seconds = 60\narguments = {what = "0.2"}')
    found = reload(daemon)
    assert found["state"] == "done"
    assert found["touched"]["replaced"] == []
    assert pids(daemon) == before
    assert 0 < job(daemon, "gold")["next_run"] - time.time() <= 60
    assert job(daemon, "trim")["next_run"] == trim
    run = daemon.wait_run(daemon.ask("run-job", job="gold")["run_id"])
    assert run["arguments"] == {"what": "0.2"}


def job(daemon: Any, name: str) -> dict[str, Any]:
    return next(row for row in daemon.status()["jobs"] if row["name"] == name)


@pytest.mark.slow
def test_a_daemon_killed_in_the_middle_starts_with_what_the_file_says(start: Start) -> None:
    daemon = start(*TRIO, config="[lake]\ninterval_seconds = 5\n")
    daemon.wait_running(*NAMES)
    edit(daemon, "interval_seconds = 5", "interval_seconds = 2")
    daemon.ask("reload")
    wait_for(lambda: "stream" in daemon.ask("reload-status")["reload"]["step"])
    daemon.process.kill()
    daemon.process.wait()
    # Not in force: nothing had proven it yet.
    assert json.loads((daemon.data.run / "active.json").read_text())["number"] == 1
    again = start(*TRIO)
    again.wait_running(*NAMES)
    active = json.loads((daemon.data.run / "active.json").read_text())
    assert active["values"]["lake"]["interval_seconds"] == 2
    assert reload(again)["state"] == "unchanged"
    kept = {path.name for path in (daemon.data.run / "configurations").iterdir()}
    assert kept == {"1.json", f"{active['number']}.json"}


def test_what_a_reload_would_do_is_told_and_not_done(start: Start) -> None:
    daemon = start(*TRIO, config="[lake]\ninterval_seconds = 5\n")
    daemon.wait_running(*NAMES)
    before = pids(daemon)
    edit(daemon, "interval_seconds = 5", "interval_seconds = 2\nvacuum_hours = 12")
    found = daemon.ask("config-diff", timeout=60)
    assert [change["path"] for change in found["changes"]] == [
        "lake.interval_seconds", "lake.vacuum_hours",
    ]  # fmt: skip
    assert found["touched"]["replaced"] == ["stream"]
    assert found["active"]["number"] == 1
    assert pids(daemon) == before
    assert [path.name for path in (daemon.data.run / "configurations").iterdir()] == ["1.json"]


# -- the listening socket --------------------------------------------------------------------------


class Callers:
    """Threads that connect again and again; `answers` are (seconds it took, process id)."""

    def __init__(self, port: int) -> None:
        self.port, self.stop = port, threading.Event()
        self.answers: list[tuple[float, str]] = []
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(2)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(30)

    def _call(self) -> None:
        while not self.stop.wait(0.02):
            began = time.monotonic()
            try:
                with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
                    said = connection.recv(100).decode().strip()
                self.answers.append((time.monotonic() - began, said))
            except OSError as error:
                self.errors.append(repr(error))


def answer(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        return connection.recv(100)


def test_nobody_is_refused_while_a_killed_server_comes_back(start: Start, unused_port: int) -> None:
    daemon = start("serve=answering")
    daemon.wait_running("serve")
    before = daemon.worker("serve")["pid"]
    with Callers(unused_port) as callers:
        wait_for(lambda: len(callers.answers) > 20)
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: daemon.worker("serve").get("pid") not in (None, before))
        after = daemon.worker("serve")["pid"]
        wait_for(lambda: str(after) in {said for _, said in callers.answers})
    # One that it had accepted when it died may break off; none is refused.
    assert not [error for error in callers.errors if "Refused" in error]
    assert len(callers.errors) <= 2
    waited = max(seconds for seconds, _ in callers.answers)
    assert waited > 0.1  # somebody did wait in the queue, and was answered


def test_a_server_is_replaced_without_a_failed_request(start: Start, unused_port: int) -> None:
    daemon = start("serve=answering", config="[recommendations]\ncount = 5\n")
    daemon.wait_running("serve")
    before = str(daemon.worker("serve")["pid"])
    with Callers(unused_port) as callers:
        wait_for(lambda: len(callers.answers) > 20)
        edit(daemon, "count = 5", "count = 6")
        assert reload(daemon)["state"] == "done"
        after = str(daemon.worker("serve")["pid"])
        wait_for(lambda: callers.answers[-1][1] == after)
    assert callers.errors == []
    assert {said for _, said in callers.answers} == {before, after}


@pytest.mark.slow
def test_another_port_is_opened_before_the_old_one_is_closed(
    start: Start, unused_port: int
) -> None:
    daemon = start("serve=answering")
    daemon.wait_running("serve")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        other = taken.getsockname()[1]
        taken.listen()
        edit(daemon, f"port = {unused_port}", f"port = {other}")
        found = reload(daemon)
        assert found["state"] == "refused"
        assert re.search(rf"cannot listen on 127\.0\.0\.1:{other}", found["error"])
        assert answer(unused_port)
    assert reload(daemon)["state"] == "done"
    assert answer(other)
    with pytest.raises(ConnectionRefusedError):
        answer(unused_port)
    assert daemon.status()["api"]["url"] == f"http://127.0.0.1:{other}"
