"""Backups and the debug bundle over REST."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from retaild.runtime.backup.create import Backup
from retaild.runtime.backup.restore import restore
from tests.rest.daemon import back_up
from tests.rest.serving import InThread, install
from tests.rest.test_rest_decisions import carry, open_proposals
from tests.runtime.serving.shops import NOON, Till, wait_for


def test_backups_are_listed_and_a_debug_bundle_is_handed_out(tmp_path: Path) -> None:
    place = tmp_path / "backups"
    with InThread(tmp_path / "shop", f'[backup]\ndirectory = "{place}"\n') as server:
        assert server.client.get("/api/v1/backups").json() == {
            "directory": str(place), "backups": [],
        }  # fmt: skip
        path, manifest = Backup(server.context, None).create(place)
        (found,) = server.client.get("/api/v1/backups").json()["backups"]
        assert (found["path"], found["bytes"]) == (str(path), manifest.size)

        answer = server.client.post("/api/v1/debug-bundle", timeout=60)
        assert answer.status_code == 200, answer.text
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
            assert "retaild-debug/state.json" in tar.getnames()


def test_a_shop_restored_onto_an_empty_machine_answers_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "backups"
    more = f'[backup]\ndirectory = "{place}"\n'
    with InThread(tmp_path / "shop", more) as server:
        install(server, monkeypatch, tmp_path).crown(1)
        till = Till()
        server.events(*(till.sale(f"x{n}", p, NOON + n) for n, p in enumerate("aabbc")))
        carry(server)
        open_proposals(server)
        approve = "/api/v1/price-proposals/proposal-a/approve"
        assert server.client.post(approve, json={"by": "Ann"}).status_code == 200
        # In the log alone when the backup is made.
        server.events(till.activity("x0", "view", "c", NOON + 60), till.sale("x9", "c", NOON + 70))
        wait_for(lambda: "by 1" in reason(server))
        before = answers(server)
        backup = back_up(server)
    said = before["/customers/x0/recommendations"]["recommendations"][0]["reason"]
    assert said == "by 1, after 1 views"
    assert before["/prices/a"]["price"] == 1.99

    restore(backup, tmp_path / "machine" / "data", lambda _done, _text: None)
    restored = InThread(tmp_path / "machine")
    install(restored, monkeypatch, tmp_path).crown(1)
    with restored:
        wait_for(lambda: "by 1" in reason(restored))
        assert answers(restored) == before


def reason(server: InThread) -> str:
    """Why the first product is offered to x0: the model says which version it is."""
    path = "/api/v1/customers/x0/recommendations"
    offers = server.client.get(path).json()["recommendations"]
    return str(offers[0]["reason"]) if offers else ""


def answers(server: InThread) -> dict[str, Any]:
    """All but the moment at which they were given."""
    found = {}
    for path in (
        *(f"/customers/x{n}/recommendations" for n in (0, 1, 2, 3, 4, 9)),
        *(f"/prices/{product}" for product in "abc"),
        *(f"/prices/{product}/history" for product in "abc"),
        "/products?q=P", "/price-proposals",
    ):  # fmt: skip
        answer = server.client.get(f"/api/v1{path}")
        assert answer.status_code == 200, (path, answer.text)
        found[path] = answer.json()
        found[path].pop("generated_at", None)
    return found
