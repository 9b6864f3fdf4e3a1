"""The real server, closed, in a real browser: signing in and the main act of each admin page."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from retaild.runtime.access import audit
from retaild.runtime.alerts import raise_alert, resolve_alert
from retaild.runtime.alerts.desk import AlertDesk
from retaild.runtime.instances import InstanceStore
from tests.rest.daemon import DaemonThread, back_up
from tests.rest.door import PASSWORDS, closed_server
from tests.rest.serving import InThread
from tests.web.browsing import SIZES, Tab, open_tab
from tests.web.test_pages_access import violations

pytestmark = pytest.mark.browser

MORE = """
[source.tills]
plugin = "tabular"
path = "inbox/*.csv"
family = "sale"
[backup]
directory = "{place}"
"""
#: Panels that are tested here, and their headings.
PANELS = {"access": "People and keys", "audit": "Audit log", "alerts": "Alerts",
          "doctor": "Doctor", "config": "Configuration", "instances": "Instances",
          "backups": "Backups"}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InThread]:
    root, place = tmp_path_factory.mktemp("pages"), tmp_path_factory.mktemp("safe")
    with closed_server(root, MORE.format(place=place)) as running, DaemonThread(running.context):
        yield running


@pytest.fixture
def tab(chromium: Any, server: InThread) -> Iterator[Tab]:
    tab = open_tab(chromium, server.url)
    tab.page.set_default_timeout(30_000)  # passwords are hashed at a cost
    yield tab
    tab.page.context.close()
    # A refused page is a message of the browser's own; a violation of the policy is not.
    tab.errors = [e for e in tab.errors if not re.search(r"status of (401|403|429)", e)]
    assert (tab.errors, tab.foreign) == ([], [])


def sign_in(tab: Tab, name: str, password: str = "", path: str = "/admin") -> Any:
    page = tab.open(path) if urlsplit(tab.page.url).path != "/login" else tab.page
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password or PASSWORDS[name][0])
    page.get_by_role("button", name="Sign in", exact=True).click()
    return page


def well_made(page: Any) -> None:
    """No violation at any size, in light and dark, with all details open; no scroll sideways."""
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert violations(page) == [], (size, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, size


# -- signing in ------------------------------------------------------------------------------


def test_one_signs_in_where_one_wanted_to_go_and_out_again(tab: Tab) -> None:
    page = tab.open("/admin/doctor")
    assert urlsplit(page.url).path == "/login"
    well_made(page)
    sign_in(tab, "vera", "a wrong guess")
    page.get_by_text("The name or the password is wrong").wait_for()
    assert page.get_by_label("Name").input_value() == "vera", "the name need not be typed again"
    assert page.evaluate("document.activeElement.name") == "password"
    well_made(page)
    sign_in(tab, "vera")
    page.wait_for_url("**/admin/doctor")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    page.goto(f"{tab.origin}/admin")
    assert urlsplit(page.url).path == "/login"


def test_guessing_is_slowed_down_and_says_how_long(chromium: Any, tmp_path: Path) -> None:
    with closed_server(tmp_path, people=["vera"]) as running:
        tab, now = open_tab(chromium, running.url), [1000.0]
        assert running.services is not None
        running.services.access.limiter.clock = lambda: now[0]
        for number in range(4):
            page = sign_in(tab, "vera", f"guess {number}")
            page.get_by_text("The name or the password is wrong").wait_for()
        page = sign_in(tab, "vera")
        page.get_by_text("Too many failed attempts; the next one is possible in 1 s.").wait_for()
        well_made(page)
        now[0] += 1.1
        sign_in(tab, "vera")
        page.wait_for_url("**/admin")
        page.context.close()


def test_a_session_that_has_ended_leads_to_the_login_and_back(tab: Tab, server: InThread) -> None:
    page = sign_in(tab, "olga", path="/admin/jobs")
    page.wait_for_url("**/admin/jobs")
    with server.context.state.transaction() as connection:
        connection.execute("UPDATE session SET expires = ? WHERE name = 'olga'", [time.time() - 1])
    assert server.services is not None
    server.services.access.verifier.forget()
    page.goto(f"{tab.origin}/admin/quality")
    assert urlsplit(page.url).path == "/login"
    sign_in(tab, "olga")
    page.wait_for_url("**/admin/quality")


# -- the panels --------------------------------------------------------------------------------


@pytest.fixture
def panel(tab: Tab, server: InThread) -> Any:
    """Opens a panel as an administrator."""
    sign_in(tab, "ada").wait_for_url("**/admin")

    def show(name: str) -> Any:
        page = tab.open(f"/admin/{name}")
        assert page.get_by_role("heading", level=1).inner_text() == PANELS[name]
        return page

    return show


def last(server: InThread) -> tuple[str, str, str]:
    entry = audit.entries(server.context.state, limit=1)["entries"][0]
    return entry["who"], entry["what"], entry["target"]


def test_a_user_is_added_changed_and_removed(panel: Any, server: InThread) -> None:
    page = panel("access")
    form = page.locator('form[action="/admin/access/users"]')
    form.get_by_label("Name").fill("bob")
    form.get_by_label("Password").fill("brown bison bakery")
    form.get_by_label("Role").select_option("viewer")
    form.get_by_role("button", name="Add").click()
    page.get_by_text("The user was added.").wait_for()
    page.get_by_label("Role of bob").select_option("operator")
    page.get_by_role("button", name="Set role of bob").click()
    page.get_by_text("sessions were ended").wait_for()
    assert last(server) == ("user ada", "user.change", "bob")
    well_made(page)
    row = page.locator("tr", has=page.get_by_label("Role of bob"))
    with page.expect_navigation():
        row.get_by_role("button", name="Remove").click()
    assert page.get_by_label("Role of bob").count() == 0
    assert last(server) == ("user ada", "user.remove", "bob")


def test_a_key_is_made_shown_once_and_revoked(panel: Any, server: InThread) -> None:
    page = panel("access")
    page.get_by_label("Who uses it").fill("web-shop")
    page.get_by_label(re.compile("^recommend:")).check()
    page.get_by_role("button", name="Make key").click()
    token = page.get_by_label("Key of web-shop").input_value()
    own = {"authorization": f"Bearer {token}"}
    assert server.client.get("/api/v1/products", headers=own).status_code == 200
    well_made(page)
    page = panel("access")
    assert token not in page.content()
    assert page.get_by_label("Key of web-shop").count() == 0
    page.get_by_role("button", name="Revoke web-shop").click()
    page.get_by_text("The key opens nothing any more.").wait_for()
    assert server.client.get("/api/v1/products", headers=own).status_code == 401
    assert last(server)[:2] == ("user ada", "key.revoke")


def test_the_audit_log_is_read_and_filtered(panel: Any) -> None:
    page = panel("audit")
    page.locator("main table").get_by_text("session.begin").first.wait_for()
    well_made(page)
    page.get_by_label("What").select_option("session.begin")
    page.wait_for_url("**what=session.begin**")
    assert "key.revoke" not in page.locator("main table").inner_text()


def test_an_alert_is_taken_on_and_silenced(panel: Any, server: InThread) -> None:
    raise_alert(server.context.state, "disk.data", "critical", "The disk is full.", source="disk")
    page = panel("alerts")
    well_made(page)
    assert page.locator("#health").inner_text() == "1 alert"
    page.goto(f"{server.url}/admin/")  # with a slash, as people type it
    page.locator(".notice.bad").get_by_text("The disk is full.").wait_for()
    page = panel("alerts")
    page.get_by_role("button", name="Acknowledge disk.data").click()
    page.get_by_text("taken on by user ada").wait_for()
    page.get_by_role("button", name="Silence disk.data").click()
    page.get_by_text("Silenced: nobody is told").wait_for()
    (silence,) = AlertDesk(server.context.state).silences()
    assert 7000 < silence["until"] - time.time() <= 7200
    page.get_by_role("button", name=re.compile("^End silence")).click()
    page.get_by_text("The silence has ended.").wait_for()
    assert AlertDesk(server.context.state).silences() == []
    ends = f"{datetime.fromtimestamp(silence['until'], UTC):%Y-%m-%dT%H:%M:%SZ}"
    panel("audit").get_by_text(f'"until": "{ends}"').first.wait_for()
    resolve_alert(server.context.state, "disk.data")


def test_the_doctor_finds_and_mends(panel: Any, server: InThread) -> None:
    root = server.context.data.root
    root.chmod(0o777)
    page = panel("doctor")
    page.get_by_text("Mend: Set its mode to 770.").wait_for()
    well_made(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.locator("tr", has_text=str(root)[-20:]).get_by_role("button").first.click()
    page.get_by_text("Mended.").wait_for(timeout=60_000)
    assert root.stat().st_mode & 0o777 == 0o770


def test_an_instance_is_stopped_and_let_go_on(panel: Any, server: InThread) -> None:
    store = InstanceStore(server.context.state)
    store.put_into_quarantine("source", "tills", "it failed 5 times", "failures", ["no such file"])
    page = panel("instances")
    page.get_by_text("it failed 5 times").wait_for()
    assert "no such file" in page.content()
    well_made(page)
    page = panel("instances")  # with its details closed again
    page.get_by_role("button", name="Resume source.tills").click()
    page.get_by_text("Out of quarantine").wait_for()
    assert last(server) == ("user ada", "instance.resume", "source.tills")
    for action, standing in (("Disable", "disabled"), ("Quarantine", "quarantined")):
        why = page.get_by_label("Why source.tills is stopped")
        if not why.is_visible():
            page.get_by_label("Stop source.tills").click()
        why.fill("the till is moved")
        page.get_by_role("button", name=f"{action} source.tills").click()
        page.get_by_text("the till is moved").wait_for()
        held = store.held("source", "tills")
        assert (held.standing, held.reason, held.by) == (standing, "the till is moved", "user ada")
        freed = "Enable" if standing == "disabled" else "Resume"
        page.get_by_role("button", name=f"{freed} source.tills").click()
        page.get_by_role("button", name="Restart source.tills").wait_for()
    page.get_by_role("button", name="Restart source.tills").click()
    page.get_by_text("started again").wait_for()
    assert last(server) == ("user ada", "worker.restart", "source.tills")


def test_a_backup_is_taken_and_verified(panel: Any, server: InThread) -> None:
    path = back_up(server)
    page = panel("backups")
    page.get_by_text(f"backup restore {path}").wait_for()
    well_made(page)
    page.get_by_role("button", name="Take one now").click()
    page.get_by_text("Run 7 was started.").wait_for()
    assert last(server) == ("user ada", "backup.create", "backup")
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.get_by_role("button", name=f"Verify {path.name}").click()
    assert last(server) == ("user ada", "backup.verify", "verify-backup")


@pytest.mark.parametrize("name", ["alerts", "doctor", "instances", "backups"])
def test_a_viewer_looks_and_changes_nothing(tab: Tab, server: InThread, name: str) -> None:
    page = sign_in(tab, "vera", path=f"/admin/{name}")
    page.wait_for_url(f"**/admin/{name}")
    before = audit.entries(server.context.state)["total"]
    act = {"alerts": "/admin/alerts/silence", "doctor": "/admin/doctor",
           "instances": "/admin/instances/disable", "backups": "/admin/backups"}[name]  # fmt: skip
    status = page.evaluate(
        """async act => (await fetch(act, {method: 'POST', body: new URLSearchParams({
            csrf: document.body.dataset.csrf, kind: 'source', name: 'tills'})})).status""",
        act,
    )
    assert status == 403
    assert audit.entries(server.context.state)["total"] == before
