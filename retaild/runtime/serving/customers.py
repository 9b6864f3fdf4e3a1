"""Customers: rows of the base snapshot, and records that events have touched since."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from retaild.api.recommender import CustomerState, Purchase
from retaild.runtime.serving.base import Base
from retaild.runtime.serving.keys import KeySet, known_key, line_key, receipt_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HISTORY = 50
VIEWS = 50
ACTIONS = 200
#: Ten-thousandths: amounts add up exactly as integers.
SCALE = 10_000


class Line(NamedTuple):
    """A line of a receipt as history shows it."""

    time: float
    receipt_id: str
    product: int
    quantity: float
    unit_price: float
    amount: float


class BasketAction(NamedTuple):
    """Something put into or taken from the basket; `quantity` None: one in, or all out."""

    time: float
    adds: bool
    product: int
    quantity: float | None


@dataclass(slots=True)
class Record:
    """All that is known of one customer. `revenue` is of sale lines, in ten-thousandths.

    `state.basket` and the order of lists are true after `settle`.
    """

    state: CustomerState
    #: What customer events state wins over what the lines of receipts say.
    country: str | None = None
    country_time: float = 0.0
    line_country: str | None = None
    line_country_time: float = 0.0
    segment: str | None = None
    segment_time: float = 0.0
    consent: bool | None = None
    consent_time: float = 0.0
    revenue: int = 0
    history: list[Line] = field(default_factory=list)
    actions: list[BasketAction] = field(default_factory=list)

    @property
    def home(self) -> str | None:
        return self.country if self.country is not None else self.line_country

    def set_if_newer(self, name: str, value: Any, time: float) -> None:
        if value is not None and time >= getattr(self, f"{name}_time"):
            setattr(self, name, value)
            setattr(self, f"{name}_time", time)

    def lived_in(self, country: str | None, time: float) -> None:
        """A receipt names a country: the newest counts, of several at once the first by name."""
        if country is None or time < self.line_country_time:
            return
        if time == self.line_country_time and self.line_country is not None:
            country = min(country, self.line_country)
        self.line_country, self.line_country_time = country, time

    def settle(self, ids: list[str]) -> Record:
        """Sort and shorten the lists, and work out the basket: what was added since the last sale.

        Events may arrive in any order; what they come to does not depend on it.
        """
        if len(self.history) > 1:
            self.history.sort(
                key=lambda x: (-x.time, x.receipt_id, ids[x.product], x.quantity, x.unit_price)
            )
            del self.history[HISTORY:]
        self.state.views.sort(key=lambda view: (view[1], ids[view[0]]))
        del self.state.views[:-VIEWS]
        self._settle_basket(ids)
        return self

    def _settle_basket(self, ids: list[str]) -> None:
        bought = self.state.last_time
        actions = [a for a in self.actions if a.time > bought]
        actions.sort(key=lambda a: (a.time, ids[a.product], not a.adds))
        self.actions = actions[-ACTIONS:]
        basket: dict[int, float] = {}
        for action in self.actions:
            held = basket.get(action.product, 0.0)
            if action.adds:
                held += 1.0 if action.quantity is None else action.quantity
            else:
                held -= held if action.quantity is None else action.quantity
            if held > 0:
                basket[action.product] = held
            else:
                basket.pop(action.product, None)
        self.state.basket = basket


class Customers:
    """Customers by id. `touch` gives a record that may be changed, `get` one to read."""

    def __init__(self, base: Base, remap: NDArray[np.int32], ids: list[str]) -> None:
        self._base = base
        self._remap = remap
        self._ids = ids
        self._rows = {cid: row for row, cid in enumerate(base.customers["customer_id"])}
        self._live: dict[str, Record] = {}
        self._unsettled: set[str] = set()
        self._recency: list[str] | None = None
        self._receipts = KeySet(base.arrays["receipt_keys"])
        self._lines = KeySet(base.arrays["line_keys"])

    def __len__(self) -> int:
        return len(self._rows) + sum(1 for cid in self._live if cid not in self._rows)

    def __contains__(self, customer_id: str) -> bool:
        return customer_id in self._live or customer_id in self._rows

    def ids(self) -> list[str]:
        """All ids: the snapshot's, then new ones."""
        return [*self._rows, *(cid for cid in self._live if cid not in self._rows)]

    def by_recency(self) -> list[str]:
        """All ids; who bought last comes first, those touched by events before all."""
        if self._recency is None:
            times = self._base.customers.get("last_time", [])
            ids = self._base.customers["customer_id"]
            order = sorted(range(len(ids)), key=times.__getitem__, reverse=True)
            self._recency = [ids[row] for row in order]
        live = self._live
        return [*live, *(cid for cid in self._recency if cid not in live)]

    def get(self, customer_id: str) -> Record | None:
        record = self._live.get(customer_id)
        if record is not None:
            if customer_id in self._unsettled:
                self._unsettled.discard(customer_id)
                record.settle(self._ids)
            return record
        row = self._rows.get(customer_id)
        return None if row is None else self._from_base(customer_id, row)

    def state(self, customer_id: str) -> CustomerState | None:
        """What a model is told of the customer: a record's larger part is left in the file."""
        row = self._rows.get(customer_id)
        if customer_id in self._live or row is None or customer_id in self._base.activity:
            record = self.get(customer_id)
            return None if record is None else record.state
        return self._state(customer_id, row)

    def touch(self, customer_id: str) -> Record:
        record = self._live.get(customer_id)
        if record is None:
            row = self._rows.get(customer_id)
            record = (
                Record(CustomerState(customer_id))
                if row is None
                else self._from_base(customer_id, row)
            )
            self._live[customer_id] = record
        self._unsettled.add(customer_id)
        if len(record.history) > 4 * HISTORY or len(record.state.views) > 4 * VIEWS:
            record.settle(self._ids)
        return record

    def let_go(self) -> bool:
        """See `Facts.let_go`."""
        if self._live:
            self._live.popitem()
            return True
        return self._receipts.let_go() or self._lines.let_go()

    def buy(self, record: Record, event: dict[str, Any], product: int) -> None:
        """A line of type `sale`."""
        state, time = record.state, event["event_time"]
        customer = known_key(state.customer_id)
        receipt = known_key(f"{event.get('store') or 'main'}\x1f{event['receipt_id']}")
        if self._receipts.add(receipt_key(customer, receipt)):
            state.receipts += 1
        times = (
            1 if self._lines.add(line_key(customer, receipt, known_key(event["product_id"]))) else 0
        )
        held = state.purchases.get(product)
        if held is None:
            state.purchases[product] = Purchase(times, event["quantity"], time, time)
        else:
            held.times_bought += times
            held.quantity += event["quantity"]
            held.first_time = min(held.first_time, time)
            held.last_time = max(held.last_time, time)
        state.first_time = min(state.first_time, time) if state.first_time else time
        state.last_time = max(state.last_time, time)

    def summary(self, customer_id: str) -> tuple[str | None, int, float]:
        """(country, receipts, last time): for lists, without building the record."""
        record = self._live.get(customer_id)
        if record is not None:
            return record.home, record.state.receipts, record.state.last_time
        row, columns = self._rows[customer_id], self._base.customers
        country = columns["country"][row] or columns["line_country"][row]
        return country, columns["receipts"][row], columns["last_time"][row]

    def _state(self, customer_id: str, row: int) -> CustomerState:
        columns = self._base.customers
        return CustomerState(
            customer_id,
            purchases=self._purchases(row),
            receipts=columns["receipts"][row],
            first_time=columns["first_time"][row],
            last_time=columns["last_time"][row],
        )

    def _from_base(self, customer_id: str, row: int) -> Record:
        columns = self._base.customers
        state = self._state(customer_id, row)
        record = Record(
            state,
            country=columns["country"][row],
            country_time=columns["country_time"][row],
            line_country=columns["line_country"][row],
            line_country_time=columns["line_country_time"][row],
            segment=columns["segment"][row],
            segment_time=columns["segment_time"][row],
            consent=columns["consent"][row],
            consent_time=columns["consent_time"][row],
            revenue=columns["revenue"][row],
            history=self._history(row),
        )
        self._add_activity(record, self._base.activity.get(customer_id))
        return record

    def _purchases(self, row: int) -> dict[int, Purchase]:
        arrays = self._base.arrays
        start = arrays["purchase_start"]
        part = slice(int(start[row]), int(start[row + 1]))
        columns = (
            self._remap[arrays["purchase_product"][part]].tolist(),
            *(arrays[f"purchase_{name}"][part].tolist() for name in _PURCHASE),
        )
        return {p: Purchase(n, q, first, last) for p, n, q, first, last in zip(*columns)}  # noqa: B905

    def _history(self, row: int) -> list[Line]:
        arrays = self._base.arrays
        start = arrays["history_start"]
        first, last = int(start[row]), int(start[row + 1])
        places = arrays["history_receipt_start"][first : last + 1].tolist()
        text = arrays["history_receipt"][places[0] : places[-1]].tobytes() if places else b""
        receipts = [
            text[a - places[0] : b - places[0]].decode() for a, b in itertools.pairwise(places)
        ]
        part = slice(first, last)
        products = self._remap[arrays["history_product"][part]].tolist()
        rest = (arrays[f"history_{name}"][part].tolist() for name in _HISTORY)
        return [
            Line(t, r, p, q, u, a)
            for r, p, t, q, u, a in zip(receipts, products, *rest, strict=True)
        ]

    def _add_activity(self, record: Record, held: dict[str, Any] | None) -> None:
        if not held:
            return
        remap = self._remap
        record.state.views = [(int(remap[p]), t) for p, t in held["views"]]
        record.actions = [
            BasketAction(t, adds, int(remap[p]), q) for t, adds, p, q in held["actions"]
        ]
        record.settle(self._ids)


_PURCHASE = ("times", "quantity", "first", "last")
_HISTORY = ("time", "quantity", "unit_price", "amount")
