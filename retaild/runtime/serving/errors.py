"""Errors of serving that a person may read."""

from __future__ import annotations

from retaild.api.errors import RetaildError


class UnknownCustomerError(RetaildError):
    key = "customer.unknown"

    def __init__(self, customer_id: str) -> None:
        super().__init__(
            f"There is no customer {customer_id!r}.",
            hint="Search with GET /api/v1/customers?q=; ids are as the till writes them.",
        )


class UnknownProductError(RetaildError):
    key = "product.unknown"

    def __init__(self, product_id: str) -> None:
        super().__init__(
            f"There is no product {product_id!r}.",
            hint="Search with GET /api/v1/products?q=; ids are as the till writes them.",
        )


class NoPriceModelError(RetaildError):
    key = "price.not_learned"

    def __init__(self, product_id: str) -> None:
        super().__init__(
            f"No demand is learned for product {product_id!r} yet.",
            hint="It needs some weeks of sales and a trained price model: "
            "`retaildctl job run train --argument trainer=price`.",
        )


class BusyError(RetaildError):
    """The queue to the log is full: the caller should wait and send again."""

    key = "events.queue_full"

    def __init__(self, waiting: int) -> None:
        super().__init__(
            f"{waiting} events are waiting for the disk already.",
            hint="Send the same events again after the time in Retry-After.",
        )


class BacklogError(RetaildError):
    """The lake is too far behind the log to take in more."""

    key = "events.backlog"

    def __init__(self, rows: int, limit: int) -> None:
        super().__init__(
            f"{rows} rows of the log are not in the lake yet; the limit is {limit}.",
            hint="Is the stream worker running? See GET /api/v1/workers; then send again.",
        )


class LogFailedError(RetaildError):
    """The log could not be written; nothing of the request is promised to be kept."""

    key = "events.log_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The log could not be written: {reason}.",
            hint="Check the disk; then send the same events again, they are kept once.",
        )


class BadEventsError(RetaildError):
    """The body as a whole cannot be read as events."""

    key = "events.unreadable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The body holds no events: {reason}.",
            hint='Send one event, an array, {"events": [...]}, or one event a line (NDJSON).',
        )


class TooManyEventsError(RetaildError):
    key = "events.too_many"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(
            f"{count} events in one request; the limit is {limit}.",
            hint="Send them in several requests, or import a file.",
        )
