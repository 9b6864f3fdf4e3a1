"""A PageData over the real year of Online Retail, small enough to sit in memory.

The figures are worked out from the till lines (co-purchases, log-log demand slopes by duckdb); only
costs, jobs and workers, which no till knows, are written here. Pages are designed and tested
against it; the real engine has its own tests.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb

from retaild.web.views import (
    BasketAction,
    Customer,
    CustomerHit,
    Decision,
    Demand,
    Item,
    Line,
    NotFoundError,
    PriceDetail,
    PriceHistory,
    PricePoint,
    PricingSummary,
    Product,
    Proposal,
    ProposalPage,
    Recommendation,
    Shop,
    Slate,
    Suggestion,
    WhatIf,
)

SALES = Path(__file__).parents[2] / "retaild/demo/data/online_retail.parquet"

_SALE = """
CREATE TABLE sale AS
SELECT InvoiceNo AS receipt, StockCode AS product, trim(Description) AS name, Quantity AS quantity,
       timezone('UTC', timezone('Europe/London', InvoiceDate)) AS moment, UnitPrice AS price,
       CAST(CAST(CustomerID AS BIGINT) AS VARCHAR) AS customer, Country AS country
FROM read_parquet(?) WHERE Quantity > 0 AND UnitPrice > 0 AND regexp_full_match(
    StockCode, '\\d{5}[A-Za-z]*')
"""
_PRODUCT = """
SELECT product, mode(name), last(price ORDER BY moment), count(DISTINCT receipt) AS receipts,
       sum(quantity) FILTER (moment > TIMESTAMP '2011-11-11')
FROM sale WHERE name IS NOT NULL GROUP BY product HAVING receipts >= 20
"""
_SLOPE = """
WITH week AS (SELECT product, date_trunc('week', moment) AS week, sum(quantity) AS units,
                     sum(quantity * price) / sum(quantity) AS price FROM sale GROUP BY ALL)
SELECT product, regr_slope(ln(units), ln(price)), count(*), count(DISTINCT round(price, 2)),
       avg(units), stddev(ln(price)), stddev(ln(units))
