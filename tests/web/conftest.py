"""A running site and Debian's Chromium, for the tests of the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.desk_data import ShopPages
from tests.web.site import Running, run

CHROMIUM = Path("/usr/bin/chromium")
#: Without these Chromium looks for its maker's servers, or will not start as root.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip("needs Debian's chromium at /usr/bin/chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=list(ARGUMENTS), headless=True
        )
        yield browser
        browser.close()


@pytest.fixture
def serve() -> Iterator[Callable[[ShopPages], Running]]:
    """Starts sites; they stop after the test."""
    running: list[Running] = []

    def start(data: ShopPages) -> Running:
        running.append(run(data))
        return running[-1]

    yield start
    for site in running:
        site.stop()
