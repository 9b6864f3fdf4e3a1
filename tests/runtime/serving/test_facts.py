"""A snapshot plus the log's tail tells the same as a snapshot made later."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from retaild.api.bus import Bus
from retaild.events.codec import iter_events
from retaild.runtime.context import WorkerContext
from retaild.runtime.serving.base import Base, bases, read_base
from retaild.runtime.serving.facts import Facts
from retaild.runtime.serving.pace import Pace
from retaild.runtime.serving.products import Exclusions, ProductIndex
from retaild.runtime.serving.snapshot import Snapshot
from retaild.runtime.serving.tail import Tail
from tests.runtime.serving.shops import NOON, Till, append, busy_month, context, entry


@pytest.fixture
def shop(tmp_path: Path) -> WorkerContext:
    return context(tmp_path)


def carry(shop: WorkerContext, bus: Bus) -> None:
    """All that is in the log into the lake, by the real stream processor."""
    processor = shop.build("stream", "stream")
    progress = processor.open(bus)
    while progress.offset < bus.end().offset:
        progress = processor.step()
    processor.close()


def snapshot(shop: WorkerContext) -> Base:
    builder = Snapshot(shop.lake(), threads=1)
    builder.build(shop.data.online)
    builder.close()
    return read_base(bases(shop.data.online)[0])


def facts_of(base: Base, bus: Bus | None = None) -> Facts:
    facts = Facts(base, ProductIndex(), Exclusions())
    if bus is not None:
        asyncio.run(Tail(bus, Pace()).catch_up(facts))
    return facts


def told(facts: Facts) -> dict[str, Any]:
    """All that the facts say, by ids, in one order."""
    ids, now = facts.products.index.ids, NOON + 40 * 86_400
    products = {}
    for place, product_id in enumerate(ids):
        row = facts.products.at(place)
        products[product_id] = (
            row.name, row.category, row.unit_cost, row.excluded, row.on_hand, row.stock_source,
            row.cost_source, row.usual, row.price(now), row.prices.announced, row.recent_receipts,
            row.recent_units, facts.products.offerable(place),
        )  # fmt: skip
    return {
        "products": products,
        "customers": {c: _customer(facts, c) for c in facts.customers.ids()},
    }


def _customer(facts: Facts, customer_id: str) -> Any:
    record = facts.customers.get(customer_id)
    assert record is not None
    ids, state = facts.products.index.ids, record.state
    return {
        "purchases": {
            ids[p]: (x.times_bought, x.quantity, x.first_time, x.last_time)
            for p, x in state.purchases.items()
        },
        "receipts": state.receipts,
        "times": (state.first_time, state.last_time),
        "revenue": record.revenue,
        "who": (record.home, record.segment, record.consent),
        "basket": {ids[p]: q for p, q in state.basket.items()},
        "views": [(ids[p], t) for p, t in state.views],
        "history": [
            (x.time, x.receipt_id, ids[x.product], x.quantity, x.unit_price, x.amount)
            for x in record.history
        ],
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_a_snapshot_and_the_tail_make_a_later_snapshot(
    shop: WorkerContext, seed: int, share: float
) -> None:
    events = busy_month(seed)
    cut = int(len(events) * share)
    bus = shop.bus()
    bus.open()
    append(bus, events[:cut])
    carry(shop, bus)
    early = snapshot(shop)
    append(bus, events[cut:])
    followed = told(facts_of(early, bus))
    carry(shop, bus)
    late = snapshot(shop)
    assert late.offset == bus.end().offset
    rebuilt = told(facts_of(late))
    assert followed["products"] == rebuilt["products"]
    for customer_id, customer in rebuilt["customers"].items():
        assert followed["customers"][customer_id] == customer, customer_id
    assert followed["customers"].keys() == rebuilt["customers"].keys()
    bus.close()


def test_events_that_the_snapshot_holds_are_not_counted_again(shop: WorkerContext) -> None:
    events = busy_month(5, days=4)
    bus = shop.bus()
    bus.open()
    append(bus, events)
    carry(shop, bus)
    once = told(facts_of(snapshot(shop)))
    append(bus, events)
    assert told(facts_of(read_base(bases(shop.data.online)[0]), bus)) == once
    bus.close()


def test_the_order_of_arrival_does_not_matter() -> None:
    events = busy_month(6, days=6)
    # Stock counts and prices keep their order: the newest wins, equal times by arrival.
    forward, backward = (
        Facts(Base.empty(), ProductIndex(), Exclusions()),
        Facts(Base.empty(), ProductIndex(), Exclusions()),
    )
    chosen = [e for e in events if e["family"] in ("sale", "activity", "customer")]
    for facts, order in ((forward, chosen), (backward, list(reversed(chosen)))):
        for event in order:
            apply(facts, event)
    assert told(forward)["customers"] == told(backward)["customers"]


def apply(facts: Facts, event: dict[str, Any]) -> bool:
    one = entry([event])
    (plain,) = iter_events(one.family, one.codec, one.payload)
    return facts.apply(one.family, plain)


@pytest.fixture
def facts() -> Facts:
    return Facts(Base.empty(), ProductIndex(), Exclusions())


def test_a_receipt_counts_once_however_many_lines_it_has(facts: Facts) -> None:
    till = Till()
    for product in ("a", "a", "b"):
        apply(facts, till.sale("c", product, receipt_id="r", quantity="2"))
    apply(facts, till.sale("c", "a", NOON + 60, receipt_id="s"))
    record = facts.customers.get("c")
    assert record is not None
    place = facts.products.index.find("a")
    assert place is not None
    bought = record.state.purchases[place]
    assert (bought.times_bought, bought.quantity) == (2, 5.0)
    assert record.state.receipts == 2
    assert record.revenue == (2 + 2 + 2 + 1) * 25_000  # pieces at 2.50, in ten-thousandths


def test_a_sale_empties_the_basket_and_later_actions_fill_it(facts: Facts) -> None:
    till = Till()
    apply(facts, till.activity("c", "basket_add", "a", NOON, quantity="2"))
    apply(facts, till.sale("c", "b", NOON + 10))
    apply(facts, till.activity("c", "basket_add", "d", NOON + 20, quantity="3"))
    apply(facts, till.activity("c", "basket_remove", "d", NOON + 30, quantity="1"))
    record = facts.customers.get("c")
    assert record is not None
    assert {facts.products.index.ids[p]: q for p, q in record.state.basket.items()} == {"d": 2.0}


def test_stock_is_the_count_less_what_was_sold_since(facts: Facts) -> None:
    till = Till()
    apply(facts, till.sale("c", "a", NOON - 10, quantity="4"))
    apply(facts, till.stock("a", 5, NOON))
    apply(facts, till.sale("c", "a", NOON + 10, quantity="3"))
    apply(facts, till.sale("c", "a", NOON + 20, quantity="-1", line_type="return"))
    place = facts.products.index.find("a")
    assert place is not None
    assert facts.products.at(place).on_hand == 5 - 3 + 1
    apply(facts, till.sale("c", "a", NOON + 30, quantity="3"))
    assert not facts.products.offerable(place)
    apply(facts, till.stock("a", 8, NOON + 25))  # counted before the last sale
    assert facts.products.at(place).on_hand == 8 - 3


def test_the_last_fifty_lines_are_kept(facts: Facts) -> None:
    till = Till()
    for number in range(300):
        apply(facts, till.sale("c", f"p{number % 9}", NOON + (number * 7919) % 300))
    record = facts.customers.get("c")
    assert record is not None
    assert [line.time for line in record.history] == [NOON + 299 - n for n in range(50)]


def test_facts_out_of_service_need_no_collector(shop: WorkerContext) -> None:
    """The server freezes what it holds, so circles in it would stay for ever."""
    bus = shop.bus()
    bus.open()
    append(bus, busy_month(1, days=4))
    carry(shop, bus)
    base = snapshot(shop)
    gc.collect()
    gc.disable()
    try:
        facts = facts_of(base, bus)
        told(facts)
        gone = weakref.ref(facts), weakref.ref(facts.customers), weakref.ref(facts.products)
        del facts
        assert [ref() for ref in gone] == [None, None, None]
    finally:
        gc.enable()
        bus.close()
