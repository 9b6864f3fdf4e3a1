"""The configuration's panel: what a reload would do, and the button."""

from __future__ import annotations

import asyncio

import httpx

from tests.web.desk_data import ShopPages
from tests.web.site import site


def ask(data: ShopPages, method: str = "GET") -> httpx.Response:
    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app=site(data))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await client.request(method, "/admin/config")

    return asyncio.run(answer())


def test_what_a_reload_would_change_stands_beside_what_is_in_force() -> None:
    page = ask(ShopPages()).text
    assert "lake.interval_seconds" in page
    assert "/etc/r.toml:9" in page
    assert "taken back, everything is as it was before" in page
    # Defaults are left to the command line: what somebody stated is shown.
    assert "retaild.store" in page
    assert "api.queue" not in page


def test_the_button_reloads() -> None:
    data = ShopPages()
    answer = ask(data, "POST")
    assert len(data.config.reloads) == 1
    assert answer.status_code == 303
    assert answer.headers["location"] == "/admin/config?done=reloading"


def test_faulty_files_leave_no_button() -> None:
    data = ShopPages()
    data.config.faulty = True
    page = ask(data).text
    assert "A reload would be refused" in page
    assert '<form method="post" action="/admin/config">' not in page
