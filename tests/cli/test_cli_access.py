"""`retaildctl user|key|audit` through the real command: who may sign in, keys, the audit log."""

from __future__ import annotations

import os
import pty
import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ROOT
from tests.cli.test_cli_local import configured  # noqa: F401  (a fixture)

Ctl = Callable[..., Any]
PASSWORD = "four violet walruses"


@pytest.fixture
def say(shop: Path, configured: Path) -> Callable[..., subprocess.CompletedProcess[str]]:  # noqa: F811
    """The real command, in a process of its own, with something on its standard input."""

    def run(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "retaild.cli", *words], input=said, text=True, timeout=90,
            capture_output=True, cwd=shop, check=False,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
        )  # fmt: skip

    return run


def at_a_terminal(shop: Path, answers: list[str], *words: str) -> tuple[int, str]:
    """The command on a terminal of its own; each answer is typed when it asks."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "retaild.cli", *words], stdin=slave, stdout=slave, stderr=slave,
        cwd=shop, start_new_session=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
    )  # fmt: skip
    os.close(slave)
    shown, waiting, end = "", list(answers), time.monotonic() + 90
    while time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                more = os.read(master, 4096)
            except OSError:  # it has ended, and the terminal with it
                break
            shown += more.decode()
            if waiting and shown.endswith(": "):
                os.write(master, f"{waiting.pop(0)}\n".encode())
        elif process.poll() is not None:
            break
    os.close(master)
    return process.wait(10), shown


def test_a_user_from_the_first_day_to_the_last(
    ctl: Ctl, say: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    added = say("user", "add", "ann", "--role", "viewer", "--stdin", said=f"{PASSWORD}\n")
    assert (added.returncode, added.stdout) == (0, "ann may sign in.\n"), added.stderr
    assert PASSWORD not in added.stdout + added.stderr
    assert say("user", "add", "ann", "--stdin", said=f"{PASSWORD}\n").returncode != 0
    short = say("user", "add", "bob", "--stdin", said="short\n")
    assert short.returncode != 0
    assert "password" in short.stderr.lower()

    def user() -> dict[str, Any]:
        (only,) = ctl("user", "list", "--json").json["users"]
        return dict(only)

    assert (user()["name"], user()["roles"], user()["disabled"]) == ("ann", ["viewer"], False)
    assert ctl("user", "role", "ann", "operator").code == 0
    assert user()["roles"] == ["operator"]
    assert ctl("user", "disable", "ann").code == 0
    assert user()["disabled"] is True
    assert ctl("user", "enable", "ann").code == 0
    assert user()["disabled"] is False
    assert ctl("user", "role", "nobody", "viewer").code != 0
    assert ctl("user", "role", "ann", "emperor").code == 2
    assert ctl("user", "remove", "ann").code == 0
    assert ctl("user", "list", "--json").json == {"users": []}
    assert ctl("user", "remove", "ann").code != 0
    log = ctl("audit", "list", "--json").json["entries"]
    assert [entry["what"] for entry in reversed(log)] == [
        "user.add", "user.change", "user.change", "user.change", "user.remove",
    ]  # fmt: skip
    assert (log[3]["before"]["roles"], log[3]["after"]["roles"]) == (["viewer"], ["operator"])


def test_a_password_is_asked_for_twice_and_not_shown(ctl: Ctl, configured: Path) -> None:  # noqa: F811
    code, shown = at_a_terminal(configured, [PASSWORD, PASSWORD], "user", "add", "ann")
    assert code == 0, shown
    assert "ann may sign in." in shown
    assert PASSWORD not in shown
    # Two that differ: it asks again.
    typed = [PASSWORD, "another", "nine orange octopuses", "nine orange octopuses"]
    code, shown = at_a_terminal(configured, typed, "user", "password", "ann")
    assert code == 0, shown
    assert "do not match" in shown
    assert ctl("audit", "list", "--json").json["entries"][0]["after"]["password"] == "changed"


def test_the_password_set_is_the_one_that_signs_in(
    ctl: Ctl, say: Callable[..., subprocess.CompletedProcess[str]], configured: Path  # noqa: F811
) -> None:  # fmt: skip
    from retaild.config.paths import DataDir
    from tests.rest.door import IdentityThread

    say("user", "add", "ann", "--stdin", said=f"{PASSWORD}\n")
    assert say("user", "password", "ann", "--stdin", said="nine orange octopuses\n").returncode == 0
    with IdentityThread(DataDir(configured / "retaild-data")) as identity:
        assert identity.provider.login("ann", PASSWORD) is None
        entered = identity.provider.login("ann", "nine orange octopuses")
        assert entered is not None
        # With the identity process running the command goes through it.
        assert ctl("user", "disable", "ann").code == 0
        assert identity.provider.login("ann", "nine orange octopuses") is None


def test_a_key_is_shown_once_and_revoked(ctl: Ctl, configured: Path) -> None:  # noqa: F811
    made = ctl("key", "create", "web-shop", "--scope", "recommend", "--scope", "ingest")
    token = made.out.strip()
    assert token.startswith("retaild_")
    listed = ctl("key", "list", "--json")
    (key,) = listed.json["keys"]
    assert (key["name"], key["scopes"], key["revoked"]) == (
        "web-shop", ["ingest", "recommend"], None,
    )  # fmt: skip
    assert 89 < (key["expires"] - time.time()) / 86_400 <= 90
    secret = token.removeprefix(f"retaild_{key['id']}_")
    assert secret not in listed.out + ctl("key", "list").out
    assert secret.encode() not in b"".join(
        path.read_bytes() for path in (configured / "retaild-data").glob("state.db*")
    )
    endless = ctl("key", "create", "till", "--scope", "ingest", "--never-ends", "--json").json
    assert endless["key"]["expires"] is None
    assert ctl("key", "create", "x", "--scope", "everything").code != 0
    assert ctl("key", "revoke", key["id"]).code == 0
    assert ctl("key", "list", "--json").json["keys"][-1]["revoked"] is not None
    assert ctl("key", "revoke", "none").code != 0
    what = [entry["what"] for entry in ctl("audit", "list", "--json").json["entries"]]
    assert what == ["key.revoke", "key.create", "key.create"]


def test_the_audit_log_is_searched_and_tampering_is_found(ctl: Ctl, configured: Path) -> None:  # noqa: F811
    for name in ("a", "b", "c"):
        ctl("key", "create", name, "--scope", "ingest")
    found = ctl("audit", "list", "--search", '"b"', "--json").json
    assert [entry["after"]["name"] for entry in found["entries"]] == ["b"]
    assert ctl("audit", "list", "--who", "nobody", "--json").json["total"] == 0
    verdict = ctl("audit", "verify", "--json").json
    assert verdict["entries"] == 3
    head = verdict["head"]
    ctl("key", "create", "d", "--scope", "ingest")
    assert ctl("audit", "verify", "--head", head).code == 0

    with sqlite3.connect(configured / "retaild-data/state.db") as database:
        database.execute("DROP TRIGGER audit_is_never_shortened")
        database.execute("DELETE FROM audit WHERE id >= 3")
    assert ctl("audit", "verify").code == 0, "what is cut off the end leaves no gap"
    cut = ctl("audit", "verify", "--head", head)
    assert cut.code == 1
    assert "cut off" in cut.err
    with sqlite3.connect(configured / "retaild-data/state.db") as database:
        database.execute("DROP TRIGGER audit_is_never_changed")
        database.execute("UPDATE audit SET who = 'user eve' WHERE id = 2")
    changed = ctl("audit", "verify")
    assert changed.code == 1
    assert "Entry 2" in changed.err
