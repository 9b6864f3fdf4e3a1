"""Every route of the OpenAPI that changes something is asked, and leaves who, what, from, to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from retaild.rest.access import SAFE
from retaild.runtime.access import audit
from retaild.runtime.access.permissions import PERMISSIONS
from retaild.runtime.alerts import raise_alert
from tests.rest.daemon import DaemonThread, back_up
from tests.rest.door import browser, closed_server, key, sign_in
from tests.rest.serving import InThread
from tests.rest.test_rest_decisions import carry, open_proposals
from tests.runtime.serving.shops import NOON, Till

Route = tuple[str, str]
#: Leave no entry of their own.
EXCEPTIONS: Mapping[Route, str] = {
    ("POST", "/api/v1/recommendations/basket"): "a question",
    ("POST", "/api/v1/events"): "the shop's events; the log keeps them",
    ("POST", "/api/v1/config/reload"): "the daemon writes it: tests/daemon/test_audit.py",
}
#: Have nothing to state before, or after.
NO_BEFORE = "was not there, or is only asked for"
NO_AFTER = "is not there any more"
WHY: Mapping[str, str] = {
    "user.add": NO_BEFORE,
    "key.create": NO_BEFORE,
    "alert.silence": NO_BEFORE,
    "job.run": NO_BEFORE,
    "backup.create": NO_BEFORE,
    "backup.verify": NO_BEFORE,
    "bundle.debug": NO_BEFORE,
    "user.remove": NO_AFTER,
    "key.revoke": NO_AFTER,
    "session.revoke": NO_AFTER,
}
#: Route -> the entry's name, its target, and the request, in an order in which all succeed.
ASKED: Mapping[Route, tuple[str, str, Any]] = {
    ("POST", "/api/v1/price-proposals/proposal-a/approve"): ("price.approve", "proposal-a", {}),
    ("POST", "/api/v1/price-proposals/proposal-b/reject"): ("price.reject", "proposal-b", {}),
    ("POST", "/api/v1/jobs/gold/run"): ("job.run", "gold", {}),
    ("POST", "/api/v1/models/recommender/promote"): ("model.promote", "recommender",
                                                      {"version": 1}),
    ("POST", "/api/v1/models/recommender/rollback"): ("model.rollback", "recommender", {}),
    ("POST", "/api/v1/dead-letters/replay"): ("dead_letter.replay", "", {"event_ids": ["LETTER"]}),
    ("POST", "/api/v1/doctor/fix"): ("doctor.fix", "FINDING", {"id": "FINDING"}),
    ("POST", "/api/v1/alerts/1/acknowledge"): ("alert.acknowledge", "disk.data", {}),
    ("POST", "/api/v1/alerts/silences"): ("alert.silence", "", {"key": "disk", "seconds": 60}),
    ("DELETE", "/api/v1/alerts/silences/1"): ("alert.unsilence", "silence 1", None),
    ("POST", "/api/v1/backups"): ("backup.create", "backup", None),
    ("POST", "/api/v1/backups/BACKUP/verify"): ("backup.verify", "verify-backup", None),
    ("POST", "/api/v1/debug-bundle"): ("bundle.debug", "", None),
    ("POST", "/api/v1/instances/source/tills/quarantine"): (
        "instance.quarantine", "source.tills", {"reason": "odd"}),
    ("POST", "/api/v1/instances/source/tills/resume"): ("instance.resume", "source.tills", {}),
    ("POST", "/api/v1/instances/source/tills/disable"): ("instance.disable", "source.tills", {}),
    ("POST", "/api/v1/instances/source/tills/enable"): ("instance.resume", "source.tills", {}),
    ("POST", "/api/v1/instances/source/tills/restart"): ("worker.restart", "source.tills", {}),
    ("POST", "/api/v1/users"): (
        "user.add", "bob", {"name": "bob", "password": "brown bison bakery", "roles": ["viewer"]}),
    ("PATCH", "/api/v1/users/bob"): ("user.change", "bob", {"roles": ["operator"]}),
    ("DELETE", "/api/v1/users/bob"): ("user.remove", "bob", None),
    ("POST", "/api/v1/keys"): ("key.create", "", {"name": "shop", "scopes": ["ingest"]}),
    ("DELETE", "/api/v1/keys/KEY"): ("key.revoke", "KEY", None),
    ("DELETE", "/api/v1/sessions/SESSION"): ("session.revoke", "SESSION", None),
}  # fmt: skip
MORE = """
[source.tills]
plugin = "tabular"
path = "inbox/*.csv"
family = "sale"
[backup]
directory = "{place}"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InThread]:
    root, place = tmp_path_factory.mktemp("trail"), tmp_path_factory.mktemp("safe")
    with closed_server(root, MORE.format(place=place)) as running, DaemonThread(running.context):
        running.client.headers["authorization"] = f"Bearer {key(running, *PERMISSIONS)}"
        yield running


