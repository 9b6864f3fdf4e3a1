"""From what the server knows of a customer to the arrays that evidence is gathered from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from retaild.api.recommender import CustomerState
from retaild_plugins.trainers.recommender.evidence import Context, History, no_history

#: A look counts half as much as a product in the basket, and half of that an hour later.
VIEW_WEIGHT, VIEW_HALF_LIFE = 0.5, 3600.0
#: Views older than this (seconds), or before the last so many products, say nothing about now.
VIEW_SPAN, VIEW_COUNT = 86_400.0, 10


def history_of(customer: CustomerState | None, rows: Mapping[str, int], products: int) -> History:
    """The customer's History; products numbered from `products` on are not known yet."""
    if customer is None:
        return no_history()
    row = rows.get(customer.customer_id, -1)
    if not customer.purchases:
        found = no_history()
        found.row = row
        return found
    numbers = np.array(list(customer.purchases), np.int64)
    facts = np.array(
        [(p.times_bought, p.first_time, p.last_time) for p in customer.purchases.values()],
        np.float64,
    )
    known = (numbers < products) & (facts[:, 0] > 0)
    if not known.all():
        numbers, facts = numbers[known], facts[known]
    return History(
        products=numbers,
        times=facts[:, 0],
        first=facts[:, 1],
        last=facts[:, 2],
        receipts=customer.receipts,
        first_time=customer.first_time,
        last_time=customer.last_time,
        row=row,
    )


def context_of(
    customer: CustomerState | None, basket: Sequence[int], now: float, products: int
) -> Context:
    """What lies in the basket (the given one and the customer's), then what was looked at."""
    held = dict.fromkeys(p for p in basket if 0 <= p < products)
    views: dict[int, float] = {}
    if customer is not None:
        held |= dict.fromkeys(p for p, q in customer.basket.items() if q > 0 and p < products)
        for product, time in reversed(customer.views):
            age = now - time
            if age > VIEW_SPAN or len(views) == VIEW_COUNT:
                break
            if product < products and product not in held and product not in views:
                views[product] = VIEW_WEIGHT * 0.5 ** (max(age, 0.0) / VIEW_HALF_LIFE)
    if not held and not views:
        return Context()
    return Context(
        np.array([*held, *views], np.int64),
        np.array([*([1.0] * len(held)), *views.values()], np.float32),
        len(held),
    )
