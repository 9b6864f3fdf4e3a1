"""What the server asks of a recommender, and what it gives it to know.

Products and customers are known by ids outside, products by their index in the `Catalogue`
inside: a slate is computed in well under a millisecond on plain arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True)
class Purchase:
    """One customer's buying of one product so far. Times are seconds since the epoch (UTC)."""

    #: Receipts it stood on (returns do not count).
    times_bought: int
    quantity: float
    first_time: float
    last_time: float


@dataclass(slots=True)
class CustomerState:
    """What is known of a customer now: product index -> purchase, basket, last views."""

    customer_id: str
    purchases: dict[int, Purchase] = field(default_factory=dict)
    #: Product index -> quantity now in the basket.
    basket: dict[int, float] = field(default_factory=dict)
    #: (product index, time) of the last views and clicks, oldest first, at most 50.
    views: list[tuple[int, float]] = field(default_factory=list)
    receipts: int = 0
    first_time: float = 0.0
    last_time: float = 0.0


@dataclass(slots=True)
class Catalogue:
    """Products in the server: index -> id, and what may be offered.

    `offerable` (bool, one per product) is False for what is out of stock or excluded. It only
    grows; `price` is the current price in the shop's currency, NaN if unknown; `category` holds
    codes into `categories`, -1 if unknown.
    """

    product_ids: list[str]
    offerable: NDArray[np.bool_]
    price: NDArray[np.float64]
    category: NDArray[np.int32]
    categories: list[str]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A product to offer, why in a sentence for the customer's eyes, and which source found it."""

    product: int
    score: float
    reason: str
    source: str


class Recommender(Protocol):
    """A loaded model. Not thread-safe; called by one thread."""

    def bind(self, catalogue: Catalogue) -> None:
        """Learn the server's product indexes; called again when the catalogue has grown."""

    def recommend(
        self, customer: CustomerState | None, basket: Sequence[int], now: float, count: int
    ) -> list[Recommendation]:
        """The best `count` offerable products, best first, none of them in the basket.

        `customer` None or unknown: a sensible start (what is popular now, what goes with the
        basket). `now` in seconds since the epoch.
        """

    def similar(self, product: int, count: int) -> list[Recommendation]:
        """Offerable products like this one, best first."""