@pytest.fixture(scope="module")
def given(server: InThread) -> Callable[[str], str]:
    """Something of each sort to change; the names that stand for it above are put in."""
    context, ask = server.context, server.client
    till = Till()
    server.events(*(till.sale(f"x{n}", p, NOON + n) for n, p in enumerate("aabbc")))
    open_proposals(server)
    ask.post("/api/v1/events", content=b'{"family":"activity","action":"leap"}')
    carry(server)
    raise_alert(context.state, "disk.data", "critical", "The disk is full.", source="disk")
    backup = back_up(server)
    context.data.root.chmod(0o777)
    with browser(server) as client:
        assert sign_in(client, "vera").status_code == 303
    findings = ask.get("/api/v1/doctor", timeout=60).json()["findings"]
    names = {
        "LETTER": ask.get("/api/v1/dead-letters").json()["dead_letters"][0]["event_id"],
        "FINDING": next(f["id"] for f in findings if f["check"] == "permissions" and f["fix"]),
        "BACKUP": backup.name,
        "SESSION": ask.get("/api/v1/sessions").json()["sessions"][0]["id"],
    }

    def put_in(text: str) -> str:
        listed = ask.get("/api/v1/keys")
        assert listed.status_code == 200, listed.text
        keys = listed.json()["keys"]
        own = next((one["id"] for one in keys if one["name"] == "shop"), "")
        for name, value in {**names, "KEY": own}.items():
            text = text.replace(name, value)
        return text

    return put_in


def test_every_route_that_changes_something_is_asked(server: InThread) -> None:
    document = server.client.get("/api/v1/openapi.json").json()
    changing = {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item
        if method.upper() not in SAFE
    }
    asked = {_route(changing, method, path) for method, path in ASKED}
    assert asked | set(EXCEPTIONS) == changing


def _route(known: set[Route], method: str, path: str) -> Route:
    """The route that an address belongs to: the one with the fewest parameters."""
    parts = path.split("/")
    fitting = [
        route
        for route in known
        if route[0] == method
        and len(route[1].split("/")) == len(parts)
        and all(
            a == b or a.startswith("{") for a, b in zip(route[1].split("/"), parts, strict=True)
        )
    ]
    return min(fitting, key=lambda route: route[1].count("{"))


def test_each_change_leaves_who_what_before_and_after(
    server: InThread, given: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retaild.runtime.registry.version", lambda *_: None)
    monkeypatch.setattr("retaild.runtime.registry.trainers", lambda *_: ["recommender"])
    state, lacking = server.context.state, []
    for (method, path), (what, target, body) in ASKED.items():
        before = audit.entries(state)["total"]
        answer = _ask(server.client, method, given(path), given(json.dumps(body)))
        assert answer.status_code < 300, (path, answer.text)
        assert audit.entries(state)["total"] == before + 1, path
        entry = audit.entries(state, limit=1)["entries"][0]
        assert (entry["what"], entry["via"]) == (what, "api"), path
        assert entry["who"].startswith("key test ("), path
        if target:
            assert entry["target"] == given(target), path
        why = WHY.get(what)
        if (entry["before"] is None) != (why == NO_BEFORE) or (
            entry["after"] is None) != (why == NO_AFTER):  # fmt: skip
            lacking.append((what, entry["target"], entry["before"], entry["after"]))
    assert lacking == []
    assert "brown bison" not in str(state.rows("SELECT * FROM audit"))
    assert audit.verify(state).broken is None


def _ask(client: httpx.Client, method: str, path: str, body: str) -> httpx.Response:
    headers = {"content-type": "application/json"} if body != "null" else {}
    content = body if body != "null" else None
    return client.request(method, path, content=content, headers=headers, timeout=60)


#: Forms of the pages, each sent twice, and how many entries there are of it in the end.
FORMS: Mapping[str, tuple[str, dict[str, str], int]] = {
    "/pricing": ("price.decide", {"one": "reject:proposal-a"}, 1),
    "/admin/alerts/acknowledge": ("alert.acknowledge", {"id": "1"}, 1),
    "/admin/dead-letters": ("dead_letter.replay", {"nothing": "chosen"}, 0),
}


def test_a_page_s_button_leaves_an_entry_for_what_it_changed_and_none_for_nothing(
    tmp_path: Path,
) -> None:
    with closed_server(tmp_path) as server:
        headers = {"authorization": f"Bearer {key(server, *PERMISSIONS)}"}
        state, till = server.context.state, Till()
        server.client.headers.update(headers)
        server.events(*(till.sale(f"x{n}", p, NOON + n) for n, p in enumerate("aabbc")))
        open_proposals(server)
        raise_alert(state, "disk.data", "critical", "The disk is full.", source="disk")
        with browser(server, headers=headers) as client:
            for path, (what, form, entries) in FORMS.items():
                for _ in range(2):
                    answer = client.post(path, data=form)
                    assert answer.status_code == 303, (path, answer.text[:300])
                    assert audit.entries(state, what=what)["total"] == entries, path
        (entry,) = audit.entries(state, what="price.decide")["entries"]
        assert (entry["before"], entry["via"]) == ({"state": "open"}, "web")


def test_what_is_refused_leaves_nothing(server: InThread, given: Callable[[str], str]) -> None:
    state = server.context.state
    before = audit.entries(state)["total"]
    with browser(server, headers={"authorization": f"Bearer {key(server, 'view')}"}) as viewer:
        for method, path in ASKED:
            assert viewer.request(method, given(path)).status_code == 403, path
    assert server.client.delete("/api/v1/users/nobody").status_code == 404
    assert server.client.post("/api/v1/instances/source/none/disable").status_code == 404
    assert server.client.post("/api/v1/instances/source/tills/resume").status_code == 400
    assert audit.entries(state)["total"] == before
