"""The debug bundle is useful, can always be had, and tells nothing about anyone."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from retaild.config.paths import DataDir
from retaild.runtime.alerts import raise_alert
from retaild.runtime.bundle import collect
from retaild.runtime.bundle.scrub import scrub, scrub_line, scrub_values
from retaild.runtime.bundle.write import write_bundle
from retaild.runtime.state import State

#: Each is put into every place below; none may be found in the bundle.
CANARIES = (
    "17850991", "C-88231-XK", "4111111111111111", "4111 1111 1111 1111", "jane.doe@example.org",
    "Zephyrine Quillfeather", "hunter2-passw0rd", "rk_live_9f8e7d6c5b4a", "TOADSTOOL NIGHTLIGHT",
    "s3cret-file-content", "+44 20 7946 0958", "1984-03-07", "12.3456",
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    data = DataDir(tmp_path / "data")
    data.create()
    return data


@pytest.fixture(autouse=True)
def no_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds, and has a test of its own here."""
    monkeypatch.delitem(collect.PARTS, "doctor")


def bundle(data: DataDir, config: Path | None, target: Path) -> dict[str, str]:
    write_bundle(target, data, config)
    with tarfile.open(target) as tar:
        return {
            member.name.removeprefix("retaild-debug/"): tar.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in tar
        }


def plant(data: DataDir, config: Path) -> None:
    """Customers, cards and passwords, wherever a careless plugin could put them."""
    secret = config.parent / "secret"
    secret.write_text("s3cret-file-content")
    text = " and ".join(CANARIES)
    listed = json.dumps(list(CANARIES))
    config.write_text(
        f"[recommendations]\nexcluded_products = {listed}\nexcluded_categories = {listed}\n"
        f'[source.tills]\nplugin = "tabular"\npath = "/home/Zephyrine Quillfeather/17850991"\n'
        f'note = "{text}"\npassword = "hunter2-passw0rd"\naccount = 17850991\n'
        f'token = {{file = "{secret}"}}\n"jane.doe@example.org" = "x"\n'
    )
    state = State(data.state_db)
    state.save_worker("ingest", kind="ingest", state="backoff", last_error=f"cannot read: {text}")
    state.beat("ingest", {"rows": 12, "customer": text, text: 1})
    run = state.request_run("train", "train", {"as_of": text}, "person")
    assert run is not None
    state.save_run(run, state="failed", error=f"job failed: {text}", text=text, result={"x": text})
    state.save_source_position("tills", {"file": text, "till": "17850991"})
    state.count_source("tills", accepted=3)
    state.save_source_error("tills", f"{text} is not a price")
    row = {"table_name": "silver.sale", "check_name": "prices", "passed": 0, "value": 17850991.0}
    state.save_quality([{**row, "detail": text}])
    state.replace_open_proposals(
        [{"id": "1", "product_id": "TOADSTOOL NIGHTLIGHT", "created": 1.0, "current_price":
          "12.3456", "proposed_price": "1", "payload": {"x": text}}]
    )  # fmt: skip
    state.add_model_event("recommender", 1, "promoted", text, {"ndcg": 0.4, text: 1.0})
    state.save_replay("17850991", text)
    raise_alert(state, "silent:tills", "warning", text, source="tills", details={"x": text})
    line = "2026-01-31T12:00:00.123Z ERROR   retaild.stream: the log cannot be written:"
    trace = f'Traceback (most recent call last):\n  File "/home/{CANARIES[0]}/x.py", line 3, in f\n'
    data.worker_log("stream").write_text(f"{line} {text}\n{text}\n{trace}ValueError: {text}\n")
    (data.root / "sources" / "Zephyrine").mkdir(parents=True)
    (data.root / "C-88231-XK").mkdir()
    (data.lake / "silver" / "sale" / "_delta_log").mkdir(parents=True)
    commit = data.lake / "silver" / "sale" / "_delta_log" / f"{0:020d}.json"
    commit.write_text(f'{{"broken": "{text}"')


