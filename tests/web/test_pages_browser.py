"""What a person does on the pages, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.web.browsing import Tab, open_tab
from tests.web.desk_data import ShopPages
from tests.web.site import Running

pytestmark = pytest.mark.browser

Serve = Callable[[ShopPages], Running]


@pytest.fixture
def shop(serve: Serve) -> Running:
    return serve(ShopPages())


@pytest.fixture
def tab(chromium: Any, shop: Running) -> Any:
    tab = open_tab(chromium, shop.url)
    yield tab
    tab.page.context.close()
    tab.assert_clean()


def products(page: Any) -> list[str]:
    return page.eval_on_selector_all(
        "#slate [data-product]", "cards => cards.map(c => c.dataset.product)"
    )


def test_choosing_a_customer_by_typing(tab: Tab) -> None:
    page = tab.open("/recommendations")
    page.get_by_role("combobox", name="Customer").fill("1785")
    page.get_by_role("option", name=re.compile("^17850")).click()
    page.wait_for_url("**/recommendations/17850")
    assert page.get_by_role("heading", level=1).inner_text() == "Customer 17850"
    assert len(products(page)) == 10
    assert page.get_by_text("receipt 536", exact=False).count() > 0


def test_what_is_put_into_the_basket_changes_the_list(tab: Tab, shop: Running) -> None:
    page = tab.open("/recommendations/17850")
    before = products(page)
    page.locator(f'[data-product="{before[0]}"]').get_by_role("button").click()
    page.locator(f'[data-basket-item="{before[0]}"]').wait_for()
    after = products(page)
    assert before[0] not in after
    assert set(after) - set(before), "something new is offered"
    new = set(after) - set(before)
    marked = page.eval_on_selector_all(
        "#slate .mark-new", "cards => cards.map(c => c.dataset.product)"
    )
    assert set(marked) == new
    assert page.locator("#goes-h").count() == 1
    assert re.search(r"on screen after \d+ ms", page.locator("#took").inner_text())
    # Nothing was reloaded, and the server has it.
    assert shop.data.baskets["17850"] == [before[0]]
    page.locator("[data-basket-item]").get_by_role("button").click()
    page.get_by_text("Empty. Add a product").wait_for()
    assert products(page) == before


def test_a_visitor_without_a_name_has_a_basket_too(tab: Tab) -> None:
    page = tab.open("/recommendations")
    first = products(page)[0]
    page.locator(f'[data-product="{first}"] a.add').click()
    page.locator(f'[data-basket-item="{first}"]').wait_for()
    assert f"item={first}" in page.url
    page.reload()
    assert page.locator(f'[data-basket-item="{first}"]').count() == 1


def test_similar_products_open_beside_the_list(tab: Tab) -> None:
    page = tab.open("/recommendations/17850")
    page.locator("#slate h3 a").first.click()
    page.get_by_role("heading", name="Similar products").wait_for()
    assert page.evaluate("document.activeElement.id") == "product-panel"
    assert page.locator(".similar li").count() == 4
    page.get_by_role("link", name="Close the product").click()
    page.get_by_role("heading", name="Similar products").wait_for(state="detached")


def test_searching_any_product(tab: Tab) -> None:
    page = tab.open("/recommendations/17850")
    page.get_by_role("combobox", name="Product name").fill("bunting")
    page.get_by_role("option").first.click()
    page.locator("#product-h").wait_for()
    assert "bunting" in page.locator("#product-h").inner_text().lower()


def test_approving_and_rejecting_prices(tab: Tab, shop: Running) -> None:
    page = tab.open("/pricing")
    page.evaluate("window.same = true")
    rows = page.locator("[data-proposal]")
    first, second, third = (rows.nth(n).get_attribute("data-proposal") for n in range(3))
    page.get_by_role("button", name=re.compile("^Approve (?!chosen)")).first.click()
    page.get_by_text("1 price approved and written to the ledger.").wait_for()
    assert page.locator(f'[data-proposal="{first}"]').count() == 0
    for proposal in (second, third):
        page.locator(f'input[value="{proposal}"]').check()
    assert page.get_by_text("2 chosen").is_visible()
    page.get_by_role("button", name="Reject chosen").click()
    page.get_by_text("2 prices rejected").wait_for()
    assert page.evaluate("window.same"), "without a reload"
    decided = {f"p-{product}": how for product, (how, _) in shop.data.decided.items()}
    assert decided == {first: "approved", second: "rejected", third: "rejected"}


def test_sorting_filtering_and_paging_prices(tab: Tab) -> None:
    page = tab.open("/pricing")
    page.get_by_role("link", name="Next").click()
    page.get_by_text("Page 2 of").wait_for()
    page.get_by_label("Sort by").select_option("price")
    page.wait_for_url("**sort=price**")
    page.get_by_text("Page 1 of").wait_for()
    prices = page.locator("[data-proposal] [data-label=Price] .muted").all_inner_texts()
    numbers = [float(text.strip("£ →")) for text in prices]
    assert numbers == sorted(numbers)
    page.get_by_placeholder("Product name or number").fill("bunting")
    page.wait_for_url("**q=bunting**")
    names = page.locator("[data-proposal] th").all_inner_texts()
    assert names
    assert all("bunting" in name.lower() for name in names)
    page.go_back()
    page.wait_for_url("**sort=price**")


def test_what_if(tab: Tab) -> None:
    page = tab.open("/pricing/85123A")
    page.get_by_label("What if the price were").fill("1.10")
    page.get_by_text("breaks margin floor").wait_for()
    assert page.get_by_label("Price, slider").input_value() == "1.77"  # its lowest
    assert page.locator("#demand-chart .spot").count() == 2  # 1.10 lies left of the curve
    page.get_by_label("Price, slider").focus()
    page.keyboard.press("End")
    page.get_by_text("Breaks no rule.").wait_for()
    highest = page.get_by_label("Price, slider").get_attribute("max")
    assert float(page.get_by_label("What if the price were").input_value()) == float(highest)
    assert page.locator("#demand-chart .spot.chosen").count() == 1


def test_running_a_job(tab: Tab, shop: Running) -> None:
    page = tab.open("/admin/jobs")
    page.get_by_role("button", name="Run gold now").click()
    page.get_by_text("Run 7 was started.").wait_for()
    assert page.get_by_role("button", name="Run gold now").is_disabled()
    assert page.get_by_role("progressbar", name="Progress of gold").count() == 1
    # The stream brings what happens next.
    shop.data.runs[0].update(state="succeeded", finished=shop.data.runs[0]["started"] + 2.0)
    page.locator("#runs tr", has_text="gold #7").get_by_text("succeeded").wait_for()


def test_promoting_asks_first(tab: Tab, shop: Running) -> None:
    page = tab.open("/admin/models")
    page.get_by_label("Promote version 4 of recommender").click()
    assert shop.data.champion == 3
    page.get_by_role("button", name="Yes, promote").first.click()
    page.get_by_text("Version 4 is champion now").wait_for()
    assert shop.data.champion == 4


def test_dark_and_light_are_remembered(tab: Tab) -> None:
    page = tab.open("/pricing")
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "light"
    page.get_by_role("button", name="Use dark colours").click()
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    assert page.evaluate("document.activeElement.innerText") == "Use light colours"
    page.goto(tab.origin + "/admin")
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"


def test_everything_by_keyboard(tab: Tab, shop: Running) -> None:
    page = tab.open("/recommendations")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "customer-q"
    page.keyboard.type("1785", delay=10)
    page.get_by_role("option").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/recommendations/17850")
    first = products(page)[0]
    page.locator("#slate h3 a").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(f'[data-basket-item="{first}"]').wait_for()
    assert page.evaluate("document.activeElement.id") == "slate-h", "focus is not lost"
    # The focus must be seen.
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_without_script(chromium: Any, shop: Running) -> None:
    tab = open_tab(chromium, shop.url, java_script_enabled=False)
    page = tab.open("/recommendations")
    page.get_by_label("Customer", exact=True).fill("17850")
    page.get_by_role("button", name="Find").first.click()
    page.wait_for_url("**/recommendations/17850")
    before = page.locator("#slate [data-product]").first.get_attribute("data-product")
    page.locator("#slate [data-product]").first.get_by_role("button").click()
    page.locator(f'[data-basket-item="{before}"]').wait_for()
    assert page.locator(".mark-new").count() > 0
    page.goto(shop.url + "/pricing")
    page.get_by_role("button", name=re.compile("^Approve (?!chosen)")).first.click()
    page.get_by_text("1 price approved").wait_for()
    page.goto(shop.url + "/pricing/85123A")
    page.get_by_label("What if the price were").fill("2.2")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("Breaks no rule.").wait_for()
    page.get_by_role("button", name="Use dark colours").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    tab.page.context.close()
    tab.assert_clean()


def test_a_server_that_stops_answering_is_said(chromium: Any, shop: Running) -> None:
    tab = open_tab(chromium, shop.url)
    page = tab.open("/recommendations/17850")
    shop.stop()
    page.locator("#slate [data-product]").first.get_by_role("button").click()
    page.get_by_text("The server does not answer.").wait_for()
    assert products(page)
    page.context.close()
