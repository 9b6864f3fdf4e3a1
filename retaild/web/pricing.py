"""Dynamic pricing: the list of proposals, and a page per product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from retaild.web.charts.demand import Marked, demand_chart, margin_chart
from retaild.web.charts.history import history_chart
from retaild.web.formatting import as_decimal
from retaild.web.forms import Form, local_path, read_form
from retaild.web.paging import Paging, page_number
from retaild.web.render import Renderer, see_other
from retaild.web.views import Decision, PageData, PriceDetail, PricePoint, WhatIf

PER_PAGE = 15
STATES = ("open", "approved", "rejected", "expired")
#: Sort key -> its label; a leading minus (largest first) is the key's own reverse.
SORTS = {
    "-margin": "Margin gain",
    "-change": "Largest rise",
    "change": "Largest cut",
    "elasticity": "Most elastic",
    "-elasticity": "Least elastic",
    "name": "Name",
    "price": "Current price",
    "-price": "Current price, high first",
}
DEFAULT_SORT = "-margin"


def routes(data: PageData, renderer: Renderer) -> list[Route]:
    page = PricingPage(data, renderer)
    one = "/pricing/{product_id:path}"
    return [
        Route("/pricing", renderer.guarded(page.table)),
        Route(
            "/pricing",
            renderer.guarded(page.decide, needs="decide", audit="price.decide"),
            methods=["POST"],
        ),
        Route(one, renderer.guarded(page.product)),
    ]


class PricingPage:
    def __init__(self, data: PageData, renderer: Renderer) -> None:
        self._data = data
        self._renderer = renderer

    async def table(self, request: Request) -> Response:
        asked = request.query_params
        state = asked["state"] if asked.get("state") in STATES else "open"
        sort = asked["sort"] if asked.get("sort") in SORTS else DEFAULT_SORT
        q = asked.get("q", "").strip()
        number = page_number(asked.get("page"))
        found = await self._data.proposals(
            state=state, query=q, sort=sort, limit=PER_PAGE, offset=(number - 1) * PER_PAGE
        )
        kept = {"state": state if state != "open" else "", "q": q,
                "sort": sort if sort != DEFAULT_SORT else ""}  # fmt: skip
        return await self._renderer.page(
            request,
            "pricing/table.html",
            section="pricing",
            summary=await self._data.pricing_summary(),
            proposals=found["proposals"],
            paging=Paging("/pricing", kept, number, PER_PAGE, found["total"]),
            state=state,
            states=STATES,
            sort=sort,
            sorts=SORTS,
            q=q,
            kept=kept,
        )

    async def product(self, request: Request) -> Response:
        product_id = request.path_params["product_id"]
        detail = await self._data.price_detail(product_id)
        chosen = _asked_price(request.query_params.get("price"))
        what_if = await self._data.what_if(product_id, chosen) if chosen else None
        context = self._context(detail, what_if)
        if request.query_params.get("part") == "what-if":
            return self._renderer.fragment("pricing/_what_if.html", **context)
        return await self._renderer.page(request, "pricing/product.html", **context)

    def _context(self, detail: PriceDetail, what_if: WhatIf | None) -> dict[str, Any]:
        formats, curve = self._renderer.formats, detail["curve"]
        cost = as_decimal(detail["product"].get("unit_cost"))
        marked = _marked(detail, what_if)
        prices = [float(point["price"] or 0) for point in curve]
        return {
            "section": "pricing",
            "detail": detail,
            "product": detail["product"],
            "demand": detail["demand"],
            "proposal": detail["proposal"],
            "what_if": what_if,
            "demand_chart": demand_chart(curve, marked, float(cost) if cost else None, formats),
            "margin_chart": margin_chart(curve, marked, float(cost) if cost else None, formats),
            "history_chart": history_chart(detail["history"], formats),
            "lowest_price": min(prices, default=0.01),
            "highest_price": max(prices, default=0.01),
        }

    async def decide(self, request: Request) -> Response:
        """`one` is `approve:<id>` of a row's button; else `bulk` acts on the ticked ids."""
        form = await read_form(request)
        verb, ids = _decision(form)
        decision: Decision = "approved" if verb == "approve" else "rejected"
        done = [await self._data.decide(i, decision, form.one("comment")) for i in ids]
        count = sum(done)
        key = decision if count else "gone" if ids else "nothing"
        target = local_path(form.one("next"), "/pricing").partition("#")[0]
        base, _, asked = target.partition("?")
        kept = [pair for pair in asked.split("&") if pair and not pair.startswith(("done=", "n="))]
        return see_other(f"{base}?{'&'.join([*kept, f'done={key}', f'n={count}'])}")


def _decision(form: Form) -> tuple[str, Sequence[str]]:
    verb, _, proposal_id = form.one("one").partition(":")
    return (verb, [proposal_id]) if proposal_id else (form.one("bulk"), form.all("id"))


def _asked_price(text: str | None) -> float | None:
    """A price a person typed, decimal comma allowed; None for anything else."""
    value = as_decimal((text or "").replace(",", ".").strip())
    return float(value) if value is not None and 0 < value < 1_000_000 else None


def _marked(detail: PriceDetail, what_if: WhatIf | None) -> Marked:
    proposal = detail["proposal"]
    marked: dict[str, tuple[str, PricePoint]] = {}
    if proposal:
        marked["current"] = ("now", proposal["current"])
        if as_decimal(proposal["proposed"]["price"]) != as_decimal(proposal["current"]["price"]):
            marked["proposed"] = ("proposed", proposal["proposed"])
    elif what_if:
        marked["current"] = ("now", what_if["current"])
    elif nearest := _nearest(detail):
        marked["current"] = ("now", nearest)
    if what_if:
        marked["chosen"] = ("yours", what_if["chosen"])
    return marked


def _nearest(detail: PriceDetail) -> PricePoint | None:
    """The curve's point next to the current price."""
    price = as_decimal(detail["product"].get("price"))
    if price is None or not detail["curve"]:
        return None
    return min(detail["curve"], key=lambda p: abs(float(p["price"] or 0) - float(price)))
