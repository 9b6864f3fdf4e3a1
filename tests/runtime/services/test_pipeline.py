"""The pipeline as it runs, from the state that workers and jobs leave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retaild.config.settings import load_settings
from retaild.runtime.services.pipeline import Pipeline
from retaild.runtime.state import State

CONFIG = """
[trainer.mllib]
plugin = "spark"
[bus]
plugin = "kafka"
[service.kafka]
plugin = "kafka"
[target.redis]
plugin = "redis"
[target.search]
plugin = "elasticsearch"
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path / "state.db")
    yield state
    state.close()


def parts(tmp_path: Path, state: State | None) -> dict[str, dict[str, Any]]:
    """Kind, or kind and name where there are several, -> its row."""
    path = tmp_path / "retaild.toml"
    path.write_text(CONFIG, "utf-8")
    found = Pipeline(load_settings(path, tmp_path), state).parts()
    return {
        f"{row['part']} {row['name']}" if row["name"] != row["part"] else row["part"]: row
        for row in found
    }


def ended(found: State, job: str, at: float, result: dict[str, Any], **more: Any) -> int:
    kind, arguments = more.pop("kind", job), more.pop("arguments", {})
    run = found.request_run(job, kind, arguments, "test")
    assert run is not None
    columns = {"state": "succeeded", "finished": at, "result": result, **more}
    found.save_run(run, **columns)
    return run


def test_before_anything_ran_nothing_is_said(tmp_path: Path, state: State) -> None:
    for one in (None, state):
        found = parts(tmp_path, one)
        assert found["bus"]["state"] == "stopped"
        assert found["bus"]["services"] == ["kafka"]
        assert found["batch"]["state"] == "in jobs"
        assert all(row["last"] is None and row["figures"] == {} for row in found.values())


def test_the_log_is_as_far_behind_as_the_stream_says(tmp_path: Path, state: State) -> None:
    state.save_worker("ingest", kind="ingest", state="running")
    state.save_worker("stream", kind="stream", state="running")
    state.beat("ingest", {"lag_rows": 5, "rows_per_second": 12.5, "sources": 2})
    state.beat("stream", {"lag_rows": 900, "offset": 3})
    found = parts(tmp_path, state)
    assert found["bus"]["figures"] == {"lag_rows": 900, "rows_per_second": 12.5}
    assert found["stream"]["figures"] == {"lag_rows": 900}


def test_the_newest_publication_of_each_target_counts(tmp_path: Path, state: State) -> None:
    """Published alone, then by the chain, whose other steps failed."""
    whole = {"recommendations": 40, "products": 30, "seconds": 1.5}
    ended(state, "publish", 100.0, {"targets": {"redis": whole, "search": whole}})
    targets = {
        "redis": {"recommendations": 41, "products": 31, "seconds": 2.5},
        "search": {"error": "It is away.", "seconds": 0.5},
    }
    steps = {"gold": {"seconds": 1}, "publish": {"targets": targets, "error": "Not all."}}
    run = ended(
        state, "nightly", 200.0, {"steps": steps}, kind="refresh", state="failed", error="Steps."
    )
    found = parts(tmp_path, state)
    redis, search = found["target redis"]["last"], found["target search"]["last"]
    assert redis == {
        "run_id": run, "job": "nightly", "state": "succeeded", "at": 200.0, "error": None,
        "records": {"recommendations": 41, "products": 31}, "seconds": 2.5,
    }  # fmt: skip
    assert (search["state"], search["error"]) == ("failed", "It is away.")
    assert found["batch"]["last"]["state"] == "succeeded"


def test_a_trainer_has_its_own_runs_only(tmp_path: Path, state: State) -> None:
    other = {"trainer": "recommender"}
    ended(state, "train", 300.0, {}, arguments=other)
    own = {"trainer": "mllib"}
    ended(state, "train mllib", 200.0, {}, kind="train", arguments=own, state="killed", error="-9")
    steps = {"train mllib": {"seconds": 9}, "publish": {"left_out": "because gold failed."}}
    ended(state, "refresh", 100.0, {"steps": steps})
    found = parts(tmp_path, state)
    last = found["trainer mllib"]["last"]
    assert (last["at"], last["state"], last["error"]) == (200.0, "failed", "-9")
    # A step that was left out published nothing.
    assert found["target redis"]["last"] is None


def test_a_step_that_waits_for_a_new_shop_s_data_has_done_nothing(
    tmp_path: Path, state: State
) -> None:
    steps = {"gold": {"seconds": 1}, "publish": {"waiting": "There is no champion yet."}}
    ended(state, "refresh", 100.0, {"steps": steps})
    found = parts(tmp_path, state)
    assert found["batch"]["last"]["state"] == "succeeded"
    assert found["target redis"]["last"] is None


def test_it_can_be_sent_as_json(tmp_path: Path, state: State) -> None:
    ended(state, "publish", 100.0, {"targets": {}})
    json.dumps(parts(tmp_path, state))
