"""Event ids from what happened, the same through every door.

The id of an event is the MD5 (RFC 1321, as 32 hexadecimal digits) of its canonical text: the
family's name and the fields of `IDENTITY`, joined by U+001F. Decimals are written with all their
places (`6.000`, `2.5500`), moments as microseconds since 1970 (UTC), truth values as `true` and
`false`, a missing value as nothing. MD5 serves as a well-known 128-bit fingerprint here, not as
protection: who can choose an event's fields can as well send the same event twice.

A receipt may hold the same line more than once, and each is real. The second such line of an input
carries the suffix `-2`, the third `-3`, and so on (`occurrence` 1, 2, ...): an input read again
yields the same ids, whatever the order its other lines come in.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from retaild.events.arrow import arrow_schema
from retaild.events.errors import UnknownFamilyError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

SEPARATOR = "\x1f"

#: The fields that make an event of a family the one it is. An optional field added to a family
#: later does not join them: it would change the ids of all that was read before.
IDENTITY: dict[str, tuple[str, ...]] = {
    "sale": (
        "store", "receipt_id", "product_id", "quantity", "unit_price", "event_time", "customer_id",
        "description",
    ),
    "activity": (
        "store", "action", "customer_id", "session_id", "product_id", "query", "quantity",
        "event_time",
    ),
    "stock": ("store", "product_id", "on_hand", "event_time"),
    "product": (
        "store", "product_id", "name", "category", "brand", "gtin", "unit_cost", "currency",
        "image_url", "excluded", "event_time",
    ),
    "price": (
        "store", "product_id", "price", "currency", "price_type", "valid_from", "valid_to",
        "reason", "proposal_id", "approved_by", "event_time",
    ),
    "customer": ("store", "customer_id", "segment", "country", "consent", "event_time"),
    "external": ("store", "topic", "subject", "value", "text", "event_time"),
    "dead_letter": ("source", "place", "raw"),
}  # fmt: skip

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_local = threading.local()


def identity(family: str) -> tuple[str, ...]:
    """The identifying fields of `family`; raises UnknownFamilyError."""
    try:
        return IDENTITY[family]
    except KeyError:
        raise UnknownFamilyError(family, sorted(IDENTITY)) from None


def event_id(family: str, values: Mapping[str, Any], occurrence: int = 0) -> str:
    """The id of one event, given as Python values in the model's types."""
    parts = [family.encode()]
    parts += [_canonical(family, name, values.get(name)) for name in identity(family)]
    digest = hashlib.md5(SEPARATOR.encode().join(parts), usedforsecurity=False).hexdigest()
    return f"{digest}-{occurrence + 1}" if occurrence else digest


def content_ids(family: str, table: pa.Table) -> pa.Array:
    """The ids (occurrence 0) of all rows of a table that has `arrow_schema(family)`'s types.

    Vectorised; the values equal those of `event_id`. The column `event_id` is not looked at.
    """
    import pyarrow as pa

    names = identity(family)
    parts = ", ".join(_sql(table.schema.field(name)) for name in names)
    query = f"md5(concat_ws(chr(31), '{family}', {parts})) AS id"
    found = _duckdb().from_arrow(table.select(names)).project(query).to_arrow_table()
    column = found.column(0).combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def with_occurrences(ids: pa.Array, occurrences: NDArray[np.int64]) -> pa.Array:
    """Put the suffix on the ids of repeated lines; `occurrences` counts from 0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    repeated = occurrences > 0
    if not repeated.any():
        return ids
    import numpy as np

    places = np.flatnonzero(repeated)
    numbers = pc.cast(pa.array(occurrences[places] + 1), ids.type)
    suffixed = pc.binary_join_element_wise(ids.take(pa.array(places)), numbers, "-")
    order = np.arange(len(ids))
    order[places] = len(ids) + np.arange(len(places))
    return pa.concat_arrays([ids, suffixed]).take(pa.array(order))


def _canonical(family: str, name: str, value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, Decimal):
        return f"{value:.{_places(family, name)}f}".encode()
    if isinstance(value, datetime):
        return str((value - _EPOCH) // timedelta(microseconds=1)).encode()
    return str(value.value if isinstance(value, Enum) else value).encode()


@cache
def _places(family: str, name: str) -> int:
    return int(arrow_schema(family).field(name).type.scale)


def _sql(field: pa.Field) -> str:
    """A field's canonical text; concat_ws would leave out a NULL together with its separator."""
    import pyarrow as pa

    name = f'"{field.name}"'
    if pa.types.is_timestamp(field.type):
        name = f"epoch_us({name})"
    return f"coalesce({name}::VARCHAR, '')" if field.nullable else name


def _duckdb() -> Any:
    """An in-memory DuckDB of this thread's own: its connections are not for sharing."""
    connection = getattr(_local, "duckdb", None)
    if connection is None:
        import duckdb

        connection = _local.duckdb = duckdb.connect(config={"threads": 1})
    return connection
