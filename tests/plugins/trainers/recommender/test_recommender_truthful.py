"""No leak from the future, no skew between training and serving."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from retaild_plugins.trainers.recommender.cases import Histories, customer_cases
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.evidence import (
    CUSTOMER,
    FEATURES,
    Context,
    Evidence,
    Settings,
    gather,
)
from retaild_plugins.trainers.recommender.fit import fit
from retaild_plugins.trainers.recommender.live import context_of, history_of
from retaild_plugins.trainers.recommender.sales import Sales, read_sales
from retaild_plugins.trainers.recommender.snapshots import product_snapshots
from retaild_plugins.trainers.recommender.statistics import Related, Statistics

from retaild.api import Lake
from retaild.api.recommender import CustomerState, Purchase

DAY = 86_400.0
NOW_DAY = 98.0  # Monday of the fifteenth week


@pytest.fixture(scope="module")
def sales(shop_lake: Lake) -> Sales:
    return read_sales(shop_lake)


@pytest.fixture(scope="module")
def now(sales: Sales) -> float:
    return float(np.floor(sales.time[0] / DAY)) * DAY + NOW_DAY * DAY


def learned(sales: Sales, now: float, lake: Lake, make_context: Any, folder: Path) -> Statistics:
    store = product_snapshots(make_context(lake, folder).features, sales.product_ids, [now])
    return fit(sales, now, RecommenderConfig(), store[now], 1)


def customers(sales: Sales) -> list[int]:
    return list(range(0, len(sales.customer_ids), 7))


def state_of(sales: Sales, customer: int, now: float) -> CustomerState:
    """As the server builds it: sale by sale."""
    state = CustomerState(sales.customer_ids[customer])
    receipts = set()
    for row in np.flatnonzero((sales.customer == customer) & (sales.time < now)):
        time, product = float(sales.time[row]), int(sales.product[row])
        held = state.purchases.get(product)
        if held is None:
            state.purchases[product] = Purchase(1, 1.0, time, time)
        else:
            held.times_bought += 1
            held.quantity += 1.0
            held.last_time = time
        receipts.add(int(sales.receipt[row]))
        state.first_time = state.first_time or time
        state.last_time = time
    state.receipts = len(receipts)
    return state


def by_product(evidence: Evidence, ids: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    return {
        ids[p]: row for p, row in zip(evidence.products.tolist(), evidence.features, strict=True)
    }


def test_the_future_changes_nothing(
    make_shop: Any, make_lake: Any, make_context: Any, tmp_path: Path, now: float
) -> None:
    """Every receipt after the moment is replaced by other products, customers and times."""
    receipts = make_shop()
    worlds = []
    for name, future in (("true", False), ("other", True)):
        told = [
            (r, f"c{(int(r[1:4]) * 7 + 1) % 100:03}", day + 0.2, ["extra-29", "staple-1"])
            if future and day >= NOW_DAY
            else (r, who, day, products)
            for r, who, day, products in receipts
        ]
        lake = make_lake(tmp_path / name, told)
        sales = read_sales(lake)
        worlds.append((sales, learned(sales, now, lake, make_context, tmp_path / f"w-{name}")))
    (sales, stats), (other_sales, other) = worlds
    assert len(sales) != len(other_sales)
    for field in fields(Statistics):
        mine, theirs = getattr(stats, field.name), getattr(other, field.name)
        if isinstance(mine, Related):
            np.testing.assert_array_equal(mine.index, theirs.index)
            np.testing.assert_array_equal(mine.weight, theirs.weight)
        elif isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, theirs)
        elif field.name != "names":
            assert mine == theirs
    before, after = Histories(sales, now), Histories(other_sales, now)
    for customer in customers(sales):
        one = gather(stats, before.of(customer), Context(), now, Settings())
        two = gather(other, after.of(customer), Context(), now, Settings())
        np.testing.assert_array_equal(one.products, two.products)
        np.testing.assert_array_equal(one.features, two.features)


def test_the_past_does_change_it(
    sales: Sales, shop_lake: Lake, make_context: Any, tmp_path: Path, now: float
) -> None:
    """So the test above can fail."""
    stats = learned(sales, now, shop_lake, make_context, tmp_path / "a")
    later = learned(sales, now + 7 * DAY, shop_lake, make_context, tmp_path / "b")
    assert not np.array_equal(stats.rates, later.rates)
    assert not np.array_equal(stats.together.weight, later.together.weight)


def test_truth_comes_after_the_moment(sales: Sales, now: float) -> None:
    for case in customer_cases(sales, now, now + 14 * DAY, 1000, 1):
        assert case.history.last_time < now == case.now
        rows = (sales.customer == case.history.row) & (sales.time >= now)
        rows &= sales.time < now + 14 * DAY
        assert set(case.truth.tolist()) == set(sales.product[rows].tolist())


def test_server_and_training_see_the_same(
    sales: Sales, shop_lake: Lake, make_context: Any, tmp_path: Path, now: float
) -> None:
    """From a CustomerState and a catalogue in another order come the same candidates with the
    same features as from the arrays that training uses."""
    stats = learned(sales, now, shop_lake, make_context, tmp_path)
    order = np.random.default_rng(5).permutation(stats.size)
    place = np.argsort(order)
    served = stats.renumbered([stats.product_ids[i] for i in order])
    rows = {customer: row for row, customer in enumerate(stats.customer_ids)}
    histories = Histories(sales, now)
    for customer in customers(sales):
        state = state_of(sales, customer, now)
        state.purchases = {int(place[p]): bought for p, bought in state.purchases.items()}
        basket = [int(place[0]), int(place[5])]
        live = gather(
            served, history_of(state, rows, served.size), context_of(state, basket, now, 10_000),
            now, Settings(),
        )  # fmt: skip
        context = Context(np.array([0, 5]), np.ones(2, np.float32), 2)
        batch = gather(stats, histories.of(customer), context, now, Settings())
        seen = by_product(live, served.product_ids)
        trained = by_product(batch, stats.product_ids)
        assert seen.keys() == trained.keys()
        for product, features in trained.items():
            np.testing.assert_allclose(seen[product], features, rtol=2e-5, atol=1e-5)


def test_customer_features_are_the_feature_stores(
    sales: Sales, shop_lake: Lake, now: float, make_context: Any, tmp_path: Path
) -> None:
    """Worked out live, they equal gold.customer_snapshot at the moment of a snapshot."""
    import pyarrow as pa

    names = {
        "receipts": "receipts",
        "distinct_products": "distinct_products",
        "customer_repeat_share": "repeat_share",
        "customer_days_since_last": "days_since_last",
        "mean_gap_days": "mean_gap_days",
    }
    people = [sales.customer_ids[c] for c in customers(sales)]
    entities = pa.table({
        "customer_id": people,
        "event_timestamp": pa.array([int(now * 1e6)] * len(people), pa.timestamp("us", tz="UTC")),
    })  # fmt: skip
    backend = make_context(shop_lake, tmp_path).features
    store = backend.historical(entities, [f"customer:{name}" for name in names.values()])
    stats = learned(sales, now, shop_lake, make_context, tmp_path)
    histories = Histories(sales, now)
    first = len(FEATURES) - len(CUSTOMER)
    for row, customer in enumerate(customers(sales)):
        found = gather(stats, histories.of(customer), Context(), now, Settings()).features[0]
        for feature, name in names.items():
            expected = store[f"customer__{name}"][row].as_py()
            assert found[first + CUSTOMER.index(feature)] == pytest.approx(expected, rel=1e-5)
