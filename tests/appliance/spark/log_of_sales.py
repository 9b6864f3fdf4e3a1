"""A log with all that can happen: late, repeated and out-of-order events, returns, bad rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

from retaild.api import Entry
from retaild.events import Event, LineType, Sale
from retaild.testing.stream import HOUR, NINE, entry, sale


def entries(count: int, seed: int = 7) -> Iterator[Entry]:
    """`count` entries; about one event in ten was there before."""
    chance = random.Random(seed)
    sent: list[Sale] = []
    for number in range(count):
        if chance.random() < 0.05:
            yield Entry("sale", "json", 1, chance.choice([b"{", b"[1]", b'{"event_id": "x"}']))
            continue
        events: list[Event] = [_event(chance, sent, number) for _ in range(chance.randint(1, 40))]
        yield entry(*events, codec=chance.choice(["json", "arrow"]))


def _event(chance: random.Random, sent: list[Sale], number: int) -> Sale:
    if sent and chance.random() < 0.1:
        return chance.choice(sent)
    returned = chance.random() < 0.1
    quantity = chance.randint(1, 9_999) / 1000
    made = sale(
        f"{number}-{chance.getrandbits(40):x}",
        # Mostly in order, some days late.
        NINE
        + timedelta(minutes=3 * number)
        - HOUR * (chance.random() < 0.1) * chance.randint(1, 99),
        store=chance.choice(["main", "north"]),
        receipt_id=f"R{chance.randint(1, 50)}",
        quantity=f"{-quantity if returned else quantity:.3f}",
        unit_price=f"{chance.randint(0, 99_999) / 10_000:.4f}",
        discount=chance.choice(["0", "0.1", "0.0333"]),
        line_type=LineType.RETURN if returned else LineType.SALE,
    )
    sent.append(made)
    return made
