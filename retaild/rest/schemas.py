"""The JSON of the shop's routes. Times are ISO 8601 in UTC; money is a number with its currency."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CustomerHit(Schema):
    customer_id: str
    country: str | None
    receipts: int = Field(description="Receipts with at least one sold line.")
    last_time: str | None = Field(description="Of the last sale.")


class Customers(Schema):
    customers: list[CustomerHit]


class Item(Schema):
    product_id: str
    name: str
    category: str | None
    quantity: float
    price: float | None
    currency: str
    image_url: str | None


class Favourite(Item):
    times_bought: int = Field(description="Receipts it stood on.")
    last_time: str | None


class HistoryLine(Schema):
    time: str | None
    receipt_id: str
    product_id: str
    name: str
    quantity: float = Field(description="Negative for what came back.")
    unit_price: float
    amount: float


class Customer(Schema):
    customer_id: str
    country: str | None
    segment: str | None
    receipts: int
    revenue: float = Field(description="Of sold lines, returns not taken off.")
    first_time: str | None
    last_time: str | None
    basket: list[Item] = Field(description="What was put in and not sold since.")
    history: list[HistoryLine] = Field(description="The last 50 lines, newest first.")
    favourites: list[Favourite]


class Recommendation(Schema):
    product_id: str
    name: str
    category: str | None
    price: float | None
    currency: str
    image_url: str | None
    score: float
    reason: str = Field(description="Why, in words for the customer.")
    source: str = Field(description="Which candidate source found it.")
    rank: int


_EXAMPLE: dict[str, Any] = {
    "customer_id": "17850",
    "model_version": 3,
    "generated_at": "2011-12-09T12:50:00Z",
    "recommendations": [
        {
            "product_id": "85123A", "name": "WHITE HANGING HEART T-LIGHT HOLDER",
            "category": "HOLDER", "price": 2.95, "currency": "GBP", "image_url": None,
            "score": 1.93, "reason": "bought every 3 weeks", "source": "repeat", "rank": 1,
        }
    ],
}  # fmt: skip


class Slate(Schema):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    customer_id: str | None
    model_version: int | None = Field(description="null: no model yet, popularity answers.")
    generated_at: str = Field(description="When it was ranked.")
    recommendations: list[Recommendation]


class Similar(Schema):
    product_id: str
    model_version: int | None
    recommendations: list[Recommendation]


class BasketItem(Schema):
    product_id: str = Field(min_length=1, max_length=200)
    quantity: float = Field(default=1, gt=0, le=1_000_000)


class BasketRequest(Schema):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"items": [{"product_id": "85123A", "quantity": 2}]}]},
    )

    items: list[BasketItem] = Field(max_length=500)
    customer_id: str | None = Field(default=None, min_length=1, max_length=200)
    count: int | None = Field(default=None, ge=1, le=100)


class Product(Schema):
    product_id: str
    name: str
    category: str | None
    brand: str | None
    gtin: str | None
    price: float | None
    currency: str
    image_url: str | None
    unit_cost: float | None
    cost_source: str | None = Field(description="Where the cost comes from; 'assumption': nobody.")
    on_hand: float | None = Field(description="Last count less what the tills moved since.")
    stock_source: str | None
    units_28d: float
    excluded: bool
    offerable: bool = Field(description="In stock (or not counted) and not excluded.")


class Products(Schema):
    products: list[Product]
    total: int


class Category(Schema):
    category: str
    products: int


class Categories(Schema):
    categories: list[Category]


class Rejection(Schema):
    index: int = Field(description="Place in the request, from 0.")
    event_id: str | None
    key: str
    reason: str


class EventsReceipt(Schema):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"accepted": 1, "duplicates": 0, "rejected": [], "offset": 12}]
        },
    )

    accepted: int = Field(description="Durable now, and known to the next answer.")
    duplicates: int = Field(description="Known by their event_id; not taken in again.")
    rejected: list[Rejection] = Field(description="Kept as dead letters.")
    offset: int = Field(description="End of the log with these events.")


class Price(Schema):
    product_id: str
    name: str
    price: float | None
    currency: str
    valid_from: str | None
    valid_to: str | None
    kind: str = Field(description="announced by the shop, or observed at the till")
    price_type: str | None
    lowest_30_days: float | None = Field(description="Lowest of the 30 days up to now.")
    unit_cost: float | None
    cost_source: str | None
    offerable: bool


class LedgerEntry(Schema):
    valid_from: str | None
    valid_to: str | None
    price: float | None
    kind: str
    price_type: str | None
    reason: str | None
    proposal_id: str | None
    approved_by: str | None


class PriceHistory(Schema):
    product_id: str
    ledger: list[LedgerEntry] = Field(description="Oldest first; it only grows.")
    lowest_30_days: float | None


class PricePoint(Schema):
    """An expected week at one price; the band holds 90 % of what may come."""

    price: float
    units: float
    units_low: float
    units_high: float
    revenue: float
    margin: float | None


class Binding(Schema):
    rule: str
    sentence: str
    cost_per_week: float


class Demand(Schema):
    elasticity: float
    standard_error: float
    low: float
    high: float
    base_units: float
    base_price: float
    category: str
    category_elasticity: float
    weeks: int
    prices: int


class Curve(Schema):
    product_id: str
    model_version: int | None
    currency: str
    demand: Demand
    curve: list[PricePoint]


class WhatIf(Schema):
    product_id: str
    model_version: int | None
    currency: str
    current: PricePoint
    chosen: PricePoint
    broken: list[Binding] = Field(description="Rules that this price would break.")


class Proposal(BaseModel):
    """The payload may grow with the price model."""

    model_config = ConfigDict(extra="allow")

    id: str
    product_id: str
    state: str
    created: str | None
    current_price: float
    proposed_price: float
    name: str
    category: str | None
    current: PricePoint
    proposed: PricePoint
    demand: Demand
    reason: str
    binding: list[Binding]
    decided_at: str | None
    decided_by: str | None
    comment: str | None


class Proposals(Schema):
    proposals: list[Proposal]
    total: int


class Decision(Schema):
    by: str = Field(default="api", min_length=1, max_length=200, description="Who decides.")
    comment: str = Field(default="", max_length=2000)


class Approved(Schema):
    id: str
    state: str
    decided_by: str | None
    product_id: str
    price: float
    previous_price: float
    currency: str
    valid_from: str | None
    lowest_30_days: float | None = Field(description="To be stated with a reduction.")
    reduction: bool


class Rejected(Schema):
    id: str
    state: str
    decided_by: str


Anything = dict[str, Any]
