"""Pages as text: states, escaping, headers, sizes, forms from elsewhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from retaild.web.assets import Assets, squeezed
from tests.web.desk_data import HOSTILE, ShopPages
from tests.web.site import site

BASE = "http://127.0.0.1"
ALL = (
    "/recommendations",
    "/recommendations/17850",
    "/recommendations/17850?product=85123A&find=mug",
    "/recommendations?item=85123A&q=17",
    "/pricing",
    "/pricing?state=rejected&q=bag",
    "/pricing/85123A?price=2.10",
    "/admin",
    "/admin/jobs",
    "/admin/jobs/3",
    "/admin/models",
    "/admin/dead-letters",
    "/admin/dead-letters/dl-2",
    "/admin/quality",
    "/admin/alerts",
    "/admin/doctor",
    "/admin/config",
    "/admin/services",
    "/admin/instances",
    "/admin/backups",
    "/admin/access",
    "/admin/audit",
    "/admin/lake",
    "/admin/sources",
    "/admin/logs",
)

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def data() -> ShopPages:
    return ShopPages()


@pytest.fixture
def ask(data: ShopPages) -> Ask:
    return client(data)


def client(data: ShopPages) -> Ask:
    """Asks a site with this data; a POST carries a form."""
    transport = httpx.ASGITransport(app=site(data))

    def ask(path: str, form: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
                if form is None:
                    return await http.get(path, headers=headers)
                return await http.post(path, data=form, headers=headers)

        return asyncio.run(send())

    return ask


@pytest.mark.parametrize("path", ALL)
def test_pages_are_whole_and_small(ask: Ask, path: str) -> None:
    page = ask(path)
    assert page.status_code == 200
    assets = Assets()
    shared = sum(map(assets.size, ("app.css", "app.js", "icons.svg", "mark.svg")))
    assert len(page.content) + shared < 100_000
    assert page.text.count("<h1") == 1
    assert page.text.rstrip().endswith("</html>")


def test_the_script_is_small() -> None:
    assert Assets().size("app.js") < 12 * 1024


@pytest.mark.parametrize("path", ALL)
def test_nothing_inline_and_nothing_from_outside(ask: Ask, path: str) -> None:
    page = ask(path)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", page.text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page.text)
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page.text)


@pytest.mark.parametrize("path", ["/admin/jobs/3", "/admin/dead-letters/dl-2", "/admin/logs"])
def test_hostile_text_is_only_text(ask: Ask, path: str) -> None:
    page = ask(path).text
    assert HOSTILE not in page
    assert "&lt;script&gt;alert" in page


def test_hostile_names_and_ids_are_only_text(ask: Ask) -> None:
    names = ShopPages()
    names.goods.names["85123A"], kept = HOSTILE.upper(), names.goods.names["85123A"]
    try:
        for path in ("/recommendations?item=85123A", "/pricing/85123A", "/pricing?q=85123A"):
            page = client(names)(path).text
            assert "&lt;script&gt;" in page
            assert "<script>" not in page.lower()
    finally:
        names.goods.names["85123A"] = kept
    for path in (f"/recommendations?q={HOSTILE}", f"/recommendations/{HOSTILE}"):
        assert "<script>alert" not in ask(path).text


def test_an_image_of_another_host_is_not_asked_for(data: ShopPages) -> None:
    async def product(product_id: str) -> Any:
        found = await ShopPages.product(data, product_id)
        return {**found, "image_url": "https://elsewhere.example/x.png"}

    pages = ShopPages()
    pages.product = product  # type: ignore[method-assign]
    page = client(pages)("/recommendations?product=85123A").text
    assert "elsewhere.example" not in page


def test_bytes_are_shown_safely(ask: Ask) -> None:
    page = ask("/admin/dead-letters/dl-3").text
    assert "card ************1111␀\ufffd" in page
    # "536370;2" in hexadecimal, worked out by hand from ASCII.
    assert "35 33 36 33 37 30 3b 32" in page


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/recommendations", "No recommender yet"),
        ("/pricing", "No price model yet"),
        ("/pricing?state=approved", "None approved"),
        ("/pricing/85123A", "Not learned yet"),
        ("/admin/jobs", "No run so far"),
        ("/admin/models", "Not trained yet"),
        ("/admin/dead-letters", "No dead letters"),
        ("/admin/quality", "Not checked yet"),
        ("/admin/alerts", "No alert is open"),
        ("/admin/doctor", "Nothing is wrong"),
        ("/admin/lake", "The lake is empty"),
        ("/admin/services", "No servers"),
        ("/admin/instances", "No instances"),
        ("/admin/backups", "No directory for backups"),
        ("/admin/sources", "No sources"),
        ("/admin/logs", "Nothing logged"),
    ],
)
def test_a_fresh_installation_says_what_to_do(path: str, words: str) -> None:
    page = client(ShopPages(empty=True))(path)
    assert page.status_code == 200
    assert words in page.text


def test_while_the_server_reads_its_state() -> None:
    starting = client(ShopPages(ready=False))
    for path in ("/recommendations", "/pricing", "/recommendations/17850"):
        page = starting(path)
        assert page.status_code == 503
        assert "still reading its state" in page.text
        assert "data-retry" in page.text
    assert starting("/admin/logs").status_code == 200, "logs tell why"


def test_who_is_not_known(ask: Ask) -> None:
    page = ask("/recommendations/nobody")
    assert page.status_code == 404
    assert "There is no customer &#39;nobody&#39;." in page.text
    assert ask("/pricing/nothing").status_code == 404
    assert ask("/admin/nothing").status_code == 404
    assert ask("/admin/jobs/999").status_code == 404


def test_a_worker_that_is_down_is_seen_everywhere() -> None:
    down = client(ShopPages(worker_down=True))
    overview = down("/admin").text
    assert "Worker stream is down" in overview
    assert "disk full while committing silver.sale" in overview
    assert "No module named &#39;lxml&#39;." in overview
    assert "stream is down" in down("/pricing").text


def test_a_page_that_fails_says_so(data: ShopPages, caplog: pytest.LogCaptureFixture) -> None:
    pages = ShopPages()

    async def broken() -> Any:
        raise OSError("the disk is gone")

    pages.quality = broken  # type: ignore[method-assign]
    page = client(pages)("/admin/quality")
    assert page.status_code == 500
    assert "the disk is gone" not in page.text
    assert "the disk is gone" in caplog.text


def test_forms_of_other_sites_are_refused(data: ShopPages, ask: Ask) -> None:
    form = {"one": "approve:p-22423", "next": "/pricing"}
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://elsewhere.example"},
        {"origin": "null"},
    ):
        assert ask("/pricing", form, **headers).status_code == 409
    assert "22423" not in data.decided
    assert ask("/pricing", form, origin=BASE).status_code == 303
    assert data.decided.pop("22423") == ("approved", "")


def test_after_a_form_nobody_is_led_elsewhere(ask: Ask) -> None:
    for target in ("//elsewhere.example", "https://elsewhere.example/pricing", "/\\elsewhere"):
        answer = ask("/pricing", {"bulk": "approve", "next": target}, origin=BASE)
        assert answer.headers["location"] == "/pricing?done=nothing&n=0"
        answer = ask("/preferences/theme", {"theme": "dark", "next": target}, origin=BASE)
        assert answer.headers["location"] == "/"


def test_a_message_of_ones_own_cannot_be_put_on_a_page(ask: Ask) -> None:
    assert 'class="flash ' not in ask("/pricing?done=<b>pay me</b>").text
    assert "3 prices approved" in ask("/pricing?done=approved&n=3").text


def test_a_job_that_runs_already(ask: Ask) -> None:
    page = ask("/admin/jobs", {"name": "compact"}, origin=BASE)
    assert page.status_code == 409
    assert "Job compact runs already." in page.text


def test_static_files(ask: Ask) -> None:
    url = Assets().url("app.css")
    first = ask(url)
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    again = ask(url, **{"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert ask("/static/app.css?v=old").headers["cache-control"] == "no-cache"
    for path in ("/static/nothing.css", "/static/..%2Fapp.py", "/static/%2e%2e/app.py"):
        assert ask(path).status_code == 404


def test_marks_say_what_changed(ask: Ask) -> None:
    def cards(page: str) -> list[str]:
        return re.findall(r'data-product="([^"]+)"', page)

    now = cards(ask("/recommendations?item=22423").text)
    # As if the first two had been in the other order, and the third had not been there.
    before = ",".join([now[1], now[0], "gone", *now[3:]])
    page = ask(f"/recommendations?item=22423&part=slate&before={before}").text
    assert "<html" not in page
    found = {
        product: mark
        for mark, product in re.findall(
            r'class="card(?: mark-(new|up|down))?" data-product="([^"]+)"', page
        )
    }
    assert found[now[0]] == "up"
    assert found[now[1]] == "down"
    assert found[now[2]] == "new"
    assert found[now[3]] == ""


def test_style_is_squeezed_without_change_of_meaning() -> None:
    style = """/* words */
    .a > .b ,\n .c:is(p, td) { color : red; content: " ↑" }
    @media (max-width: 9px) and (min-width: 1px) { .d .e { margin: -1px auto } }"""
    assert squeezed(style) == (
        '.a > .b,.c:is(p,td){color : red;content: " ↑"}'
        "@media (max-width: 9px) and (min-width: 1px){.d .e{margin: -1px auto}}"
    )
