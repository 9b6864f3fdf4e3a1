"""Takes the pictures of the README: `python docs/images/take.py http://127.0.0.1:8470`.

Needs the demo running at that address, and Debian's chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CUSTOMER = "14911"


def main(url: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        recommendations(tab(browser, 1280, 860, "light"), url)
        shot(tab(browser, 1280, 860, "light"), f"{url}/pricing", "pricing")
        price(tab(browser, 1280, 1400, "light"), url)
        shot(tab(browser, 1280, 860, "dark"), f"{url}/admin/models", "admin")
        shot(tab(browser, 360, 740, "dark"), f"{url}/recommendations/{CUSTOMER}", "phone")
        browser.close()


def tab(browser: Any, width: int, height: int, scheme: str) -> Any:
    size = {"width": width, "height": height}
    return browser.new_context(
        viewport=size, color_scheme=scheme, reduced_motion="reduce"
    ).new_page()


def shot(page: Any, url: str, name: str) -> None:
    page.goto(url)
    page.screenshot(path=HERE / f"{name}.png")


def recommendations(page: Any, url: str) -> None:
    """With something just put into the basket, and taken out again afterwards."""
    page.goto(f"{url}/recommendations/{CUSTOMER}")
    card = page.locator("#slate [data-product]").nth(2)
    product = card.get_attribute("data-product")
    card.get_by_role("button").click()
    item = page.locator(f'[data-basket-item="{product}"]')
    item.wait_for()
    page.mouse.move(5, 5)
    page.screenshot(path=HERE / "recommendations.png")
    item.get_by_role("button").click()
    item.wait_for(state="detached")


def price(page: Any, url: str) -> None:
    """The proposal and the curves of one product."""
    page.goto(f"{url}/pricing/85123A?price=3.45")
    top = page.locator("#proposal").bounding_box()["y"] - 16
    charts = page.locator(".charts").bounding_box()
    clip = {"x": 0, "y": top, "width": 1280, "height": charts["y"] + charts["height"] - top}
    page.screenshot(path=HERE / "price.png", clip=clip)


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
