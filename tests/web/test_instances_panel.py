"""The panels of instances and backups: what they show and what their buttons ask for."""

from __future__ import annotations

import pytest

from tests.web.desk_data import ShopPages
from tests.web.test_pages_rendering import Ask, client


@pytest.fixture
def data() -> ShopPages:
    return ShopPages()


@pytest.fixture
def ask(data: ShopPages) -> Ask:
    return client(data)


def test_why_one_is_held_and_what_it_said_is_shown_as_text(ask: Ask) -> None:
    page = ask("/admin/instances").text
    assert "2 of 3 may not run." in page
    assert "it failed 5 times" in page
    assert "61.0\u00a0MiB" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    ("action", "name", "said"),
    [
        ("resume", "broken", "Out of quarantine"),
        ("enable", "old", "Enabled"),
        ("disable", "tills", "Disabled"),
        ("quarantine", "tills", "In quarantine"),
        ("restart", "tills", "started again"),
    ],
)
def test_each_button_asks_for_its_own(
    ask: Ask, data: ShopPages, action: str, name: str, said: str
) -> None:
    form = {"kind": "source", "name": name, "reason": "r" * 900}
    answer = ask(f"/admin/instances/{action}", form)
    assert data.instances.asked == [(action, "source", name, "r" * 500)]
    assert said in ask(answer.headers["location"]).text


def test_an_instance_that_is_not_there(ask: Ask, data: ShopPages) -> None:
    answer = ask("/admin/instances/disable", {"kind": "source", "name": "nothing"})
    assert answer.status_code == 404
    assert "There is no source" in answer.text
    assert data.instances.asked == []


def test_backups_with_age_size_and_what_the_last_look_found(ask: Ask) -> None:
    page = ask("/admin/backups").text
    for text in ("retaild-20260131T023000Z", "2 h ago", "1.parquet differs", "never",
                 "backup restore /mnt/safe/retaild-20260131T023000Z"):  # fmt: skip
        assert text in page


def test_a_backup_is_taken_and_one_is_read(ask: Ask, data: ShopPages) -> None:
    answer = ask("/admin/backups", {})
    assert "Run 1 was started." in ask(answer.headers["location"]).text
    assert "disabled>Take one now" in ask("/admin/backups").text
    ask("/admin/backups/verify", {"name": "moved.tar.zst"})
    assert (data.backups.taken, data.backups.verified) == (1, ["moved.tar.zst"])
    assert ask("/admin/backups/verify", {"name": "../x"}).status_code == 404
