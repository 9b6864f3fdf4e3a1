"""Customers and what to offer them.

Routes that touch the engine are coroutines: it belongs to the event loop's thread.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from retaild.rest.access import needs
from retaild.rest.parameters import Count, CustomerId, Limit, Search
from retaild.rest.schemas import BasketRequest, Customer, Customers, Slate
from retaild.runtime.serving.services import Services


def router(services: Services) -> APIRouter:
    routes, shop = (
        APIRouter(dependencies=[needs("recommend")], tags=["recommendations"]),
        services.shop,
    )
    default = services.engine.count

    @routes.get(
        "/customers",
        dependencies=[needs("view")],
        response_model=Customers,
        summary="Find customers",
    )
    async def customers(q: Search = "", limit: Limit = 20) -> dict[str, Any]:
        return shop.customers(q, limit)

    # Ids may hold slashes (%2F): the longer route comes first.
    @routes.get(
        "/customers/{customer_id:path}/recommendations",
        response_model=Slate,
        summary="What to offer a customer now",
        description="Unknown customers get what is popular. Nothing out of stock or excluded.",
    )
    async def recommendations(customer_id: CustomerId, count: Count = None) -> Response:
        body = shop.slate(customer_id, count or default)
        return Response(body, media_type="application/json")

    @routes.get(
        "/customers/{customer_id:path}",
        dependencies=[needs("view")],
        response_model=Customer,
        summary="A customer",
    )
    async def customer(customer_id: CustomerId) -> dict[str, Any]:
        return shop.customer(customer_id)

    @routes.post("/recommendations/basket", response_model=Slate, summary="What goes with a basket")
    async def basket(request: BasketRequest) -> dict[str, Any]:
        items = [item.model_dump() for item in request.items]
        return shop.basket_recommendations(items, request.customer_id, request.count)

    return routes
