"""The recommendations page: a customer (or a visitor without a name), what to offer, the basket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from itertools import groupby
from time import perf_counter
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retaild.web.environment import query
from retaild.web.formatting import as_decimal
from retaild.web.forms import read_form
from retaild.web.render import Renderer, see_other
from retaild.web.views import (
    BasketAction,
    Customer,
    Item,
    Line,
    PageData,
    Product,
    Recommendation,
    Slate,
    Suggestion,
)

T = TypeVar("T")

COUNT = 10
GOES_WITH = 4
SIMILAR = 4
RECEIPTS = 6
HITS = 12
SUGGESTED = 2


@dataclass(frozen=True, slots=True)
class Card:
    """A recommendation and how it got there: `mark` is new, up, down or empty."""

    product: Recommendation
    rank: int
    mark: str = ""
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    receipt_id: str
    time: Any
    lines: list[Line]
    total: Any


def routes(data: PageData, renderer: Renderer) -> list[Route]:
    page = RecommendationsPage(data, renderer)
    named = "/recommendations/{customer_id:path}"
    return [
        Route("/recommendations", renderer.guarded(page.visitor)),
        Route(named, renderer.guarded(page.customer)),
        Route(named, renderer.guarded(page.change, needs="ingest"), methods=["POST"]),
    ]


class RecommendationsPage:
    def __init__(self, data: PageData, renderer: Renderer) -> None:
        self._data = data
        self._renderer = renderer

    async def visitor(self, request: Request) -> Response:
        """Nobody chosen: a visitor without a name, whose basket is in the address."""
        wanted = request.query_params.get("q", "").strip()
        hits = await self._data.find_customers(wanted, HITS) if wanted else []
        if any(hit["customer_id"] == wanted for hit in hits):
            return see_other(f"/recommendations/{quote(wanted, safe='')}")
        ids = request.query_params.getlist("item")
        basket = [_item(await self._data.product(product_id)) for product_id in ids]
        slate, took = await _timed(self._data.basket_recommendations(ids, None, COUNT))
        return await self._respond(
            request, customer=None, basket=basket, slate=slate, took=took, goes_with=[],
            q=wanted, hits=hits,
        )  # fmt: skip

    async def customer(self, request: Request) -> Response:
        customer_id = request.path_params["customer_id"]
        customer = await self._data.customer(customer_id)
        slate, took = await _timed(self._data.recommendations(customer_id, COUNT))
        return await self._respond(
            request, customer=customer, basket=customer["basket"], slate=slate, took=took,
            goes_with=await self._goes_with(customer), q="", hits=[],
        )  # fmt: skip

    async def _goes_with(self, customer: Customer) -> list[Recommendation]:
        ids = [item["product_id"] for item in customer["basket"]]
        if not ids:
            return []
        slate = await self._data.basket_recommendations(ids, customer["customer_id"], GOES_WITH)
        return slate["recommendations"]

    async def _respond(
        self, request: Request, *, customer: Customer | None, basket: Sequence[Item],
        slate: Slate, took: float, **more: Any,
    ) -> Response:  # fmt: skip
        context = {
            "section": "recommendations",
            "customer": customer,
            "base": _base(customer),
            "basket": basket,
            "basket_ids": [item["product_id"] for item in basket],
            "basket_total": _total(basket),
            "cards": _cards(slate["recommendations"], request.query_params.get("before")),
            "before": _join([r["product_id"] for r in slate["recommendations"]]),
            "model_version": slate["model_version"],
            "took": took,
            **more,
        }
        if request.query_params.get("part") == "slate":
            return self._renderer.fragment("recommendations/slate.html", **context)
        shown = request.query_params.get("product", "")
        return await self._renderer.page(
            request,
            "recommendations/page.html",
            suggestions=_few_of_each(await self._data.suggested_customers()),
            receipts=_receipts(customer["history"]) if customer else [],
            product=await self._data.product(shown) if shown else None,
            similar=await self._data.similar(shown, SIMILAR) if shown else [],
            find=(find := request.query_params.get("find", "").strip()),
            found=await self._data.search_products(find, HITS) if find else [],
            **context,
        )

    async def change(self, request: Request) -> Response:
        """A basket form without the script: send the event, show the page again with marks."""
        customer_id = request.path_params["customer_id"]
        form = await read_form(request)
        action: BasketAction = "basket_remove" if form.one("action") == "remove" else "basket_add"
        await self._data.change_basket(customer_id, form.one("product_id"), action)
        address = f"/recommendations/{quote(customer_id, safe='')}"
        return see_other(address + query({"before": form.one("before")}) + "#slate")


async def _timed(answer: Awaitable[T]) -> tuple[T, float]:
    begin = perf_counter()
    return await answer, perf_counter() - begin


def _few_of_each(suggestions: Sequence[Suggestion]) -> list[Suggestion]:
    """The first SUGGESTED of each kind."""
    seen: Counter[str] = Counter()
    kept = []
    for suggestion in suggestions:
        seen[suggestion["kind"]] += 1
        if seen[suggestion["kind"]] <= SUGGESTED:
            kept.append(suggestion)
    return kept


def _base(customer: Customer | None) -> str:
    return (
        f"/recommendations/{quote(customer['customer_id'], safe='')}"
        if customer
        else ("/recommendations")
    )


def _item(product: Product) -> Item:
    return Item(
        product_id=product["product_id"],
        name=product["name"],
        category=product.get("category"),
        quantity=1,
        price=product.get("price"),
        image_url=product.get("image_url"),
    )


def _total(basket: Sequence[Item]) -> Any:
    """Sum over the lines whose price is known."""
    pairs = [(as_decimal(i.get("price")), as_decimal(i.get("quantity"))) for i in basket]
    return sum(p * q for p, q in pairs if p is not None and q is not None)


def _cards(recommendations: Sequence[Recommendation], before: str | None) -> list[Card]:
    """With marks against the list that was shown before, if any."""
    if before is None:
        return [Card(product, rank) for rank, product in enumerate(recommendations, 1)]
    ranks = {unquote(part): rank for rank, part in enumerate(before.split(","), 1)}
    return [_card(product, rank, ranks) for rank, product in enumerate(recommendations, 1)]


def _card(product: Recommendation, rank: int, ranks: dict[str, int]) -> Card:
    old = ranks.get(product["product_id"])
    if old is None:
        return Card(product, rank, "new")
    mark = "" if old == rank else "up" if old > rank else "down"
    return Card(product, rank, mark, abs(old - rank))


def _join(product_ids: Sequence[str]) -> str:
    return ",".join(quote(product_id, safe="") for product_id in product_ids)


def _receipts(history: Sequence[Line]) -> list[Receipt]:
    """The last receipts, newest first; `history` is newest first already."""
    found = []
    for receipt_id, group in groupby(history, key=lambda line: line["receipt_id"]):
        lines = list(group)
        total = sum(amount for line in lines if (amount := as_decimal(line["amount"])) is not None)
        found.append(Receipt(receipt_id, lines[0]["time"], lines, total))
    return found[:RECEIPTS]
