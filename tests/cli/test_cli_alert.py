"""`retaildctl alert`, without a daemon."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retaild.config.settings import Settings
from retaild.runtime.alerts import raise_alert, resolve_alert
from retaild.runtime.alerts.engine import AlertEngine
from retaild.runtime.state import State

Ctl = Callable[..., Any]


@pytest.fixture
def state(ctl: Ctl, shop: Path) -> State:
    assert ctl("init").code == 0
    (path,) = shop.glob("*/state.db")
    return State(path)


@pytest.fixture
def engine(state: State) -> AlertEngine:
    rules = {"group_wait_seconds": 0, "resolve_after_seconds": 0}
    return AlertEngine(state, Settings.model_validate({"alert": {"pager": {}}, "alerts": rules}))


def _wrong(state: State, key: str) -> None:
    raise_alert(state, key, "error", f"{key} is wrong.", source=key.partition(".")[0])


def test_nothing_is_wrong(ctl: Ctl, state: State) -> None:
    assert "No alert is open." in ctl("alert", "list").out
    assert "No alert is over yet." in ctl("alert", "history").out
    assert "No message was made." in ctl("alert", "history", "--messages").out


def test_the_life_of_an_alert(ctl: Ctl, state: State, engine: AlertEngine) -> None:
    _wrong(state, "job.refresh.failed")
    engine.step(time.time())
    (alert,) = ctl("alert", "list", "--json").json["alerts"]
    assert (alert["key"], alert["state"]) == ("job.refresh.failed", "open")
    assert "job.refresh.failed is wrong." in ctl("alert", "list").out

    assert ctl("alert", "ack", alert["id"]).out == "1 acknowledged.\n"
    shown = ctl("alert", "show", alert["id"])
    assert "acknowledged" in shown.out
    assert "pending" in shown.out

    resolve_alert(state, "job.refresh.failed")
    engine.step(time.time() + 1)
    assert "job.refresh.failed" in ctl("alert", "history").out
    messages = ctl("alert", "history", "--messages", "--json").json["messages"]
    assert [m["action"] for m in messages] == ["resolve", "trigger"]
    what = [(row["who"].split()[0], row["what"]) for row in state.rows("SELECT * FROM audit")]
    assert what == [("system", "alert.acknowledge")]


def test_an_alert_that_is_not_open_cannot_be_taken_on(ctl: Ctl, state: State) -> None:
    answer = ctl("alert", "ack", "7")
    assert answer.code == 5
    assert "There is no open alert 7." in answer.err


def test_a_silence_and_its_end(ctl: Ctl, state: State) -> None:
    made = ctl("alert", "silence", "job", "--for", "30m", "--comment", "moving house", "--json")
    assert made.code == 0
    assert "moving house" in ctl("alert", "list").out
    (silence,) = ctl("alert", "list", "--json").json["silences"]
    assert silence["matcher"] == {"key": "job", "source": "", "severity": ""}
    assert ctl("alert", "unsilence", silence["id"]).code == 0
    assert ctl("alert", "unsilence", silence["id"]).code == 5
    what = [row["what"] for row in state.rows("SELECT what FROM audit")]
    assert what == ["alert.silence", "alert.unsilence"]


@pytest.mark.parametrize(
    "words", [(), ("job", "--all"), ("job", "--for", "soon"), ("job", "--severity", "dire")]
)
def test_a_silence_says_what_and_for_how_long(
    ctl: Ctl, state: State, words: tuple[str, ...]
) -> None:
    assert ctl("alert", "silence", *words).code == 2


def test_a_silence_is_not_for_ever(ctl: Ctl, state: State) -> None:
    answer = ctl("alert", "silence", "--all", "--for", "31d")
    assert answer.code == 1
    assert "within 30 days" in answer.err


def test_a_test_needs_the_daemon(ctl: Ctl, state: State) -> None:
    assert ctl("alert", "test").code == 3
