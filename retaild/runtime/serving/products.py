"""Products as the server knows them, and the arrays a model reads them from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retaild.api.recommender import Catalogue
from retaild.runtime.serving.ledger import Announcement, Ledger


class ProductIndex:
    """Product id <-> index. Only grows, and lives as long as the process: an index stays true."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, product_id: str) -> int | None:
        return self._places.get(product_id)

    def place(self, product_id: str) -> int:
        """Its index; a new one if it was not known."""
        found = self._places.get(product_id)
        if found is None:
            found = self._places[product_id] = len(self.ids)
            self.ids.append(product_id)
        return found


@dataclass(slots=True)
class Shelf:
    """A store's stock of a product: the last count less what the tills moved since.

    `moves` are (time, quantity) of the lines since the count that came by the log's tail; `moved`
    is the sum of those in the snapshot. A count that is older than lines of the snapshot is exact
    only from the next snapshot on.
    """

    counted: float | None = None
    time: float = 0.0
    moved: float = 0.0
    moves: list[tuple[float, float]] = field(default_factory=list)

    def count(self, on_hand: float, time: float) -> bool:
        if self.counted is not None and time < self.time:
            return False
        if time > self.time:
            self.moved = 0.0
        self.counted, self.time = on_hand, time
        self.moves = [move for move in self.moves if move[0] > time]
        return True

    def move(self, quantity: float, time: float) -> None:
        if time > self.time:
            self.moves.append((time, quantity))

    @property
    def on_hand(self) -> float:
        return (self.counted or 0.0) - self.moved - sum(q for _, q in self.moves)


@dataclass(slots=True)
class Product:
    """Master data, stock and prices of one product.

    `stamps` holds, per field, the time of the event it came from: a later event wins, whatever
    order they arrive in. `usual` is the modal price of the four weeks up to its last sale.
    """

    name: str | None = None
    category: str | None = None
    brand: str | None = None
    gtin: str | None = None
    currency: str | None = None
    unit_cost: float | None = None
    image_url: str | None = None
    excluded: bool = False
    usual: float | None = None
    stock_source: str | None = None
    cost_source: str | None = None
    #: Per store.
    stock: dict[str, Shelf] = field(default_factory=dict)
    stamps: dict[str, float] = field(default_factory=dict)
    prices: Ledger = field(default_factory=Ledger)
    #: Receipts it stood on in the four weeks before the newest sale.
    recent_receipts: int = 0
    #: Pieces on lines of type sale in the same time.
    recent_units: float = 0.0
    known: bool = False

    @property
    def on_hand(self) -> float | None:
        """Pieces over all stores; None if nothing is known."""
        counted = [shelf.on_hand for shelf in self.stock.values() if shelf.counted is not None]
        return sum(counted) if counted else None

    def count(self, event: dict[str, Any]) -> None:
        """A stock event: it replaces an earlier count of that store."""
        shelf = self.stock.setdefault(event.get("store") or "main", Shelf())
        if shelf.count(event["on_hand"], event["event_time"]):
            self.stock_source = event["source"]

    def move(self, event: dict[str, Any]) -> bool:
        """A line of a receipt: goods left the shelf or came back; False if it is not counted."""
        shelf = self.stock.get(event.get("store") or "main")
        if shelf is None:
            return False
        shelf.move(event["quantity"], event["event_time"])
        return True

    def price(self, moment: float) -> float | None:
        """The price in force: announced, else the usual one at the till."""
        announced = self.prices.in_force(moment)
        return self.usual if announced is None else announced.price

    def describe(self, event: dict[str, Any]) -> None:
        """A product event: each field it has replaces an older one."""
        time = event["event_time"]
        for name in MASTER_FIELDS:
            value = event.get(name)
            if value is not None and time >= self.stamps.get(name, 0.0):
                setattr(self, name, value)
                self.stamps[name] = time
                if name == "unit_cost":
                    self.cost_source = event["source"]

    def announce(self, event: dict[str, Any]) -> None:
        """A price event."""
        self.prices.announce(Announcement.of(event))
        self.currency = event["currency"]


#: Fields of a product event that the server keeps.
MASTER_FIELDS = (
    "name", "category", "brand", "gtin", "unit_cost", "currency", "image_url", "excluded",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exclusions:
    """What the shop never offers, from the configuration."""

    products: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()


class Products:
    """All products of a `Facts`, and the `Catalogue` that follows them.

    `refresh` brings the catalogue up to date for products that changed; a grown catalogue has new
    arrays (`grown` is then True once), and models must be bound again.
    """

    def __init__(self, index: ProductIndex, exclusions: Exclusions) -> None:
        self.index = index
        self.exclusions = exclusions
        self.rows: list[Product] = []
        self.categories: dict[str, int] = {}
        none = np.zeros(0)
        self.catalogue = Catalogue(
            index.ids, none.astype(bool), none, none.astype(np.int32), list(self.categories)
        )

    def at(self, product: int) -> Product:
        rows = self.rows
        while len(rows) <= product:
            rows.append(Product())
        return rows[product]

    def offerable(self, product: int) -> bool:
        row = self.at(product)
        on_hand = row.on_hand
        return (
            row.known
            and not row.excluded
            and (on_hand is None or on_hand > 0)
            and self.index.ids[product] not in self.exclusions.products
            and row.category not in self.exclusions.categories
        )

    def refresh(
        self, changed: set[int], now: float, grow: bool = True, limit: int | None = None
    ) -> bool:
        """Bring the catalogue up to date for `changed`; with `grow`, for new products too.

        True if it grew. `limit` bounds the growth (the index may grow in another thread).
        """
        known = len(self.catalogue.price)
        size = len(self.index) if limit is None else limit
        grown = grow and size > known
        if grown:
            changed = changed | set(range(known, size))
            self._grow(size)
        catalogue = self.catalogue
        for product in changed:
            row = self.at(product)
            price = row.price(now)
            catalogue.offerable[product] = self.offerable(product)
            catalogue.price[product] = np.nan if price is None else price
            catalogue.category[product] = self._category(row.category)
        return grown

    def _grow(self, size: int) -> None:
        old, more = self.catalogue, size - len(self.catalogue.price)
        self.catalogue = Catalogue(
            self.index.ids,
            np.concatenate([old.offerable, np.zeros(more, bool)]),
            np.concatenate([old.price, np.full(more, np.nan)]),
            np.concatenate([old.category, np.full(more, -1, np.int32)]),
            old.categories,
        )

    def _category(self, name: str | None) -> int:
        if not name:
            return -1
        code = self.categories.get(name)
        if code is None:
            code = self.categories[name] = len(self.catalogue.categories)
            self.catalogue.categories.append(name)
        return code
