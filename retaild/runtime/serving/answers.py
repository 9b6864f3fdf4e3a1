"""Ready answers: rendered slates by customer id, for one slate length.

An answer that is in `ready` may be sent: whatever makes it wrong (an event of the customer, stock,
a price, a new model) removes it first. So the hot path is one lookup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Header = tuple[bytes, bytes]


class Answer:
    """A body with the messages of ASGI that send it."""

    __slots__ = ("body", "headers", "message", "slot")

    def __init__(self, body: bytes, slot: int = -1) -> None:
        self.body = body
        self.message: dict[str, Any] = {"type": "http.response.body", "body": body}
        self.headers: list[Header] = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        self.slot = slot


class Answers:
    """At most `capacity` answers with slates of up to `count` products.

    When full, the oldest answers make room: a customer who has no ready answer gets one computed.
    """

    def __init__(self, count: int, capacity: int) -> None:
        self.count = count
        self.capacity = capacity
        self.ready: dict[str, Answer] = {}
        self._customers: list[str] = []
        self._free: list[int] = []
        self._products: NDArray[np.int32] = np.full((1024, count), -1, np.int32)

    def __len__(self) -> int:
        return len(self.ready)

    @property
    def full(self) -> bool:
        return len(self.ready) >= self.capacity

    def put(self, customer_id: str, body: bytes, products: Sequence[int]) -> Answer:
        """Keep an answer; replaces the customer's earlier one."""
        self.drop(customer_id)
        if self.full:
            self.drop(next(iter(self.ready)))
        slot = self._slot(customer_id)
        row = self._products[slot]
        row[:] = -1
        row[: len(products)] = products
        answer = self.ready[customer_id] = Answer(body, slot)
        return answer

    def drop(self, customer_id: str) -> None:
        answer = self.ready.pop(customer_id, None)
        if answer is not None:
            self._products[answer.slot] = -1
            self._free.append(answer.slot)

    def drop_with(self, products: Iterable[int], known: int) -> list[str]:
        """Remove all answers that offer any of `products`, indexes below `known`; whose they were.

        A hundred thousand answers take about a millisecond.
        """
        # One place more, always False: the -1 of empty places looks there.
        marked = np.zeros(known + 1, bool)
        marked[list(products)] = True
        used = self._products[: len(self._customers)]
        hit = np.flatnonzero(marked[used].any(axis=1))
        customers = [self._customers[slot] for slot in hit.tolist()]
        for customer_id in customers:
            self.drop(customer_id)
        return customers

    def clear(self) -> None:
        self.ready.clear()
        self._customers.clear()
        self._free.clear()
        self._products[:] = -1

    def _slot(self, customer_id: str) -> int:
        if self._free:
            slot = self._free.pop()
            self._customers[slot] = customer_id
            return slot
        slot = len(self._customers)
        self._customers.append(customer_id)
        if slot == len(self._products):
            more = np.full_like(self._products, -1)
            self._products = np.concatenate([self._products, more])
        return slot
