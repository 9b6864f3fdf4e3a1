"""Products: search, one, similar ones."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from retaild.rest.access import needs
from retaild.rest.parameters import Count, Limit, Offset, ProductId, Search
from retaild.rest.schemas import Categories, Product, Products, Similar
from retaild.runtime.serving.services import Services


def router(services: Services) -> APIRouter:
    routes, shop = APIRouter(dependencies=[needs("recommend")], tags=["products"]), services.shop

    @routes.get("/products", response_model=Products, summary="Find products")
    async def products(
        q: Search = "",
        category: Annotated[str | None, Query(max_length=200)] = None,
        limit: Limit = 20,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        return await services.finder.find(q, category, limit, offset)

    @routes.get("/categories", response_model=Categories, summary="Categories by size")
    async def categories() -> dict[str, Any]:
        return shop.categories()

    @routes.get(
        "/products/{product_id:path}/similar", response_model=Similar, summary="Products like it"
    )
    async def similar(product_id: ProductId, count: Count = None) -> dict[str, Any]:
        return shop.similar(product_id, count)

    @routes.get("/products/{product_id:path}", response_model=Product, summary="A product")
    async def product(product_id: ProductId) -> dict[str, Any]:
        return shop.product(product_id)

    return routes
