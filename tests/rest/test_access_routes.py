"""Every route, from the application itself: closed, with too little, with enough, and noted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from retaild.rest.access import SAFE, Rule, Rules
from retaild.runtime.access import audit
from retaild.runtime.access.permissions import PERMISSIONS, ROLE_PERMISSIONS
from tests.rest.door import browser, closed_server, field, key, sign_in
from tests.rest.serving import InThread

#: Open to everybody; whoever adds a route here says why it may be.
OPEN = {
    "/health/live": "a supervisor asks whether the process lives",
    "/api/v1/me": "says who is asking, and nothing else",
    "/login": "how one signs in",
    "/login/start": "how one signs in",
    "/login/callback": "how one signs in",
    "/login/refused": "why a page may not be seen",
    "/logout": "holds the session's token against the form itself",
    "/preferences/theme": "sets a cookie of colours",
    "/static/{name}": "style and script of the login page",
}
#: Change nothing that a person decides, so nothing is noted.
NOT_NOTED = {
    "/api/v1/recommendations/basket": "a question",
    "/api/v1/events": "the shop's events; the log keeps them",
    "/recommendations/{customer_id}": "an event too",
    "/api/v1/config/reload": "the daemon itself notes every reload, whoever asked",
    "/admin/config": "the same",
    **{
        f"{place}/{action}": "the daemon itself notes every change of standing, whoever asked"
        for place in ("/api/v1/instances/{kind}/{name}", "/admin/instances")
        for action in ("resume", "enable", "disable", "quarantine")
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InThread]:
    with closed_server(tmp_path_factory.mktemp("routes")) as running:
        yield running


@pytest.fixture(scope="module")
def rules(server: InThread) -> list[Rule]:
    from retaild.rest.app import create_api
    from retaild.rest.metrics import Metrics
    from retaild.rest.serve import page_routes

    assert server.services is not None
    api = create_api(server.services, Metrics(server.services), None)  # type: ignore[arg-type]
    api.router.routes.extend(page_routes(server.services))
    return Rules(api).rules


@pytest.fixture(scope="module")
def keys(server: InThread) -> dict[str, str]:
    """A key for each permission alone."""
    return {permission: key(server, permission) for permission in PERMISSIONS}


@pytest.fixture(scope="module")
def browsers(server: InThread) -> Iterator[dict[str, httpx.Client]]:
    """Somebody of each role, signed in."""
    clients = {}
    for name, role in (("vera", "viewer"), ("olga", "operator"), ("ada", "admin")):
        clients[role] = browser(server)
        assert sign_in(clients[role], name).status_code == 303
    yield clients
    for client in clients.values():
        client.close()


def asks(rules: list[Rule]) -> list[tuple[Rule, str, str]]:
    """(rule, method, an address that it fits) of every route and method."""
    return [
        (rule, method, _address(rule))
        for rule in rules
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"})
    ]


def _address(rule: Rule) -> str:
    path = rule.path
    for name in rule.pattern.groupindex:
        path = path.replace(f"{{{name}}}", "7").replace(f"{{{name}:path}}", "7")
        path = path.replace(f"{{{name}:int}}", "7")
    assert "{" not in path
    return path


def _stream(path: str) -> bool:
    return path == "/api/v1/stream"


def _ask(client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    """Its status and headers; of a stream no more is read."""
    with client.stream(method, path, **more) as answer:
        if not _stream(path) or answer.status_code != 200:
            answer.read()
        return answer


def test_every_route_says_what_it_needs(rules: list[Rule]) -> None:
    silent = [r.path for r in rules if not r.declared and not r.methods <= SAFE]
    assert silent == []
    silent = [r.path for r in rules if not r.declared and not r.page and "openapi" not in r.path]
    assert silent == []
    assert {r.path for r in rules if r.needs.permission is None} == set(OPEN)


def test_every_change_has_a_name_in_the_audit_log(rules: list[Rule]) -> None:
    unnamed = {r.path for r in rules if r.changes and not r.needs.audit}
    assert {path for path in unnamed if path not in OPEN} == set(NOT_NOTED)


def test_without_credentials_all_is_closed(server: InThread, rules: list[Rule]) -> None:
    with browser(server) as client:
        for rule, method, path in asks(rules):
            answer = _ask(client, method, path)
            if rule.path in OPEN:
                assert "www-authenticate" not in answer.headers, rule.path
                assert not answer.headers.get("location", "").startswith("/login?next"), rule.path
            elif rule.page:
                assert answer.status_code == 303, (method, path)
                assert answer.headers["location"].startswith("/login"), path
            else:
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.json()["type"] == "access.not_signed_in"


@pytest.mark.parametrize(
    "given", ["Bearer retaild_abcdefgh1234_" + "x" * 43, "Bearer a.b.c", "Basic YTpi", "Bearer"]
)
def test_bad_credentials_open_nothing(server: InThread, rules: list[Rule], given: str) -> None:
    with browser(server, headers={"authorization": given}) as client:
        for rule, method, path in asks(rules):
            if rule.path not in OPEN and not rule.page:
                assert _ask(client, method, path).status_code == 401, (method, path)


@pytest.mark.parametrize("scope", PERMISSIONS)
def test_a_key_opens_what_its_scope_says_and_nothing_else(
    server: InThread, rules: list[Rule], keys: dict[str, str], scope: str
) -> None:
    with browser(server, headers={"authorization": f"Bearer {keys[scope]}"}) as client:
        for rule, method, path in asks(rules):
            if rule.path in OPEN:
                continue
            answer = _ask(client, method, path)
            refused = answer.status_code == 403
            assert refused == (rule.needs.permission != scope), (method, path, answer.status_code)
            if refused and not rule.page:
                assert answer.json()["type"] == "access.forbidden"
            assert answer.status_code not in (401, 500), (method, path)


@pytest.mark.parametrize("role", ROLE_PERMISSIONS)
def test_a_session_opens_what_its_role_says(
    server: InThread, rules: list[Rule], browsers: dict[str, httpx.Client], role: str
) -> None:
    client = browsers[role]
    token = field(client.get("/login").text, "csrf")
    for rule, method, path in asks(rules):
        if rule.path in OPEN:
            continue
        answer = _ask(client, method, path, headers={"x-csrf-token": token})
        refused = answer.status_code == 403 and "x-csrf" not in answer.text
        assert refused == (rule.needs.permission not in ROLE_PERMISSIONS[role]), (method, path)


def test_a_session_changes_nothing_without_its_token(
    server: InThread, rules: list[Rule], browsers: dict[str, httpx.Client]
) -> None:
    client = browsers["admin"]
    before = audit.entries(server.context.state)["total"]
    for rule, method, path in asks(rules):
        if method in SAFE or rule.path in OPEN:
            continue
        for headers in ({}, {"x-csrf-token": "wrong"}):
            answer = _ask(client, method, path, headers=headers, data={"csrf": "wrong"})
            assert answer.status_code == 403, (method, path)
    assert audit.entries(server.context.state)["total"] == before


def test_the_document_says_per_route_what_it_needs(server: InThread, rules: list[Rule]) -> None:
    with browser(server, headers={"authorization": f"Bearer {key(server, 'view')}"}) as client:
        document = client.get("/api/v1/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert schemes["session"] == {"type": "apiKey", "in": "cookie", "name": "retaild_session"}
    stated = {
        (method.upper(), path): (operation.get("x-permission"), operation["security"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    expected = {
        (method, rule.path): rule.needs.permission
        for rule in rules
        for method in rule.methods
        if (method, rule.path) in stated
    }
    assert {route: said[0] for route, said in stated.items()} == expected
    assert stated["POST", "/api/v1/events"] == ("ingest", [{"bearer": []}, {"session": []}])
    assert stated["GET", "/health/live"] == (None, [])


def test_answers_are_kept_nowhere_and_carry_the_headers(server: InThread) -> None:
    with browser(
        server, headers={"authorization": f"Bearer {key(server, *PERMISSIONS)}"}
    ) as client:
        paths = ["/api/v1/status", "/api/v1/customers/x/recommendations", "/admin", "/metrics",
                 "/api/v1/nothing", "/login"]  # fmt: skip
        for path in [*paths, paths[1]]:  # the second time by the fast lane
            headers = client.get(path).headers
            assert headers["cache-control"] == "no-store", path
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert "camera=()" in headers["permissions-policy"]
            assert "strict-transport-security" not in headers
        assert "unsafe" not in client.get("/admin").headers["content-security-policy"]


def test_a_change_is_noted_with_who_what_before_and_after(server: InThread) -> None:
    with browser(
        server, headers={"authorization": f"Bearer {key(server, *PERMISSIONS)}"}
    ) as client:
        added = client.post(
            "/api/v1/users",
            json={"name": "bob", "password": "brown bison bakery", "roles": ["viewer"]},
            headers={"x-request-id": "req-1"},
        )
        assert added.status_code == 201, added.text
        changed = client.patch("/api/v1/users/bob", json={"roles": ["operator"]})
        assert changed.json()["roles"] == ["operator"]
        assert client.delete("/api/v1/users/bob").status_code == 200
        assert client.delete("/api/v1/users/bob").status_code == 404
        found = client.get("/api/v1/audit", params={"q": "bob"}).json()
    shown = [(e["what"], e["target"], e["before"], e["after"]) for e in found["entries"]]
    assert shown == [
        ("user.remove", "bob", {"roles": ["operator"]}, None),
        ("user.change", "bob", {"roles": ["viewer"]}, {"roles": ["operator"]}),
        ("user.add", "bob", None, {"roles": ["viewer"]}),
    ]
    assert found["entries"][2]["request_id"] == "req-1"
    assert {e["via"] for e in found["entries"]} == {"api"}
    assert all(e["who"].startswith("key test (") for e in found["entries"])
    assert "brown bison" not in json.dumps(found)


def test_who_has_no_right_may_not_hand_it_on(server: InThread) -> None:
    with browser(
        server, headers={"authorization": f"Bearer {key(server, 'administer')}"}
    ) as client:
        asked = {"name": "more", "scopes": ["administer", "decide"]}
        assert client.post("/api/v1/keys", json=asked).status_code == 403
        made = client.post("/api/v1/keys", json={"name": "same", "scopes": ["administer"]})
    assert made.status_code == 201
    assert made.json()["token"].startswith(f"retaild_{made.json()['key']['id']}_")


def test_a_revoked_key_opens_nothing_at_once(server: InThread) -> None:
    path = "/api/v1/customers/x/recommendations"
    with browser(server, headers={"authorization": f"Bearer {key(server, 'administer')}"}) as admin:
        made = admin.post("/api/v1/keys", json={"name": "mine", "scopes": ["administer"]}).json()
        own = {"authorization": f"Bearer {made['token']}"}
        assert admin.get("/api/v1/keys", headers=own).status_code == 200
        assert admin.get(path, headers=own).status_code == 403
        admin.delete(f"/api/v1/keys/{made['key']['id']}")
        assert admin.get("/api/v1/keys", headers=own).status_code == 401
