"""Every page in light and dark at three sizes: axe-core, targets, weight, speed, no strangers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from axe_playwright_python.base import AXE_SCRIPT

from tests.web.browsing import SIZES, open_tab
from tests.web.desk_data import ShopPages
from tests.web.site import run

pytestmark = pytest.mark.browser

PAGES = {
    "visitor": "/recommendations?item=85123A",
    "customer": "/recommendations/17850?product=85123A",
    "search": "/recommendations?q=17",
    "unknown customer": "/recommendations/nobody",
    "prices": "/pricing",
    "prices decided": "/pricing?state=approved",
    "price": "/pricing/85123A?price=1.10",
    "price not learned": "/pricing/UNLEARNED",
    "overview": "/admin",
    "jobs": "/admin/jobs",
    "run": "/admin/jobs/3",
    "models": "/admin/models",
    "dead letters": "/admin/dead-letters",
    "dead letter": "/admin/dead-letters/dl-3",
    "quality": "/admin/quality",
    "alerts": "/admin/alerts",
    "doctor": "/admin/doctor",
    "configuration": "/admin/config",
    "services": "/admin/services",
    "instances": "/admin/instances",
    "backups": "/admin/backups",
    "people": "/admin/access",
    "audit": "/admin/audit",
    "lake": "/admin/lake",
    "sources": "/admin/sources",
    "logs": "/admin/logs",
}
#: The whole of a page with all it needs, on the wire.
BUDGET = 100_000


@pytest.fixture(scope="module")
def shop() -> Any:
    data = ShopPages(worker_down=True)
    data.baskets["17850"] = ["85123A", "22423"]
    site = run(data)
    for name in PAGES:  # the test data's own queries are slow the first time
        httpx.get(site.url + address(site, name))
    yield site
    site.stop()


@pytest.fixture(scope="module")
def fresh() -> Any:
    site = run(ShopPages(empty=True))
    yield site
    site.stop()


def address(shop: Any, name: str) -> str:
    goods = shop.data.goods
    unlearned = min(set(goods.names) - set(goods.demand))
    return PAGES[name].replace("UNLEARNED", unlearned)


def violations(page: Any) -> list[str]:
    """What axe-core finds; the script is put into a page once."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(chromium: Any, shop: Any, name: str) -> None:
    tab = open_tab(chromium, shop.url)
    page = tab.open(address(shop, name))
    # Closed details hide what axe must see as well.
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert violations(page) == [], (size, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (size, "sideways")
    page.context.close()
    tab.errors = [e for e in tab.errors if name != "unknown customer" or "404" not in e]
    tab.assert_clean()


@pytest.mark.parametrize("path", ["/recommendations", "/pricing", "/admin", "/admin/models"])
def test_axe_finds_nothing_on_a_fresh_installation(chromium: Any, fresh: Any, path: str) -> None:
    tab = open_tab(chromium, fresh.url, "till")
    page = tab.open(path)
    assert violations(page) == []
    page.context.close()
    tab.assert_clean()


@pytest.mark.parametrize("name", PAGES)
def test_light_and_quick(chromium: Any, shop: Any, name: str) -> None:
    tab = open_tab(chromium, shop.url, "till")
    page = tab.open(address(shop, name))
    page.wait_for_load_state("load")
    sizes = page.evaluate(
        "['navigation', 'resource'].flatMap(type => performance.getEntriesByType(type))"
        ".filter(e => !e.name.includes('/api/')).map(e => e.transferSize)"
    )
    assert len(sizes) >= 4, "page, style, script, pictures"
    assert sum(sizes) < BUDGET
    assert page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive") < 1000
    page.context.close()


#: Things to press that are part of a sentence or of a list of text are as high as their line.
SMALL = """
[...document.querySelectorAll('a, button, input, select, summary')].filter(e => {
  const box = e.getBoundingClientRect();
  const shown = box.width > 1 && box.height > 1 && getComputedStyle(e).visibility !== 'hidden';
  const inline = e.closest('p, li .item-name, h3, td, th, footer, .item-name, .hits, .skip');
  const label = e.type === 'checkbox' && e.closest('label');
  const target = label ? label.getBoundingClientRect() : box;
  return shown && target.height < 43.5 && !(inline && e.tagName === 'A');
}).map(e => e.outerHTML.slice(0, 100))
"""


@pytest.mark.parametrize(
    "path", ["/recommendations/17850?product=85123A", "/pricing", "/admin/jobs"]
)
def test_a_finger_hits_what_it_aims_at(chromium: Any, shop: Any, path: str) -> None:
    tab = open_tab(chromium, shop.url, "till")
    page = tab.open(path)
    assert page.evaluate(SMALL) == []
    page.context.close()