def test_no_canary_is_in_the_bundle(data: DataDir, tmp_path: Path) -> None:
    config = tmp_path / "retaild.toml"
    plant(data, config)
    target = tmp_path / "bundle.tar.gz"
    parts = bundle(data, config, target)
    raw = gzip.decompress(target.read_bytes()) + target.read_bytes()
    assert [canary for canary in CANARIES if canary.encode() in raw] == []
    # Nor in pieces: names without their family name, numbers without their dashes.
    for piece in ("Zephyrine", "Quillfeather", "jane", "doe@", "hunter2", "9f8e7d", "7946", "88231",
                  "TOADSTOOL", "NIGHTLIGHT", "3456", "1984"):  # fmt: skip
        assert piece.encode() not in raw, piece
    assert target.stat().st_mode & 0o777 == 0o600
    assert json.loads(parts["state.json"])["worker"][0]["last_error"].startswith("cannot read: ")


def test_it_says_what_helps(data: DataDir, tmp_path: Path) -> None:
    config = tmp_path / "retaild.toml"
    plant(data, config)
    parts = bundle(data, config, tmp_path / "bundle.tar.gz")
    state = json.loads(parts["state.json"])
    assert state["job_run"][0]["state"] == "failed"
    assert state["source"][0]["accepted"] == 3
    assert state["quality"][0]["check"] == "prices"
    assert state["worker"][0]["figures"]["rows"] == 12
    assert json.loads(parts["packages.json"])["deltalake"]
    settings = json.loads(parts["configuration.json"])["settings"]
    assert settings["lake"]["log_hours"] == 24
    assert settings["source"]["tills"]["settings"]["password"] == "<hidden>"
    assert settings["source"]["tills"]["settings"]["token"] == "<kept in a file>"
    assert parts["logs/stream.log"].startswith(
        "2026-01-31T12:00:00.123Z ERROR retaild.stream: the log cannot be written: "
    )
    assert json.loads(parts["lake.json"])["silver.sale"]["unreadable"]


@pytest.mark.parametrize("broken", ["state", "config", "nothing there"])
def test_it_can_be_had_when_things_are_broken(data: DataDir, tmp_path: Path, broken: str) -> None:
    config = tmp_path / "retaild.toml"
    config.write_text("[api]\nport = \n" if broken == "config" else "")
    if broken == "state":
        data.state_db.write_bytes(b"this is no database at all" * 400)
    place = DataDir(tmp_path / "absent") if broken == "nothing there" else data
    parts = bundle(place, config, tmp_path / "bundle.tar.gz")
    answered = json.loads(parts["machine.json"])
    assert answered["retaild"]
    if broken == "config":
        assert json.loads(parts["configuration.json"])["faults"][0]["line"] == 2
    else:
        assert json.loads(parts["state.json"])["unavailable"] in (
            "DatabaseError", "OperationalError",
        )  # fmt: skip


def test_what_the_doctor_says_is_in_it(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    State(data.state_db)
    monkeypatch.setitem(collect.PARTS, "doctor", collect.doctor)
    checks = {finding["check"] for finding in collect.part("doctor", data, None)}
    assert {"disk", "state", "schema"} <= checks


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("the lake has the log up to entry 12 (340 rows)",
         "the lake has the log up to entry 12 (340 rows)"),
        ("customer 17850 cannot be read", "customer <number> cannot be read"),
        ("cannot read /srv/tills/Jane.csv", "cannot read /<path>"),
        ("OSError: [Errno 28] No space left on device",
         "OSError: [Errno 28] No space left on device"),
    ],
)  # fmt: skip
def test_messages_stay_legible(said: str, kept: str) -> None:
    assert scrub(said) == kept


def test_a_traceback_keeps_the_places_in_the_program() -> None:
    line = (
        '  File "/opt/venv/lib/python3.11/site-packages/retaild/runtime/stream.py", line 7, in run'
    )
    assert scrub_line(line).endswith('retaild/runtime/stream.py", line 7, in run')


def test_settings_keep_their_structure() -> None:
    given: dict[str, Any] = {"a": {"api_key": "x", "limit": 5, "on": True}, "path": ["/home/jane"]}
    assert scrub_values(given) == {
        "a": {"api_key": "<hidden>", "limit": 5, "on": True}, "path": ["/<path>"],
    }  # fmt: skip
