"""Recommendations as JSON bytes: written by hand, because it happens thousands of times a second.

A product's part is the same in every answer and is kept until the product changes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from retaild.api.recommender import Recommendation
from retaild.runtime.serving.products import Products


def iso(moment: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC; 0 and None are unknown."""
    if not moment:
        return None
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").replace(".000Z", "Z")


class Renderer:
    """JSON of slates. `currency` is the shop's, for products that state none."""

    def __init__(self, products: Products, currency: str) -> None:
        self._products = products
        self._currency = currency
        self._parts: dict[int, str] = {}

    def forget(self, products: set[int]) -> None:
        """These changed: their parts are written anew."""
        for product in products:
            self._parts.pop(product, None)

    def items(self, offers: Sequence[Recommendation]) -> str:
        """The JSON array of a slate."""
        pieces = []
        for rank, offer in enumerate(offers, 1):
            part = self._parts.get(offer.product) or self._part(offer.product)
            pieces.append(
                f'{part},"score":{offer.score:.6g},"reason":{json.dumps(offer.reason)},'
                f'"source":{json.dumps(offer.source)},"rank":{rank}}}'
            )
        return f"[{','.join(pieces)}]"

    def slate(
        self,
        customer_id: str | None,
        model_version: int | None,
        generated_at: float,
        offers: Sequence[Recommendation],
    ) -> bytes:
        """A whole answer."""
        version = "null" if model_version is None else str(model_version)
        return (
            f'{{"customer_id":{json.dumps(customer_id)},"model_version":{version},'
            f'"generated_at":"{iso(generated_at)}","recommendations":{self.items(offers)}}}'
        ).encode()

    def _part(self, product: int) -> str:
        row = self._products.at(product)
        price = self._products.catalogue.price[product]
        fields = {
            "product_id": self._products.index.ids[product],
            "name": row.name or self._products.index.ids[product],
            "category": row.category,
            "price": None if price != price else round(float(price), 4),
            "currency": row.currency or self._currency,
            "image_url": row.image_url,
        }
        part = json.dumps(fields, separators=(",", ":"))[:-1]
        self._parts[product] = part
        return part
