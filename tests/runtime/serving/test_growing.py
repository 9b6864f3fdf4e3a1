"""Products that were never met before: they count at once, and a flood of them slows nobody."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from retaild.api.recommender import Catalogue
from retaild.config.settings import load_settings
from retaild.runtime.serving.engine import GROW_SECONDS, GROW_SHARE, Engine
from tests.runtime.serving.shops import NOON

#: What a model takes to learn of new products.
SLOW = 0.01


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    config = tmp_path / "retaild.toml"
    config.write_text("")
    return Engine(load_settings(config, tmp_path / "data", {}), lambda: NOON)


@pytest.fixture
def bound(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many products the slow model knew, each time it was told."""
    sizes: list[int] = []

    def bind(catalogue: Catalogue) -> None:
        time.sleep(SLOW)
        sizes.append(len(catalogue.price))

    monkeypatch.setattr(engine._popular, "bind", bind)
    return sizes


def act(engine: Engine, product: str, action: str = "basket_add") -> None:
    event = {
        "event_id": f"{action} of {product}", "event_time": NOON, "action": action,
        "customer_id": "c", "product_id": product,
    }  # fmt: skip
    engine.facts.apply("activity", event)
    engine.absorb(hurry=True)


def test_a_look_at_what_nobody_sells_costs_nothing(engine: Engine, bound: list[int]) -> None:
    act(engine, "made up", "view")
    assert bound == []
    act(engine, "real")
    assert bound == [2]


def test_a_new_product_counts_at_once(engine: Engine, bound: list[int]) -> None:
    act(engine, "first")
    assert bound == [1]


def test_a_flood_of_made_up_products_takes_a_share_of_the_time(
    engine: Engine, bound: list[int]
) -> None:
    began = time.monotonic()
    number = 0
    while time.monotonic() < began + 1.0:
        act(engine, f"junk {number}")
        number += 1
    most = 2 + (time.monotonic() - began) / (SLOW / GROW_SHARE)
    assert number > 100
    assert len(bound) <= most


def test_who_had_to_wait_counts_within_a_second(engine: Engine, bound: list[int]) -> None:
    act(engine, "first")
    act(engine, "second")
    assert bound == [1]
    time.sleep(1.2 * max(GROW_SECONDS, SLOW / GROW_SHARE))
    engine.follow_prices()
    assert bound == [1, 2]
