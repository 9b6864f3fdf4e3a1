"""Card numbers that people type where a reason or a name is asked for are kept nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from retaild.runtime.access import audit
from retaild.runtime.access.permissions import PERMISSIONS
from retaild.runtime.alerts import raise_alert
from tests.rest.daemon import DaemonThread
from tests.rest.door import closed_server, key
from tests.rest.serving import InThread
from tests.rest.test_rest_decisions import open_proposals
from tests.runtime.serving.shops import NOON, Till

#: A published test number, spelled in two ways.
CARD, SPACED = "4111111111111111", "4111 1111 1111 1111"
SAID = f"paid with {CARD} or {SPACED}"
TILLS = """
[source.tills]
plugin = "tabular"
path = "inbox/*.csv"
family = "sale"
"""
ASKED: Mapping[str, Any] = {
    "/price-proposals/proposal-a/approve": {"comment": SAID},
    "/price-proposals/proposal-b/reject": {"comment": SAID},
    "/models/recommender/promote": {"version": 1, "reason": SAID},
    "/models/recommender/rollback": {"reason": SAID},
    "/alerts/silences": {"key": "disk", "seconds": 60, "comment": SAID},
    "/instances/source/tills/quarantine": {"reason": SAID},
    "/instances/source/tills/resume": {},
    "/instances/source/tills/disable": {"reason": SAID},
    "/keys": {"name": SAID, "scopes": ["ingest"]},
}


@pytest.fixture
def server(tmp_path: Any) -> Iterator[InThread]:
    with closed_server(tmp_path, TILLS) as running, DaemonThread(running.context):
        running.client.headers["authorization"] = f"Bearer {key(running, *PERMISSIONS)}"
        yield running


def test_what_people_type_is_masked(server: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retaild.runtime.registry.version", lambda *_: None)
    monkeypatch.setattr("retaild.runtime.registry.trainers", lambda *_: ["recommender"])
    till, state = Till(), server.context.state
    server.events(*(till.sale(f"x{n}", p, NOON + n) for n, p in enumerate("aabbc")))
    open_proposals(server)
    raise_alert(state, "disk.data", "critical", "The disk is full.", source="disk")
    for path, body in ASKED.items():
        answer = server.client.post(f"/api/v1{path}", json=body)
        assert answer.status_code < 300, (path, answer.text)
    said = {entry["what"]: str(entry) for entry in audit.entries(state)["entries"]}
    for what in (
        "price.reject", "model.promote", "model.rollback", "alert.silence",
        "instance.disable", "instance.quarantine", "key.create",
    ):  # fmt: skip
        assert "411111******1111" in said[what], (what, said[what])
    state.row("PRAGMA wal_checkpoint(TRUNCATE)")
    root = server.context.data.root
    found = [
        path.relative_to(root)
        for path in root.rglob("*")
        if path.is_file() and any(form.encode() in path.read_bytes() for form in (CARD, SPACED))
    ]
    assert found == []