FROM week GROUP BY product HAVING count(*) >= 20 AND stddev(ln(price)) > 0.02
"""


@dataclass
class Goods:
    """What the sales say of products: names, prices, what is bought together."""

    names: dict[str, str]
    prices: dict[str, float]
    popular: list[str]
    units: dict[str, float]
    demand: dict[str, Demand]
    connection: duckdb.DuckDBPyConnection

    def pairs(self, product_id: str) -> list[tuple[str, int]]:
        return _pairs(self.connection, product_id)

    def category(self, product_id: str) -> str:
        return self.names[product_id].split()[-1]


@cache
def _pairs(connection: duckdb.DuckDBPyConnection, product_id: str) -> list[tuple[str, int]]:
    return connection.execute(
        "SELECT product, count(DISTINCT receipt) AS n FROM sale WHERE product != ? AND receipt IN "
        "(SELECT receipt FROM sale WHERE product = ?) GROUP BY 1 ORDER BY n DESC, 1 LIMIT 40",
        [product_id, product_id],
    ).fetchall()


@cache
def goods() -> Goods:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 2")
    connection.execute(_SALE, [str(SALES)])
    rows = connection.execute(_PRODUCT).fetchall()
    names = {row[0]: row[1] for row in rows}
    prices = {row[0]: round(row[2], 2) for row in rows}
    popular = [row[0] for row in sorted(rows, key=lambda row: (-row[3], row[0]))]
    units = {row[0]: float(row[4] or 0) for row in rows}
    demand = {}
    for product, slope, weeks, points, mean, price_sd, unit_sd in connection.execute(
        _SLOPE
    ).fetchall():
        if product not in names:
            continue
        error = unit_sd / price_sd / weeks**0.5
        shrunk = (slope / error**2 + -1.6 / 0.6**2) / (1 / error**2 + 1 / 0.6**2)
        error = (1 / (1 / error**2 + 1 / 0.6**2)) ** 0.5
        demand[product] = Demand(
            elasticity=shrunk,
            standard_error=error,
            low=shrunk - 1.645 * error,
            high=shrunk + 1.645 * error,
            base_units=mean,
            base_price=prices[product],
            category=names[product].split()[-1],
            category_elasticity=-1.6,
            weeks=weeks,
            prices=points,
        )
    return Goods(names, prices, popular, units, demand, connection)


class SalesPages:
    """The recommendation part: baskets live in memory."""

    def __init__(self) -> None:
        self.goods = goods()
        self.baskets: dict[str, list[str]] = {}
        self.model: int | None = 3

    async def suggested_customers(self) -> list[Suggestion]:
        picks = (
            ("frequent", "receipts DESC"),
            ("recent", "last_time DESC"),
            ("new", "receipts, last_time DESC"),
        )
        return [Suggestion(kind=kind, **self._hits("", order, 1)[0]) for kind, order in picks]

    async def find_customers(self, query: str, limit: int) -> list[CustomerHit]:
        return self._hits(query, "receipts DESC", limit)

    def _hits(self, query: str, order: str, limit: int) -> list[CustomerHit]:
        rows = self.goods.connection.execute(
            "SELECT customer, any_value(country), count(DISTINCT receipt) AS receipts, "
            "epoch(max(moment)) AS last_time FROM sale "
            "WHERE customer IS NOT NULL AND contains(customer, ?) "
            f"GROUP BY 1 ORDER BY {order}, 1 LIMIT ?",
            [query, limit],
        ).fetchall()
        return [
            CustomerHit(customer_id=r[0], country=r[1], receipts=r[2], last_time=r[3]) for r in rows
        ]

    async def customer(self, customer_id: str) -> Customer:
        rows = self.goods.connection.execute(
            "SELECT epoch(moment), receipt, product, name, quantity, price, quantity * price, "
            "country FROM sale WHERE customer = ? ORDER BY moment DESC, receipt, product",
            [customer_id],
        ).fetchall()
        if not rows:
            raise NotFoundError("customer", customer_id, hint="Search by a part of the number.")
        history = [
            Line(
                time=r[0],
                receipt_id=r[1],
                product_id=r[2],
                name=r[3],
                quantity=r[4],
                unit_price=r[5],
                amount=round(r[6], 2),
            )
            for r in rows
        ]
        basket = [self._item(p) for p in self.baskets.get(customer_id, [])]
        return Customer(
            customer_id=customer_id,
            country=rows[0][7],
            receipts=len({r[1] for r in rows}),
            revenue=sum(r[6] for r in rows),
            first_time=rows[-1][0],
            last_time=rows[0][0],
            basket=basket,
            history=history[:50],
            favourites=[],
        )

    def _item(self, product_id: str) -> Item:
        return Item(
            product_id=product_id,
            name=self.goods.names[product_id],
            image_url=None,
            category=self.goods.category(product_id),
            quantity=1,
            price=self.goods.prices[product_id],
        )

    async def recommendations(self, customer_id: str, count: int) -> Slate:
        bought = Counter(
            dict(
                self.goods.connection.execute(
                    "SELECT product, count(DISTINCT receipt) FROM sale WHERE customer = ? "
                    "GROUP BY 1 "
                    "ORDER BY 2 DESC, 1 LIMIT 12",
                    [customer_id],
                ).fetchall()
            )
        )
        basket = self.baskets.get(customer_id, [])
        scores = {p: (n * 1.0, f"Bought on {n} receipts") for p, n in bought.items()}
        return self._slate(scores, basket, customer_id, count)

    def _slate(
        self,
        scores: dict[str, tuple[float, str]],
        basket: Sequence[str],
        customer_id: str | None,
        count: int,
    ) -> Slate:
        for rank, product in enumerate(self.goods.popular[:30]):
            scores.setdefault(product, (0.5 - rank / 100, "Popular this season"))
        for product in basket:
            for other, n in self.goods.pairs(product)[:8]:
                name = self.goods.names[product].capitalize()
                scores[other] = (
                    scores.get(other, (0.0, ""))[0] + n / 20,
                    f"Often bought with {name}",
                )
        best = sorted(
            (
                (score, p, why)
                for p, (score, why) in scores.items()
                if p in self.goods.names and p not in basket
            ),
            key=lambda row: (-row[0], row[1]),
        )
        chosen = [
            Recommendation(
                **self._item(p),
                currency="GBP",
                score=score,
                reason=why,
                source="fixture",
                rank=rank,
            )
            for rank, (score, p, why) in enumerate(best[:count], 1)
        ]
        return Slate(
            customer_id=customer_id,
            model_version=self.model,
            generated_at=time.time(),
            recommendations=chosen if self.model else [],
        )

    async def basket_recommendations(
        self, product_ids: Sequence[str], customer_id: str | None, count: int
    ) -> Slate:
        return self._slate({}, product_ids, customer_id, count)

    async def similar(self, product_id: str, count: int) -> list[Recommendation]:
        pairs = [p for p, _ in self.goods.pairs(product_id) if p in self.goods.names]
        return [
            Recommendation(**self._item(p), reason="Bought together", rank=n)
            for n, p in enumerate(pairs[:count], 1)
        ]

    async def product(self, product_id: str) -> Product:
        if product_id not in self.goods.names:
            raise NotFoundError("product", product_id, hint="Search by a part of its name.")
        return Product(
            **{k: v for k, v in self._item(product_id).items() if k != "quantity"},
            currency="GBP",
            unit_cost=round(self.goods.prices[product_id] * 0.5, 2),
            cost_source="assumption",
            on_hand=240.0,
            stock_source="assumption",
            units_28d=self.goods.units[product_id],
        )

    async def search_products(self, query: str, limit: int) -> list[Product]:
        wanted = query.upper()
        found = [p for p in self.goods.popular if wanted in self.goods.names[p] or wanted in p]
        return [await self.product(p) for p in found[:limit]]

    async def change_basket(self, customer_id: str, product_id: str, action: BasketAction) -> None:
        basket = self.baskets.setdefault(customer_id, [])
        if action == "basket_add":
            await self.product(product_id)
            basket.append(product_id)
        elif product_id in basket:
            basket.remove(product_id)


def point(demand: Demand, price: float, cost: float) -> PricePoint:
    """Constant elasticity around the base price; the band from the elasticity's interval."""
    ratio = price / demand["base_price"]
    units, *ends = (
        demand["base_units"] * ratio**e
        for e in (demand["elasticity"], demand["low"], demand["high"])
    )
    return PricePoint(
        price=round(price, 2),
        units=units,
        units_low=min(ends),
        units_high=max(ends),
        revenue=units * price,
        margin=units * (price - cost),
    )


