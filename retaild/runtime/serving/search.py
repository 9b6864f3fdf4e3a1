"""Finding products and customers by a few letters: plain scans, some milliseconds at most."""

from __future__ import annotations

from collections.abc import Iterator

from retaild.runtime.serving.engine import Engine


class ProductSearch:
    """All words must occur in the id, the name or the brand. An id that fits whole comes first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._texts: dict[int, tuple[str | None, str]] = {}

    def find(self, query: str, category: str | None = None) -> list[int]:
        """Indexes of all that match, best first: by id, then by receipts of late."""
        words = query.casefold().split()
        rows = self._engine.facts.products.rows
        found = [
            product
            for product, row in enumerate(rows)
            if row.known
            and (not category or row.category == category)
            and (not words or all(word in self._text(product) for word in words))
        ]
        wanted = query.strip().casefold()
        ids = self._engine.index.ids

        def order(product: int) -> tuple[bool, bool, int, str]:
            own = ids[product].casefold()
            receipts = rows[product].recent_receipts
            return own != wanted, not (wanted and own.startswith(wanted)), -receipts, own

        found.sort(key=order)
        return found

    def _text(self, product: int) -> str:
        row = self._engine.facts.products.rows[product]
        held = self._texts.get(product)
        if held is None or held[0] != row.name:
            text = f"{self._engine.index.ids[product]} {row.name or ''} {row.brand or ''}"
            held = self._texts[product] = (row.name, text.casefold())
        return held[1]


class CustomerSearch:
    """By a part of the id, or the beginning of the country's name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, query: str, limit: int) -> list[str]:
        """Ids, the exact one first, then who bought last."""
        wanted = query.strip().casefold()
        found: list[str] = []
        if query.strip() in self._engine.facts.customers:
            found.append(query.strip())
        for customer_id in self._matching(wanted):
            if len(found) >= limit:
                break
            if customer_id not in found[:1]:
                found.append(customer_id)
        return found[:limit]

    def _matching(self, wanted: str) -> Iterator[str]:
        customers = self._engine.facts.customers
        for customer_id in customers.by_recency():
            if wanted in customer_id.casefold():
                yield customer_id
                continue
            country = customers.summary(customer_id)[0]
            if country and country.casefold().startswith(wanted):
                yield customer_id
