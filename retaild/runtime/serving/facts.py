"""What is known now: a base snapshot with the events since applied to it, one by one.

Applying is idempotent (by event id) and does not depend on the order of arrival, so that a
snapshot plus the log's tail comes to the same as a snapshot made later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retaild.runtime.serving.base import Base
from retaild.runtime.serving.customers import SCALE, BasketAction, Customers, Line, Record
from retaild.runtime.serving.keys import KeySet, key
from retaild.runtime.serving.ledger import Announcement
from retaild.runtime.serving.products import (
    MASTER_FIELDS,
    Exclusions,
    Product,
    ProductIndex,
    Products,
    Shelf,
)

#: Families that change what the server answers.
FAMILIES = frozenset({"sale", "activity", "stock", "product", "price", "customer"})


class Facts:
    """Products and customers as of `offset` of the log (plus own appends applied ahead of it).

    `changed_products` and `changed_customers` collect what was touched until the engine drains
    them.
    """

    def __init__(self, base: Base, index: ProductIndex, exclusions: Exclusions) -> None:
        self.base = base
        self.offset = base.offset
        self.newest_sale: float = base.meta["newest_sale"]
        self.events = 0
        self.duplicates = 0
        self.changed_products: set[int] = set()
        self.changed_customers: set[str] = set()
        self.products = Products(index, exclusions)
        rows = [index.place(product_id) for product_id in base.products["product_id"]]
        self._load_products(base, rows)
        self.customers = Customers(base, np.array(rows, np.int32), index.ids)
        self._seen = KeySet(base.arrays["seen"])

    def wants(self, family: str, offset: int) -> bool:
        """Whether the entry at `offset` holds anything that is not in the snapshot."""
        return family in FAMILIES and offset >= self.base.cuts.get(family, 0)

    def has(self, event_id: str) -> bool:
        """Whether an event is counted already."""
        return key(event_id) in self._seen

    def apply(self, family: str, event: dict[str, Any]) -> bool:
        """Apply one event (times in seconds, numbers as float); False if it was known."""
        if not self._seen.add(key(event["event_id"])):
            self.duplicates += 1
            return False
        self.events += 1
        _APPLY[family](self, event)
        return True

    def let_go(self) -> bool:
        """Free a little of what facts that are out of service hold; False when nothing is left.

        To free a million objects at once would hold up requests for a second.
        """
        return self.customers.let_go() or self._seen.let_go()

    def _sale(self, event: dict[str, Any]) -> None:
        line_type, customer_id = event.get("line_type") or "sale", event.get("customer_id")
        record = self._touched(customer_id) if customer_id else None
        if record is not None:
            record.lived_in(event.get("country"), event["event_time"])
        if line_type not in ("sale", "return"):
            return
        product = self._known_product(event["product_id"], event)
        row = self.products.rows[product]
        if row.stock and row.move(event):
            self.changed_products.add(product)
        if line_type == "sale":
            row.recent_receipts += 1
            row.recent_units += event["quantity"]
            self.newest_sale = max(self.newest_sale, event["event_time"])
        if record is not None:
            self._line(record, event, product, line_type)

    def _line(self, record: Record, event: dict[str, Any], product: int, line_type: str) -> None:
        quantity, unit_price, amount = event["quantity"], event["unit_price"], event.get("amount")
        if amount is None:
            amount = quantity * unit_price - (event.get("discount") or 0.0)
        record.history.append(
            Line(event["event_time"], event["receipt_id"], product, quantity, unit_price, amount)
        )
        if line_type == "sale":
            record.revenue += round(amount * SCALE)
            self.customers.buy(record, event, product)

    def _activity(self, event: dict[str, Any]) -> None:
        customer_id, product_id = event.get("customer_id"), event.get("product_id")
        if not customer_id or not product_id:
            return
        action, time = event["action"], event["event_time"]
        if action not in ("view", "click", "basket_add", "basket_remove"):
            return
        if action in ("view", "click"):
            # A look makes no product: anybody can make ids up, and the model need not hear of them.
            seen = self.products.index.place(product_id)
            self._touched(customer_id).state.views.append((seen, time))
            return
        product = self._known_product(product_id, {})
        act = BasketAction(time, action == "basket_add", product, event.get("quantity"))
        self._touched(customer_id).actions.append(act)

    def _stock(self, event: dict[str, Any]) -> None:
        product = self._known_product(event["product_id"], {})
        self.products.at(product).count(event)
        self.changed_products.add(product)

    def _product(self, event: dict[str, Any]) -> None:
        product = self._known_product(event["product_id"], {})
        self.products.at(product).describe(event)
        self.changed_products.add(product)

    def _price(self, event: dict[str, Any]) -> None:
        product = self._known_product(event["product_id"], {})
        self.products.at(product).announce(event)
        self.changed_products.add(product)

    def _customer(self, event: dict[str, Any]) -> None:
        record = self._touched(event["customer_id"])
        for name in ("country", "segment", "consent"):
            record.set_if_newer(name, event.get(name), event["event_time"])

    def _touched(self, customer_id: str) -> Record:
        self.changed_customers.add(customer_id)
        return self.customers.touch(customer_id)

    def _known_product(self, product_id: str, sale: dict[str, Any]) -> int:
        """Its index; a product never met before is described by its first sale, until gold is."""
        product = self.products.index.place(product_id)
        row = self.products.at(product)
        if sale and (row.usual is None or row.name is None or row.currency is None):
            self._describe_by_sale(product, row, sale)
        if not row.known:
            row.known = True
            self.changed_products.add(product)
        return product

    def _describe_by_sale(self, product: int, row: Product, sale: dict[str, Any]) -> None:
        if row.usual is None:
            row.usual = sale["unit_price"]
            row.prices.observed.append((sale["event_time"], sale["unit_price"]))
        row.name = row.name or sale.get("description")
        row.currency = row.currency or sale["currency"]
        self.changed_products.add(product)

    def _load_products(self, base: Base, rows: list[int]) -> None:
        columns = base.products
        for at, product in enumerate(rows):
            row = self.products.at(product)
            row.known = True
            stamps = columns["stamps"][at] or {}
            row.stamps = {name: time for name, time in stamps.items() if time is not None}
            for name in MASTER_FIELDS:
                setattr(row, name, columns[name][at])
            row.excluded = bool(row.excluded)
            row.cost_source = columns["cost_source"][at]
            row.usual = columns["usual"][at]
            row.stock_source = columns["stock_source"][at]
            row.stock = {s: Shelf(n, t, m) for s, n, t, m in columns["stock"][at] or ()}
            row.recent_receipts = columns["recent_receipts"][at]
            row.recent_units = columns["recent_units"][at]
            row.prices.observed = [(t, p) for t, p in columns["observed"][at] or ()]
            row.category = row.category or columns["derived_category"][at]
            row.name = row.name or columns["derived_name"][at]
            self.changed_products.add(product)
        for event in base.announced:
            product = self.products.index.place(event["product_id"])
            self.products.at(product).prices.announce(Announcement.of(event))


#: Not bound methods in the object: that circle would keep facts that are out of service for ever,
#: for the collector does not look at what is held for long.
_APPLY: dict[str, Callable[[Facts, dict[str, Any]], None]] = {
    "sale": Facts._sale,
    "activity": Facts._activity,
    "stock": Facts._stock,
    "product": Facts._product,
    "price": Facts._price,
    "customer": Facts._customer,
}
