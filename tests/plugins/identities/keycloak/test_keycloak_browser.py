"""From a page to Keycloak and back, in a real browser, against a real Keycloak and server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from retaild_plugins.identities.keycloak.plugin import retaild_identity_providers

from retaild.runtime.access import audit
from retaild.runtime.access.keys import ApiKeys
from tests.plugins.identities.keycloak.realm import PASSWORD, Realm
from tests.rest.door import CLOSED, IdentityThread
from tests.rest.serving import InThread
from tests.web.conftest import chromium  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture
def server(own_realm: Realm, tmp_path: Any) -> Iterator[InThread]:
    """The server, closed, with Keycloak behind the identity component's real socket."""
    running = InThread(tmp_path, f'{CLOSED}[identity]\nplugin = "keycloak"\n', pages=True)
    token = ApiKeys(running.context.state).create("probe", ["metrics"], "test", 1)[1]
    running.client.headers["authorization"] = f"Bearer {token}"
    (spec,) = retaild_identity_providers()
    with IdentityThread(running.context.data, own_realm.provider(), spec), running:
        yield running


@pytest.fixture
def page(chromium: Any, server: InThread) -> Iterator[Any]:  # noqa: F811
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def sign_in(page: Any, server: InThread, user: str, path: str) -> dict[str, list[str]]:
    """By the page that asks for it; what the browser was sent to Keycloak with."""
    page.goto(server.url + path)
    assert urlsplit(page.url).path == "/login"
    page.get_by_role("link", name="Sign in with Keycloak").click()
    page.locator("#username").wait_for()
    asked = parse_qs(urlsplit(page.url).query)
    page.locator("#username").fill(user)
    page.locator("#password").fill(PASSWORD)
    page.locator("#kc-login").click()
    page.wait_for_url(f"{server.url}/**")
    return asked


def test_an_operator_is_led_to_keycloak_and_back_to_the_page(
    page: Any, server: InThread, own_realm: Realm
) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    asked = sign_in(page, server, "ann", "/admin/jobs?job=gold")
    assert urlsplit(page.url).path == "/admin/jobs"
    assert urlsplit(page.url).query == "job=gold"
    assert page.get_by_role("heading", level=1).inner_text() == "Jobs"
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43  # SHA-256 in base64url, RFC 7636
    assert not any("code_verifier" in url for url in sent), "the verifier stays in the server"
    # An operator may restart an instance, and may not look after people.
    page.goto(f"{server.url}/admin/instances")
    assert page.get_by_role("button", name="Restart identity.identity").count() == 1
    refused = page.goto(f"{server.url}/admin/access")
    assert refused.status == 403
    assert "administer" in page.content()
    (entry,) = audit.entries(server.context.state)["entries"]
    assert (entry["who"], entry["what"]) == ("user ann", "session.begin")
    assert entry["after"]["provider"] == "keycloak"
    assert own_realm.sessions("ann") == 1


def test_a_viewer_looks_and_changes_nothing(page: Any, server: InThread) -> None:
    sign_in(page, server, "vic", "/admin/doctor")
    assert page.get_by_role("heading", level=1).inner_text() == "Doctor"
    page.goto(f"{server.url}/admin/jobs")
    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        page.get_by_role("button", name="Run gold now").click()
    assert answered.value.status == 403
    assert [e["what"] for e in audit.entries(server.context.state)["entries"]] == ["session.begin"]


def test_who_has_no_role_gets_in_and_sees_nothing(page: Any, server: InThread) -> None:
    sign_in(page, server, "joe", "/admin/jobs")
    assert page.get_by_role("heading", level=1).inner_text() != "Jobs"
    assert "view" in page.locator("main").inner_text()


def test_signing_out_ends_both_sessions(page: Any, server: InThread, own_realm: Realm) -> None:
    sign_in(page, server, "ann", "/admin")
    cookies = {c["name"]: c["value"] for c in page.context.cookies(server.url)}
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login?done=signed-out")
    assert own_realm.sessions("ann") == 0
    # The cookie of before opens nothing, and Keycloak asks for the password again.
    page.context.add_cookies([
        {"name": "retaild_session", "value": cookies["retaild_session"], "url": server.url}
    ])  # fmt: skip
    page.goto(f"{server.url}/admin")
    assert urlsplit(page.url).path == "/login"
    page.get_by_role("link", name="Sign in with Keycloak").click()
    page.locator("#password").wait_for()
    assert [e["what"] for e in audit.entries(server.context.state)["entries"]] == [
        "session.end", "session.begin",
    ]  # fmt: skip
