"""The event contract: what a store produces, one module per family.

Every family is a frozen pydantic model; its Arrow schema (`arrow_schema`) and its JSON Schema
(`model.model_json_schema()`) derive from it, so there is one definition. Times are UTC; money is
decimal with an ISO 4217 currency. Importing this package costs pydantic only: Arrow comes late.
"""

from retaild.events.activity import Activity
from retaild.events.arrow import arrow_schema
from retaild.events.base import FAMILIES, Event, Money, Quantity, family
from retaild.events.customer import Customer
from retaild.events.dead_letter import DeadLetter
from retaild.events.external import External
from retaild.events.price import Price
from retaild.events.product import Product
from retaild.events.sale import LineType, Sale
from retaild.events.stock import Stock

__all__ = [
    "FAMILIES",
    "Activity",
    "Customer",
    "DeadLetter",
    "Event",
    "External",
    "LineType",
    "Money",
    "Price",
    "Product",
    "Quantity",
    "Sale",
    "Stock",
    "arrow_schema",
    "family",
]
