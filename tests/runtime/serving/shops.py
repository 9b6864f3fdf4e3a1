"""A small shop for the serving tests: settings, a real log, events as a till sends them."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retaild.api.bus import Bus, Entry
from retaild.config.paths import DataDir
from retaild.config.settings import load_settings
from retaild.events import family
from retaild.events.codec import encode_events
from retaild.host.registry import PluginRegistry
from retaild.runtime.context import WorkerContext
from retaild.runtime.state import State

#: 2026-03-02 12:00 UTC.
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()


def context(root: Path, port: int = 1, more: str = "") -> WorkerContext:
    """A worker's surroundings below `root`; `more` is further configuration."""
    config = root / "retaild.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f"[api]\nport = {port}\n{more}")
    settings = load_settings(config, root / "data", {})
    data = DataDir(settings.retaild.data_dir)
    data.create()
    plugins = PluginRegistry.load()
    return WorkerContext("serve", settings, data, plugins, State(data.state_db), threading.Event())


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


class Till:
    """Makes events; every id is used once."""

    def __init__(self) -> None:
        self._number = 0

    def event(self, family_name: str, /, time: float = NOON, **fields: Any) -> dict[str, Any]:
        self._number += 1
        common = {"event_id": f"e{self._number}", "event_time": moment(time), "source": "till"}
        return {"family": family_name, **common, **fields}

    def sale(
        self, customer: str | None, product: str, time: float = NOON, **fields: Any
    ) -> dict[str, Any]:
        line = {
            "receipt_id": f"r{self._number}", "product_id": product, "description": f"P {product}",
            "quantity": "1", "unit_price": "2.50", "currency": "GBP", "customer_id": customer,
        }  # fmt: skip
        return self.event("sale", time, **{**line, **fields})

    def activity(
        self, customer: str, action: str, product: str, time: float = NOON, **fields: Any
    ) -> dict[str, Any]:
        return self.event(
            "activity", time, customer_id=customer, action=action, product_id=product, **fields
        )

    def stock(
        self, product: str, on_hand: int, time: float = NOON, **fields: Any
    ) -> dict[str, Any]:
        return self.event("stock", time, product_id=product, on_hand=str(on_hand), **fields)

    def price(self, product: str, price: str, begins: float, **fields: Any) -> dict[str, Any]:
        return self.event(
            "price", begins, product_id=product, price=price, currency="GBP",
            valid_from=moment(begins), **fields,
        )  # fmt: skip


def append(bus: Bus, events: Iterable[dict[str, Any]], size: int = 7) -> None:
    """Append events in entries of `size` at most, a family each, in their order."""
    waiting: list[dict[str, Any]] = []
    for event in events:
        if waiting and (waiting[0]["family"] != event["family"] or len(waiting) == size):
            bus.append([entry(waiting)])
            waiting = []
        waiting.append(event)
    if waiting:
        bus.append([entry(waiting)])


def entry(events: Sequence[dict[str, Any]]) -> Entry:
    """One entry of events of one family."""
    name = events[0]["family"]
    models = [
        family(name).model_validate({k: v for k, v in event.items() if k != "family"})
        for event in events
    ]
    return Entry(name, "json", len(models), encode_events(models))


def busy_month(seed: int, days: int = 20) -> list[dict[str, Any]]:
    """What happens in a shop: sales in any order of their times, returns, baskets, counts, prices.

    Some events come twice. A product has one price at the till, a name, and one category.
    """
    chance, till, events = random.Random(seed), Till(), []
    products = [f"p{number}" for number in range(12)]
    customers = [f"c{number}" for number in range(8)]
    for day in range(days):
        clock = NOON + day * 86_400
        for _ in range(12):
            customer = chance.choice([*customers, None])
            product = chance.choice(products)
            # Tills report late: up to two days.
            time = clock - chance.choice([0, 0, 0, 3600, 90_000, 172_800])
            receipt = f"{customer}-{chance.randrange(6)}-{day // 3}"
            kind = chance.choice(["sale"] * 8 + ["return", "service"])
            quantity = chance.randrange(1, 9) * (-1 if kind == "return" else 1)
            number = int(product[1:])
            events.append(
                till.sale(
                    customer, product, time, receipt_id=receipt, line_type=kind,
                    quantity=str(quantity), unit_price=f"{number}.25", store=f"s{number % 2}",
                    country=chance.choice(["France", "Spain", None]),
                    amount=chance.choice([None, f"{quantity * number}.5000"]),
                )
            )  # fmt: skip
        who = chance.choice(customers)
        for _ in range(4):
            action = chance.choice(["view", "click", "basket_add", "basket_add", "basket_remove"])
            quantity_of = chance.choice([None, "1", "2"])
            at = clock - chance.randrange(0, 7200)
            events.append(
                till.activity(who, action, chance.choice(products), at, quantity=quantity_of)
            )
        product = chance.choice(products)
        events.append(till.stock(product, chance.randrange(0, 30), clock, store=f"s{day % 2}"))
        price = f"{chance.randrange(1, 9)}.99"
        ends = moment(clock + 3 * 86_400) if day % 2 else None
        events.append(till.price(product, price, clock, valid_to=ends))
        events.append(
            till.event(
                "product", clock - chance.randrange(0, 200_000), product_id=product,
                name=chance.choice([f"N {product}", None]), excluded=chance.choice([True, False]),
                unit_cost=chance.choice([None, "1.10", "0.90"]), category="THINGS",
            )
        )  # fmt: skip
        events.append(
            till.event(
                "customer", clock - chance.randrange(0, 200_000), customer_id=who,
                country=chance.choice([None, "Norway"]), consent=chance.choice([True, None]),
                segment=chance.choice(["gold", "silver", None]),
            )
        )  # fmt: skip
        events += [json.loads(json.dumps(event)) for event in chance.sample(events, 3)]
    return events


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    """Until `condition()` is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