@dataclass
class PricePages(SalesPages):
    """The pricing part: proposals by a search over prices within 10 %, rounded to 5 pence."""

    empty: bool = False
    decided: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def _proposal(self, product_id: str) -> Proposal | None:
        demand = self.goods.demand.get(product_id)
        price = self.goods.prices[product_id]
        if demand is None or price < 0.5:
            return None
        cost = price * 0.5
        steps = [round(0.05 * n, 2) for n in range(round(price * 18), round(price * 22) + 1)]
        best = max(steps or [price], key=lambda p: point(demand, p, cost)["margin"] or 0)
        if abs(best - price) < 0.005:
            return None
        limit = (
            [
                {
                    "rule": "change_per_step",
                    "cost_per_week": 4.2,
                    "sentence": "A step may change the price by at most 10 %.",
                }
            ]
            if abs(best / price - 1) > 0.07
            else []
        )
        state, comment = self.decided.get(product_id, ("open", ""))
        way = "raise" if best > price else "cut"
        return Proposal(
            id=f"p-{product_id}",
            product_id=product_id,
            name=self.goods.names[product_id],
            category=self.goods.category(product_id),
            state=state,
            created=1323430000.0,
            current=point(demand, price, cost),
            proposed=point(demand, best, cost),
            demand=demand,
            reason=f"A {way} gains more margin than it loses in units at this elasticity.",
            binding=limit,
            cost_source="assumption",
            stock_source="assumption",
            decided_at=time.time() if state != "open" else None,
            decided_by="pages" if state != "open" else None,
            comment=comment,
        )

    def _all(self) -> list[Proposal]:
        if self.empty:
            return []
        return [p for i in self.goods.popular[:400] if (p := self._proposal(i)) is not None]

    async def pricing_summary(self) -> PricingSummary:
        rows = [p for p in self._all() if p["state"] == "open"]
        gain = sum(_gain(p) for p in rows)
        return PricingSummary(
            open=len(rows),
            margin_change=gain if rows else None,
            products=len(self.goods.names),
            assumed_cost_share=1.0,
            model_version=None if self.empty else 2,
        )

    async def proposals(
        self, *, state: str, query: str, sort: str, limit: int, offset: int
    ) -> ProposalPage:
        keys: dict[str, Any] = {
            "margin": _gain,
            "name": lambda p: p["name"],
            "price": lambda p: p["current"]["price"],
            "change": lambda p: p["proposed"]["price"] / p["current"]["price"],
            "elasticity": lambda p: p["demand"]["elasticity"],
        }
        rows = [
            p
            for p in self._all()
            if p["state"] == state and (query.upper() in p["name"] or query in p["product_id"])
        ]
        rows.sort(key=keys[sort.lstrip("-")], reverse=sort.startswith("-"))
        return ProposalPage(proposals=rows[offset : offset + limit], total=len(rows))

    async def price_detail(self, product_id: str) -> PriceDetail:
        product = await self.product(product_id)
        demand = None if self.empty else self.goods.demand.get(product_id)
        price, cost = self.goods.prices[product_id], self.goods.prices[product_id] * 0.5
        grid = [price * (0.6 + 0.02 * n) for n in range(46)]
        proposal = None if demand is None else self._proposal(product_id)
        return PriceDetail(
            product=product,
            demand=demand,
            proposal=proposal if proposal and proposal["state"] == "open" else None,
            curve=[point(demand, p, cost) for p in grid] if demand else [],
            history=self._history(product_id),
        )

    def _history(self, product_id: str) -> PriceHistory:
        rows = self.goods.connection.execute(
            "SELECT epoch(date_trunc('day', moment)), mode(price) FROM sale WHERE product = ? "
            "GROUP BY 1 "
            "ORDER BY 1",
            [product_id],
        ).fetchall()
        changes = [rows[0], *(b for a, b in pairwise(rows) if a[1] != b[1])]
        ledger = [
            {
                "valid_from": at,
                "valid_to": None,
                "price": p,
                "kind": "observed",
                "reason": None,
                "approved_by": None,
            }
            for at, p in changes
        ]
        recent = [p for at, p in rows if at > rows[-1][0] - 30 * 86400]
        return PriceHistory(ledger=ledger, lowest_30_days=min(recent))

    async def what_if(self, product_id: str, price: float) -> WhatIf | None:
        demand = self.goods.demand.get(product_id)
        if demand is None:
            return None
        now = self.goods.prices[product_id]
        floor = {
            "rule": "margin_floor",
            "cost_per_week": 0.0,
            "sentence": "At least 20 % of the price must stay as margin.",
        }
        broken = [floor] if price < now * 0.5 / 0.8 else []
        return WhatIf(
            current=point(demand, now, now * 0.5),
            chosen=point(demand, price, now * 0.5),
            broken=broken,
        )

    async def decide(self, proposal_id: str, decision: Decision, comment: str) -> bool:
        product_id = proposal_id.removeprefix("p-")
        if product_id in self.decided or product_id not in self.goods.names:
            return False
        self.decided[product_id] = (decision, comment)
        return True


def _gain(p: Proposal) -> float:
    return float((p["proposed"]["margin"] or 0) - (p["current"]["margin"] or 0))


SHOP = Shop(
    store="main",
    currency="GBP",
    timezone="Europe/London",
    version="0.1.0",
    assumptions=(
        "Online Retail holds no unit costs. The demo assumes half of the usual price.",
        "It holds no stock either. The demo assumes four weeks of sales on hand.",
    ),
)

__all__ = ["SALES", "SHOP", "PricePages", "goods"]
