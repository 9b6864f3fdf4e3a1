"""Past moments to learn from and to be judged on: who, when, what lay in the basket, what came.

Training only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.recommender.evidence import Context, History, no_history
from retaild_plugins.trainers.recommender.sales import Sales

#: A receipt needs this many products before part of it may stand for a basket.
BASKET_RECEIPT = 4


@dataclass(slots=True)
class Case:
    """One question with its answer: `truth` (sorted product numbers) was bought afterwards."""

    history: History
    context: Context
    now: float
    truth: NDArray[np.int32]
    #: Products of the history, sorted: what is not among them would be new to the customer.
    known: NDArray[np.int64]


class Histories:
    """Every customer's History as of one moment."""

    def __init__(self, sales: Sales, until: float) -> None:
        rows = sales.slice(-np.inf, until)
        known = rows.customer >= 0
        customer, product, time = rows.customer[known], rows.product[known], rows.time[known]
        size, people = max(1, len(sales.product_ids)), len(sales.customer_ids)
        pair = customer.astype(np.int64) * size + product
        order = np.argsort(pair, kind="stable")  # oldest first within a pair
        pairs, start, times = np.unique(pair[order], return_index=True, return_counts=True)
        self._product = pairs % size
        self._times = times.astype(np.float64)
        self._first = time[order][start]
        self._last = time[order][start + times - 1]
        self._bounds = np.searchsorted(pairs // size, np.arange(people + 1))
        _, first = np.unique(rows.receipt[known], return_index=True)
        self._receipts = np.bincount(customer[first], minlength=people)
        self._first_time = np.full(people, np.inf)
        self._last_time = np.full(people, -np.inf)
        np.minimum.at(self._first_time, customer, time)
        np.maximum.at(self._last_time, customer, time)

    def of(self, customer: int) -> History:
        """A new customer (or -1) has an empty one."""
        if customer < 0 or not self._receipts[customer]:
            return no_history()
        part = slice(self._bounds[customer], self._bounds[customer + 1])
        return History(
            products=self._product[part],
            times=self._times[part],
            first=self._first[part],
            last=self._last[part],
            receipts=int(self._receipts[customer]),
            first_time=float(self._first_time[customer]),
            last_time=float(self._last_time[customer]),
            row=customer,
        )


def customer_cases(sales: Sales, start: float, end: float, limit: int, seed: int) -> list[Case]:
    """Customers known before `start`; the truth is what they buy in start..end."""
    window = sales.slice(start, end)
    histories = Histories(sales, start)
    rows = window.customer >= 0
    pairs = np.unique(np.stack([window.customer[rows], window.product[rows]]), axis=1)
    people, first = np.unique(pairs[0], return_index=True)
    truths = np.split(pairs[1], first[1:])
    found = []
    for number in _sample(len(people), limit, seed):
        history = histories.of(int(people[number]))
        if history.receipts:
            found.append(Case(history, Context(), start, truths[number], history.products))
    return found


def basket_cases(sales: Sales, start: float, end: float, limit: int, seed: int) -> list[Case]:
    """Receipts in start..end cut in two: 1 to 5 products, drawn by chance (a till's lines have
    no order to rely on), are the basket, the rest the truth. Histories are as of `start`; anonymous
    receipts have none."""
    window = sales.slice(start, end)
    histories = Histories(sales, start)
    random = np.random.default_rng(seed)
    order = np.argsort(window.receipt, kind="stable")
    _, first, lines = np.unique(window.receipt[order], return_index=True, return_counts=True)
    long = np.flatnonzero(lines >= BASKET_RECEIPT)
    found = []
    for number in long[_sample(len(long), limit, seed)]:
        rows = random.permutation(order[first[number] : first[number] + lines[number]])
        cut = int(random.integers(1, min(5, lines[number] // 2) + 1))
        basket = window.product[rows[:cut]].astype(np.int64)
        history = histories.of(int(window.customer[rows[0]]))
        context = Context(basket, np.ones(cut, np.float32), cut)
        truth = np.sort(window.product[rows[cut:]])
        moment = float(window.time[rows[0]])
        found.append(Case(history, context, moment, truth, history.products))
    return found


def _sample(count: int, limit: int, seed: int) -> NDArray[np.int64]:
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))
