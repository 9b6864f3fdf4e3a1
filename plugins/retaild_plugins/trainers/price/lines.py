"""Sale lines from the lake, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retaild.api.errors import MissingDataError
from retaild.api.lake import Lake

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = date(1970, 1, 1)


class NoSalesError(MissingDataError):
    key = "price.no_sales"

    def __init__(self) -> None:
        super().__init__(
            "There are no sales to learn prices from yet.",
            hint="Import till data with `retaildctl import FILE`, then train again.",
        )


@dataclass(frozen=True, slots=True)
class SaleLines:
    """Lines of goods sold: product and receipt codes, day (0 is `first_day`, a Monday), unit price
    paid after discount, units. All arrays have one entry per line.
    """

    product: NDArray[np.int64]
    receipt: NDArray[np.int64]
    day: NDArray[np.int64]
    price: NDArray[np.float64]
    units: NDArray[np.float64]
    product_ids: list[str]
    first_day: date
    #: Number of days, a whole number of weeks.
    days: int

    def only(self, keep: NDArray[np.bool_]) -> SaleLines:
        """The lines where `keep`; codes and days stay as they are."""
        return SaleLines(
            self.product[keep],
            self.receipt[keep],
            self.day[keep],
            self.price[keep],
            self.units[keep],
            self.product_ids,
            self.first_day,
            self.days,
        )


def read_lines(lake: Lake, as_of: datetime | None, weeks: int, version: int) -> SaleLines:
    """Lines of type `sale` before `as_of` (UTC), at most the last `weeks` weeks.

    A day is a calendar day in UTC. Raises NoSalesError.
    """
    import pyarrow.compute as pc

    dataset = lake.dataset("silver.sale", version)
    wanted = pc.field("line_type") == "sale"
    if as_of is not None:
        wanted &= pc.field("event_time") < as_of.astimezone(UTC)
    columns = ["product_id", "receipt_id", "event_time", "unit_price", "quantity", "discount"]
    lines = lines_from_table(dataset.to_table(columns=columns, filter=wanted), weeks)
    if not len(lines.day):
        raise NoSalesError
    return lines


def lines_from_table(table: pa.Table, weeks: int) -> SaleLines:
    """The lines of a table with the columns of silver.sale; see `read_lines`."""
    if table.num_rows == 0:
        raise NoSalesError
    product, product_ids = _codes(table["product_id"])
    receipt, _ = _codes(table["receipt_id"])
    day = _numbers(table["event_time"].cast("date32").cast("int32")).astype(np.int64)
    units = _numbers(table["quantity"].cast("float64"))
    gross = _numbers(table["unit_price"].cast("float64"))
    # Four decimals, as money in events; a price after discount may have more.
    discount = _numbers(table["discount"].cast("float64"))
    price = np.round(gross - discount / np.where(units > 0, units, np.inf), 4)
    last = _monday(int(day.max())) + 7
    first = max(_monday(int(day.min())), last - 7 * weeks)
    lines = SaleLines(
        product,
        receipt,
        day - first,
        price,
        units,
        product_ids,
        _EPOCH + timedelta(days=first),
        last - first,
    )
    return lines.only((lines.day >= 0) & (price > 0) & (units > 0))


def _monday(day: int) -> int:
    """The Monday on or before a day counted from 1970-01-01, a Thursday."""
    return day - (day + 3) % 7


def _codes(column: Any) -> tuple[NDArray[np.int64], list[str]]:
    """Codes into the sorted values: the same data give the same model, however files lie."""
    encoded = column.combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    return rank[_numbers(encoded.indices)], [values[place] for place in order]


def _numbers(column: Any) -> NDArray[Any]:
    return np.asarray(column.to_numpy(zero_copy_only=False) if hasattr(column, "type") else column)
