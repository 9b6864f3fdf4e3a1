"""state.db: what people decide and look at, from many processes at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from retaild.runtime._state_schema import TooNewStateError
from retaild.runtime.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state.db")


def test_a_job_is_queued_once_however_many_ask(state: State) -> None:
    answers: list[int | None] = []

    def ask() -> None:
        own = State(state.path)
        answers.append(own.request_run("gold", "gold", {}, "test"))
        own.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers, key=str).count(None) == 7
    (run,) = state.runs("gold")
    state.save_run(run["id"], state="succeeded", result={"rows": 3})
    assert state.request_run("gold", "gold", {"a": "b"}, "test") == run["id"] + 1
    assert state.run(run["id"])["result"] == {"rows": 3}  # type: ignore[index]


def test_a_proposal_is_decided_once(state: State) -> None:
    row = {"product_id": "p", "created": 1.0, "current_price": "2.00", "proposed_price": "2.10"}
    state.replace_open_proposals([{**row, "id": "one", "payload": {"why": "margin"}}])
    assert state.decide_proposal("one", "approved", "ann", "fine")
    assert not state.decide_proposal("one", "rejected", "bob", "late")
    decided = state.proposal("one")
    assert decided is not None
    assert (decided["state"], decided["decided_by"]) == ("approved", "ann")
    assert decided["payload"] == {"why": "margin"}


def test_new_proposals_expire_the_open_ones_and_keep_the_decided(state: State) -> None:
    row = {"created": 1.0, "current_price": "2.00", "proposed_price": "2.10", "payload": {}}
    state.replace_open_proposals([{**row, "id": i, "product_id": i} for i in ("a", "b")])
    state.decide_proposal("a", "rejected", "ann", "")
    state.replace_open_proposals([{**row, "id": "c", "product_id": "b"}])
    assert {p["id"]: p["state"] for p in state.proposals()} == {
        "a": "rejected",
        "b": "expired",
        "c": "open",
    }
    assert [p["id"] for p in state.proposals("open", product_id="b")] == ["c"]


def test_source_totals_add_up_and_positions_are_kept(state: State) -> None:
    state.count_source("tills", accepted=10, dead=2, refused_cards=1)
    state.count_source("tills", accepted=5)
    state.save_source_position("tills", {"file": "a.csv", "row": 15})
    (row,) = state.sources()
    assert (row["accepted"], row["dead"], row["refused_cards"]) == (15, 2, 1)
    assert state.source_position("tills") == {"file": "a.csv", "row": 15}
    state.forget_source_position("tills")
    assert state.source_position("tills") is None


def test_a_worker_that_beats_keeps_what_the_supervisor_wrote(state: State) -> None:
    state.save_worker("stream", kind="stream", pid=7, state="running", restarts=2)
    state.beat("stream", {"lag_rows": 0})
    (worker,) = state.workers()
    assert (worker["pid"], worker["restarts"], worker["figures"]) == (7, 2, {"lag_rows": 0})


def test_a_failed_transaction_leaves_nothing_behind(state: State) -> None:
    row = {"created": 1.0, "current_price": "1", "proposed_price": "2", "payload": {}}
    state.replace_open_proposals([{**row, "id": "a", "product_id": "a"}])
    with pytest.raises(sqlite3.IntegrityError):
        state.replace_open_proposals([{**row, "id": "a", "product_id": "a"}])
    assert [p["state"] for p in state.proposals()] == ["open"]


def test_a_file_of_a_newer_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    State(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(TooNewStateError, match=r"schema 99.*Install the newer version"):
        State(path)


_OPENS = """
import sys
from pathlib import Path
from retaild.runtime.state import State
sys.stdin.readline()
State(Path(sys.argv[1])).close()
"""


def test_many_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    for number in range(5):
        command = [sys.executable, "-c", _OPENS, str(tmp_path / f"{number}.db")]
        crowd = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(4)]
        for process in crowd:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.close()
        assert [process.wait(30) for process in crowd] == [0] * 4
