"""The job end to end: a shop's lake, a trained model in service, proposals in the state."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from retaild.api.lake import Lake
from retaild.config.paths import DataDir
from retaild.config.sections import PluginInstance
from retaild.config.settings import Settings
from retaild.events import arrow_schema
from retaild.host.registry import PluginRegistry
from retaild.runtime import registry
from retaild.runtime.context import JobContext
from retaild.runtime.jobs import propose_prices
from retaild.runtime.pricing.desk import PriceDesk
from retaild.runtime.pricing.errors import (
    NoPriceModelError,
    NoPriceTrainerError,
    UnpricedProductError,
)
from retaild.runtime.pricing.money import to_money
from retaild.runtime.registry import ModelVersion
from retaild.runtime.state import State
from retaild.testing.price_trainer import SimulatedShop, simulate_shop, training_context

ANYTHING: dict[str, Any] = {"min_gain": 0.01, "min_gain_share": 0.0, "risk_aversion": 0.0}


@pytest.fixture(scope="module")
def shop() -> SimulatedShop:
    return simulate_shop(products=60, weeks=40, seed=3)


@pytest.fixture(scope="module")
def plugins() -> PluginRegistry:
    return PluginRegistry.load()


@pytest.fixture(scope="module")
def trained(
    shop: SimulatedShop, plugins: PluginRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A data directory with the lake, and the model under `artifact`."""
    root = tmp_path_factory.mktemp("data")
    lake = Lake(root / "lake")
    lake.append("silver.sale", shop.sales)
    lake.overwrite("gold.product", products_table(shop))
    data, settings = DataDir(root), Settings()
    trainer = plugins.build("trainer", "price", settings.trainer["price"], settings, data)
    trainer.train(training_context(lake, root / "artifact"))
    return root


def products_table(shop: SimulatedShop) -> Any:
    """gold.product: the last price, a cost of half of it by assumption, plenty in stock."""
    import pyarrow as pa

    prices = [Decimal(f"{price:.2f}") for price in shop.price[:, -1]]
    count = len(prices)
    return pa.table(
        {
            "product_id": shop.product_ids,
            "name": [f"Mug {product}" for product in shop.product_ids],
            "category": shop.categories,
            "currency": ["GBP"] * count,
            "price": pa.array(prices, pa.decimal128(18, 4)),
            "unit_cost": pa.array([price / 2 for price in prices], pa.decimal128(18, 4)),
            "cost_source": ["assumption"] * count,
            "on_hand": [10_000.0] * count,
            "stock_source": ["assumption"] * count,
            "last_sale": [datetime(2024, 10, 1, tzinfo=UTC)] * count,
        }
    )


@pytest.fixture
def context(
    trained: Path, plugins: PluginRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> JobContext:
    """The trained data directory; state and log of its own for each test."""
    (tmp_path / "lake").symlink_to(trained / "lake")
    data = DataDir(tmp_path)
    version = ModelVersion("price", 4, trained / "artifact", "run", 0.0)
    monkeypatch.setattr(registry, "champion", lambda *_: version)
    return JobContext(
        "test", settings_with(ANYTHING), data, plugins, State(data.state_db), threading.Event()
    )


def settings_with(price: dict[str, Any]) -> Settings:
    return Settings(trainer={"price": PluginInstance(plugin="price", **price)})


def test_better_prices_are_opened_best_first(context: JobContext, shop: SimulatedShop) -> None:
    result = propose_prices.run(context)
    rows = context.state.proposals("open")
    assert result["proposals"] == len(rows) > 0
    assert result["model_version"] == 4
    assert (result["with_assumed_cost"], result["without_cost"]) == (len(rows), 0)
    assert result["rises"] + result["cuts"] == len(rows)
    gains = [r["payload"]["proposed"]["margin"] - r["payload"]["current"]["margin"] for r in rows]
    assert sum(gains) == pytest.approx(result["margin_change_per_week"], abs=0.01)
    assert min(gains) > 0
    for row in rows:
        assert row["product_id"] in shop.product_ids
        body = row["payload"]
        assert body["name"] == f"Mug {row['product_id']}"
        assert body["cost_source"] == "assumption"
        assert "a week" in body["reason"]
        # Money in whole pennies, the same in the row and in what pages show.
        assert Decimal(row["proposed_price"]) == to_money(row["proposed_price"], "GBP")
        assert float(row["proposed_price"]) == body["proposed"]["price"]


def test_a_second_run_replaces_the_first(context: JobContext) -> None:
    propose_prices.run(context)
    first = {row["id"] for row in context.state.proposals("open")}
    propose_prices.run(context)
    assert {row["id"] for row in context.state.proposals("expired")} == first
    assert first.isdisjoint(row["id"] for row in context.state.proposals("open"))


def test_only_so_many_as_people_can_look_through(context: JobContext) -> None:
    everything = propose_prices.run(context)
    few = replace(context, settings=settings_with({**ANYTHING, "max_proposals": 3}))
    result = propose_prices.run(few)
    assert result["proposals"] == 3
    assert result["left_out"] == everything["proposals"] - 3
    assert result["margin_change_per_week"] <= everything["margin_change_per_week"]


def test_an_approved_price_is_the_present_one_at_once(context: JobContext) -> None:
    """As soon as the price event is in silver, whether or not gold has been built since."""
    import pyarrow as pa

    propose_prices.run(context)
    proposal = context.state.proposals("open")[0]
    event: dict[str, Any] = {
        "event_id": f"price:{proposal['id']}", "source": "test", "store": "main",
        "event_time": datetime.now(UTC), "valid_from": datetime(2024, 10, 2, tzinfo=UTC),
        "product_id": proposal["product_id"], "price": Decimal(proposal["proposed_price"]),
        "currency": "GBP", "price_type": "regular",
    }  # fmt: skip
    own = context.data.root / "own"
    (own / "gold").mkdir(parents=True)
    (own / "gold/product").symlink_to((context.data.lake / "gold/product").resolve())
    lake = Lake(own)
    lake.append("silver.price", pa.Table.from_pylist([event], schema=arrow_schema("price")))
    (context.data.root / "lake").unlink()
    own.rename(context.data.root / "lake")
    desk = PriceDesk(context)
    assert desk.state(proposal["product_id"]).price == float(proposal["proposed_price"])


def test_what_if_names_broken_rules(context: JobContext, shop: SimulatedShop) -> None:
    desk = PriceDesk(context)
    product_id = next(p for p in shop.product_ids if desk.model.demand(p))
    price = desk.prices[product_id]
    found = desk.what_if(product_id, price / 2)
    assert found.chosen.units > found.current.units
    assert {"max_step", "margin_floor"} <= {rule.rule for rule in found.broken}
    assert len(desk.curve(product_id, [price, price * 1.1])) == 2


def test_products_that_nobody_knows(context: JobContext) -> None:
    with pytest.raises(UnpricedProductError, match="nonsense"):
        PriceDesk(context).what_if("nonsense", 1.0)


def test_without_a_champion_it_says_what_to_do(
    context: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "champion", lambda *_: None)
    with pytest.raises(NoPriceModelError, match="job run train"):
        propose_prices.run(context)


def test_without_a_price_trainer_it_says_so(context: JobContext) -> None:
    bare = Settings.model_validate({"trainer": {"price": {"plugin": "recommender"}}})
    settings = bare.model_copy(update={"trainer": {"other": bare.trainer["recommender"]}})
    with pytest.raises(NoPriceTrainerError):
        propose_prices.run(replace(context, settings=settings))
