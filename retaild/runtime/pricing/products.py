"""What is known of each product when a price is sought: from the lake, as of the last gold run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retaild.api.lake import Lake
from retaild.api.pricing import PriceModel, PriceState
from retaild.runtime.pricing.ledger import Ledger, lowest_price_30_days

_DAY = 86_400.0
#: Topic of external events that hold competitors' prices; the subject is the product id.
COMPETITOR_TOPIC = "competitor_price"

_COLUMNS = [
    "product_id", "name", "category", "currency", "price", "unit_cost", "cost_source", "on_hand",
    "stock_source", "last_sale",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PricedProduct:
    """A product's facts. The sources say where cost and stock came from ('assumption', a till)."""

    product_id: str
    name: str
    category: str
    currency: str
    price: float
    unit_cost: float | None
    cost_source: str | None
    on_hand: float | None
    stock_source: str | None


def read_products(lake: Lake, product_ids: list[str] | None = None) -> dict[str, PricedProduct]:
    """Products that have a price, by id; all of them without `product_ids`."""
    import pyarrow.compute as pc

    wanted = pc.field("price").is_valid()
    if product_ids is not None:
        wanted &= pc.field("product_id").isin(product_ids)
    table = lake.dataset("gold.product").to_table(columns=_COLUMNS, filter=wanted)
    return {row["product_id"]: _product(row) for row in table.to_pylist()}


def read_competitor_prices(lake: Lake) -> dict[str, float]:
    """The newest competitor's price of each product, where a feed brings any."""
    import pyarrow.compute as pc

    if not lake.exists("silver.external"):
        return {}
    table = lake.dataset("silver.external").to_table(
        columns=["subject", "value", "event_time"],
        filter=(pc.field("topic") == COMPETITOR_TOPIC) & pc.field("value").is_valid(),
    )
    newest_last = table.sort_by("event_time").to_pylist()
    return {row["subject"]: float(row["value"]) for row in newest_last}


def price_state(
    product: PricedProduct,
    model: PriceModel,
    *,
    now: float,
    ledgers: Mapping[str, Ledger],
    prices: Mapping[str, float],
    competitors: Mapping[str, float],
) -> PriceState:
    """The facts as the model asks for them, at `now` (seconds since the epoch).

    `prices` are the present prices of all products, for the rules on related ones.
    """
    ledger = ledgers.get(product.product_id, Ledger())
    related = {other: (prices[other],) for other in model.related(product.product_id)
               if other in prices}  # fmt: skip
    return PriceState(
        product_id=product.product_id,
        price=product.price,
        unit_cost=product.unit_cost,
        on_hand=product.on_hand,
        period_price=_announced(ledger, now - model.period_days * _DAY, product.price),
        lowest_30_days=lowest_price_30_days(ledger, now),
        competitor_price=competitors.get(product.product_id),
        related=related,
    )


def _announced(ledger: Ledger, moment: float, otherwise: float) -> float:
    """The price at `moment` as the shop had set it.

    Tills see other prices beside the shelf price, so a single day's say is not taken for it: before
    the first announced price it is the one that tills saw longest from `moment` up to there.
    """
    if not ledger.announced:
        return otherwise
    found = ledger.in_force(moment)
    if found is not None:
        return found.price
    lasted: dict[float, float] = {}
    end = ledger.announced[0].valid_from
    for begin, price in reversed(ledger.observed):
        if begin < end:
            lasted[price] = lasted.get(price, 0.0) + end - max(begin, moment)
            end = begin
        if begin <= moment:
            break
    return max(lasted, key=lambda price: lasted[price]) if lasted else otherwise


def _product(row: Mapping[str, Any]) -> PricedProduct:
    return PricedProduct(
        product_id=row["product_id"],
        name=row["name"] or row["product_id"],
        category=row["category"] or "",
        currency=row["currency"] or "",
        price=float(row["price"]),
        unit_cost=None if row["unit_cost"] is None else float(row["unit_cost"]),
        cost_source=row["cost_source"],
        on_hand=None if row["on_hand"] is None else float(row["on_hand"]),
        stock_source=row["stock_source"],
    )
