"""The alerts' panel: what it shows and what its buttons do."""

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


def test_what_is_open_and_who_was_not_told_is_shown(ask: Ask) -> None:
    page = ask("/admin/alerts").text
    for text in ("The disk is 97% full.", "well for a moment", "Job refresh failed.", "pager"):
        assert text in page
    assert "<script>alert" not in page


def test_an_alert_is_taken_on(ask: Ask, data: ShopPages) -> None:
    answer = ask("/admin/alerts/acknowledge", {"id": "2"})
    assert data.alerts.taken == [2]
    page = ask(answer.headers["location"]).text
    assert "taken on by ann" in page
    assert "Taken on: nobody is told again." in page


def test_an_alert_is_silenced_and_heard_again(ask: Ask, data: ShopPages) -> None:
    form = {"key": "disk.data", "seconds": "7200"}
    answer = ask("/admin/alerts/silence", form)
    assert "Silenced: nobody is told" in ask(answer.headers["location"]).text
    assert data.alerts.silenced == [("disk.data", 7200)]
    ask("/admin/alerts/unsilence", {"id": "0"})
    assert data.alerts.silenced == []


@pytest.mark.parametrize(
    ("deed", "form"),
    [
        ("acknowledge", {"id": "99"}),
        ("acknowledge", {"id": "x"}),
        ("acknowledge", {}),
        ("silence", {"key": "disk.data", "seconds": "999999999"}),
        ("silence", {"seconds": "7200"}),
        ("unsilence", {"id": "5"}),
    ],
)
def test_what_is_not_there_is_not_changed(
    ask: Ask, data: ShopPages, deed: str, form: dict[str, str]
) -> None:
    assert ask(f"/admin/alerts/{deed}", form).status_code == 404
    assert (data.alerts.taken, data.alerts.silenced) == ([], [])
