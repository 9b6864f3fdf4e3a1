"""The test alert that people send themselves."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from retaild.api.errors import RetaildError
from retaild.runtime.alerts.trial import NoSinkError, UnknownSinkError, trial
from tests.runtime.alerts.bench import Bench


def _run(bench: Bench, *sinks: str, timeout: float = 20.0) -> list[tuple[str, str, str]]:
    """`trial` while the daemon and the sinks are at work, by the machine's clock."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            bench.now = time.time()
            bench.go()
        bench.state.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        outcomes = trial(bench.state, bench.settings, sinks, timeout)
    finally:
        over.set()
        thread.join()
    bench.now = time.time()
    bench.go()
    return [(outcome.sink, outcome.state, outcome.error) for outcome in outcomes]


def test_it_goes_where_it_is_sent_whatever_the_routes_say(tmp_path: Path) -> None:
    routes = {"pager": {"min_severity": "critical"}, "boss": {"escalation": 2}}
    bench = Bench(tmp_path, alert={"pager": {}, "boss": {}}, alerts={"route": routes})
    for _ in range(2):
        assert _run(bench) == [("pager", "delivered", ""), ("boss", "delivered", "")]
    assert [action for action, _ in bench.pager.said()] == ["trigger", "resolve"] * 2
    assert _run(bench, "boss") == [("boss", "delivered", "")]
    assert len(bench.pager.heard) == 4


def test_what_a_receiver_says_against_it_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.pager.fault = lambda _message: RetaildError("The key is wrong.")
    assert _run(bench) == [("pager", "refused", "The key is wrong.")]


def test_without_a_daemon_it_ends_in_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (outcome,) = trial(bench.state, bench.settings, (), timeout=0.2)
    assert outcome.state == "not decided"


def test_a_sink_that_is_not_there_is_named(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(UnknownSinkError, match="pagr"):
        trial(bench.state, bench.settings, ["pagr"])
    with pytest.raises(NoSinkError):
        trial(bench.state, Bench(tmp_path, alert={}).settings)
