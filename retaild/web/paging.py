"""Pages of a long list."""

from __future__ import annotations

from dataclasses import dataclass

from retaild.web.environment import query

MAX_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Paging:
    """Where we are in a list; `kept` are the parameters that links must carry on."""

    base: str
    kept: dict[str, str]
    number: int
    per_page: int
    total: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.per_page))

    @property
    def first(self) -> int:
        return min((self.number - 1) * self.per_page + 1, self.total)

    @property
    def last(self) -> int:
        return min(self.number * self.per_page, self.total)

    def url(self, number: int) -> str:
        return self.base + query({**self.kept, "page": number if number > 1 else ""})


def page_number(text: str | None) -> int:
    """1 for anything that is no page number."""
    plain = text if text and text.isascii() and text.isdigit() and len(text) < 6 else "1"
    return min(max(int(plain), 1), MAX_PAGE)
