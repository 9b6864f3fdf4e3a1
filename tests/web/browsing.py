"""A browser tab that keeps account of what it asked for and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

SIZES = {"phone": (360, 740), "till": (1024, 768), "desktop": (1440, 900)}


@dataclass
class Tab:
    page: Any
    origin: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    transferred: int = 0

    def open(self, path: str) -> Any:
        self.page.goto(self.origin + path)
        return self.page

    def assert_clean(self) -> None:
        assert not self.errors
        assert not self.foreign


def open_tab(
    browser: Any, origin: str, size: str = "desktop", scheme: str = "light", **options: Any
) -> Tab:
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce",
        has_touch=size != "desktop",
        **options,
    )
    page = context.new_page()
    page.set_default_timeout(8000)
    tab = Tab(page, origin)
    page.on("pageerror", lambda error: tab.errors.append(str(error)))
    page.on("console", lambda m: tab.errors.append(m.text) if m.type in ("error", "warning") else 0)
    page.on("request", lambda r: _note_foreign(tab, r.url))
    return tab


def _note_foreign(tab: Tab, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws") and f"{parts.scheme}://{parts.netloc}" != tab.origin:
        tab.foreign.append(url)
