"""Prices and proposals."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query

from retaild.rest.access import needs
from retaild.rest.parameters import Limit, Name, Offset, ProductId, Search
from retaild.rest.schemas import (
    Approved,
    Curve,
    Decision,
    Price,
    PriceHistory,
    Proposal,
    Proposals,
    Rejected,
    WhatIf,
)
from retaild.runtime.serving.services import Services

_Sort = Annotated[
    str,
    Query(
        pattern=r"^-?(margin|change|elasticity|name|price|created)$",
        description="margin, change, elasticity, name, price or created; a minus turns it round.",
    ),
]
_Asked = Annotated[float, Query(gt=0, le=1e9, allow_inf_nan=False)]
_Decision = Annotated[Decision, Body(default_factory=Decision)]


def router(services: Services) -> APIRouter:
    routes, prices, decider = (
        APIRouter(dependencies=[needs("recommend")], tags=["prices"]),
        services.prices,
        services.decider,
    )

    @routes.get("/prices/{product_id:path}/history", response_model=PriceHistory)
    async def history(product_id: ProductId) -> dict[str, Any]:
        """The price ledger, and the lowest price of the last 30 days."""
        return prices.history(product_id)

    @routes.get(
        "/prices/{product_id:path}/what-if", dependencies=[needs("view")], response_model=WhatIf
    )
    async def what_if(product_id: ProductId, price: _Asked) -> dict[str, Any]:
        """What a price would do, and the rules it would break."""
        return prices.what_if(product_id, price)

    @routes.get(
        "/prices/{product_id:path}/curve", dependencies=[needs("view")], response_model=Curve
    )
    async def curve(product_id: ProductId) -> dict[str, Any]:
        """The demand curve around the present price."""
        return prices.curve(product_id)

    @routes.get("/prices/{product_id:path}", response_model=Price)
    async def price(product_id: ProductId) -> dict[str, Any]:
        """The price in force."""
        return prices.price(product_id)

    @routes.get("/price-proposals", dependencies=[needs("view")], response_model=Proposals)
    async def proposals(
        state: Literal["open", "approved", "rejected", "expired", "all"] = "open",
        q: Search = "",
        sort: _Sort = "-margin",
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        """Proposals of the price model, and what became of them."""
        return await prices.proposals(state, q, sort, limit, offset)

    @routes.get(
        "/price-proposals/{proposal_id}", dependencies=[needs("view")], response_model=Proposal
    )
    async def proposal(proposal_id: Name) -> dict[str, Any]:
        """One proposal with its reasons."""
        return await prices.proposal(proposal_id)

    @routes.post(
        "/price-proposals/{proposal_id}/approve",
        dependencies=[needs("decide", audit="price.approve")],
        response_model=Approved,
    )
    async def approve(proposal_id: Name, decision: _Decision) -> dict[str, Any]:
        """Put the proposed price in force; it is in the ledger when this answers."""
        return await decider.approve(proposal_id, decision.by, decision.comment)

    @routes.post(
        "/price-proposals/{proposal_id}/reject",
        dependencies=[needs("decide", audit="price.reject")],
        response_model=Rejected,
    )
    async def reject(proposal_id: Name, decision: _Decision) -> dict[str, Any]:
        """Leave the price as it is."""
        return await decider.reject(proposal_id, decision.by, decision.comment)

    return routes
