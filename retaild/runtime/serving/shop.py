"""What the shop's pages and clients ask: customers, products, recommendations.

Every answer is a dictionary as the REST API documents it. In-memory and quick; call these in the
thread of the event loop only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from retaild.runtime.serving.customers import SCALE, Line, Record
from retaild.runtime.serving.engine import Engine
from retaild.runtime.serving.errors import UnknownCustomerError, UnknownProductError
from retaild.runtime.serving.products import Product
from retaild.runtime.serving.render import iso
from retaild.runtime.serving.search import CustomerSearch, ProductSearch

FAVOURITES = 12


class Shop:
    """Reads the engine; changes nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._product_search = ProductSearch(engine)
        self._customer_search = CustomerSearch(engine)

    # -- customers -----------------------------------------------------------------------------

    def customers(self, q: str = "", limit: int = 20) -> dict[str, Any]:
        """Customers whose id or country holds `q`; who bought last comes first."""
        found = self._customer_search.find(q, limit)
        return {"customers": [self.customer_hit(customer_id) for customer_id in found]}

    def customer_hit(self, customer_id: str) -> dict[str, Any]:
        country, receipts, last_time = self._engine.facts.customers.summary(customer_id)
        return {
            "customer_id": customer_id,
            "country": country,
            "receipts": receipts,
            "last_time": iso(last_time),
        }

    def suggestions(self, limit: int) -> list[dict[str, Any]]:
        """Customers that are good to start with: often here, lately here, new here."""
        ids = self._engine.facts.customers.by_recency()
        hits = [self.customer_hit(customer_id) for customer_id in ids[: 50 * limit]]
        hits = [hit for hit in hits if hit["receipts"]]
        each = -(-limit // 3)
        kinds = (
            ("frequent", sorted(hits, key=lambda hit: -hit["receipts"])),
            ("recent", hits),
            ("new", [hit for hit in hits if hit["receipts"] == 1]),
        )
        chosen: dict[str, dict[str, Any]] = {}
        for kind, candidates in kinds:
            fresh = [hit for hit in candidates if hit["customer_id"] not in chosen][:each]
            chosen |= {hit["customer_id"]: {**hit, "kind": kind} for hit in fresh}
        return list(chosen.values())[:limit]

    def customer(self, customer_id: str) -> dict[str, Any]:
        """Raises UnknownCustomerError."""
        record = self._engine.facts.customers.get(customer_id)
        if record is None:
            raise UnknownCustomerError(customer_id)
        state = record.state
        return {
            "customer_id": customer_id,
            "country": record.home,
            "segment": record.segment,
            "receipts": state.receipts,
            "revenue": record.revenue / SCALE,
            "first_time": iso(state.first_time),
            "last_time": iso(state.last_time),
            "basket": [self._item(product, q) for product, q in state.basket.items()],
            "history": [self._line(line) for line in record.history],
            "favourites": self._favourites(record),
        }

    # -- recommendations -----------------------------------------------------------------------

    def slate(self, customer_id: str, count: int) -> bytes:
        """The customer's recommendations as JSON; of an unknown customer what is popular."""
        return self._engine.answer(customer_id, count).body

    def recommendations(self, customer_id: str, count: int | None = None) -> dict[str, Any]:
        slate: dict[str, Any] = json.loads(self.slate(customer_id, count or self._engine.count))
        return slate

    def basket_recommendations(
        self,
        items: Iterable[Mapping[str, Any]],
        customer_id: str | None = None,
        count: int | None = None,
    ) -> dict[str, Any]:
        """What goes with a basket; products that are not known are passed over."""
        engine = self._engine
        places = (engine.index.find(item["product_id"]) for item in items)
        basket = [place for place in places if place is not None]
        offers = engine.basket_slate(basket, customer_id, count or engine.count)
        slate: dict[str, Any] = json.loads(engine.body(customer_id, offers))
        return slate

    def similar(self, product_id: str, count: int | None = None) -> dict[str, Any]:
        """Raises UnknownProductError."""
        product, _ = self._product(product_id)
        engine = self._engine
        offers = engine.similar(product, count or engine.count)
        return {
            "product_id": product_id,
            "model_version": engine.version,
            "recommendations": json.loads(engine.items(offers)),
        }

    # -- products ------------------------------------------------------------------------------

    def products(
        self, q: str = "", category: str | None = None, limit: int = 20, offset: int = 0
    ) -> dict[str, Any]:
        """Products whose id or name holds all words of `q`; what sells most comes first."""
        found = self._product_search.find(q, category)
        page = found[offset : offset + limit]
        return {"products": [self._describe(product) for product in page], "total": len(found)}

    def described(self, product_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Those of the products that are known, in the same order."""
        places = (self._engine.index.find(product_id) for product_id in product_ids)
        rows = self._engine.facts.products
        return [self._describe(p) for p in places if p is not None and rows.at(p).known]

    def product(self, product_id: str) -> dict[str, Any]:
        """Raises UnknownProductError."""
        product, _ = self._product(product_id)
        return self._describe(product)

    def categories(self) -> dict[str, Any]:
        """Categories with their number of products, largest first."""
        counts: dict[str, int] = {}
        for row in self._engine.facts.products.rows:
            if row.known and row.category:
                counts[row.category] = counts.get(row.category, 0) + 1
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return {"categories": [{"category": c, "products": n} for c, n in ordered]}

    # -- parts ---------------------------------------------------------------------------------

    def _product(self, product_id: str) -> tuple[int, Product]:
        product = self._engine.index.find(product_id)
        if product is None or not self._engine.facts.products.at(product).known:
            raise UnknownProductError(product_id)
        return product, self._engine.facts.products.at(product)

    def _price(self, row: Product) -> float | None:
        price = row.price(self._engine.clock())
        return None if price is None else round(price, 4)

    def _describe(self, product: int) -> dict[str, Any]:
        products = self._engine.facts.products
        row = products.at(product)
        return {
            "product_id": products.index.ids[product],
            "name": row.name or products.index.ids[product],
            "category": row.category,
            "brand": row.brand,
            "gtin": row.gtin,
            "price": self._price(row),
            "currency": row.currency or self._engine.currency,
            "image_url": row.image_url,
            "unit_cost": row.unit_cost,
            "cost_source": row.cost_source,
            "on_hand": row.on_hand,
            "stock_source": row.stock_source,
            "units_28d": row.recent_units,
            "excluded": row.excluded,
            "offerable": products.offerable(product),
        }

    def _item(self, product: int, quantity: float) -> dict[str, Any]:
        products = self._engine.facts.products
        row = products.at(product)
        return {
            "product_id": products.index.ids[product],
            "name": row.name or products.index.ids[product],
            "category": row.category,
            "quantity": quantity,
            "price": self._price(row),
            "currency": row.currency or self._engine.currency,
            "image_url": row.image_url,
        }

    def _line(self, line: Line) -> dict[str, Any]:
        products = self._engine.facts.products
        product_id = products.index.ids[line.product]
        return {
            "time": iso(line.time),
            "receipt_id": line.receipt_id,
            "product_id": product_id,
            "name": products.at(line.product).name or product_id,
            "quantity": line.quantity,
            "unit_price": line.unit_price,
            "amount": round(line.amount, 4),
        }

    def _favourites(self, record: Record) -> list[dict[str, Any]]:
        bought = sorted(
            record.state.purchases.items(),
            key=lambda item: (-item[1].times_bought, -item[1].last_time),
        )
        return [
            {
                **self._item(product, purchase.quantity),
                "times_bought": purchase.times_bought,
                "last_time": iso(purchase.last_time),
            }
            for product, purchase in bought[:FAVOURITES]
        ]
