"""Sale lines of the lake as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

    from retaild.api import Lake

SALES = "silver.sale"
COLUMNS = [
    "event_time", "store", "receipt_id", "product_id", "description",
    "quantity", "unit_price", "customer_id", "country",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sales:
    """One row per (receipt, product), oldest first; a product scanned twice counts once.

    `customer` is -1 for anonymous receipts, `country` (a code) -1 where unknown. Times are seconds
    since the epoch (UTC). `order` is the row's place on its receipt.
    """

    product: NDArray[np.int32]
    customer: NDArray[np.int32]
    country: NDArray[np.int32]
    receipt: NDArray[np.int32]
    time: NDArray[np.float64]
    price: NDArray[np.float64]
    order: NDArray[np.int32]
    product_ids: list[str]
    names: list[str]
    customer_ids: list[str]
    countries: list[str]

    def __len__(self) -> int:
        return len(self.time)

    @property
    def end(self) -> float:
        """Just after the newest sale."""
        return float(self.time[-1]) + 1.0 if len(self) else 0.0

    def slice(self, start: float, end: float) -> Sales:
        """The rows with start <= time < end; codes keep their meaning."""
        low, high = np.searchsorted(self.time, [start, end])
        rows = slice(int(low), int(high))
        return Sales(
            self.product[rows], self.customer[rows], self.country[rows], self.receipt[rows],
            self.time[rows], self.price[rows], self.order[rows],
            self.product_ids, self.names, self.customer_ids, self.countries,
        )  # fmt: skip


def read_sales(lake: Lake, version: int | None = None, as_of: datetime | None = None) -> Sales:
    """Sales of the range (no returns, services, adjustments) before `as_of` (UTC)."""
    import polars as pl
    import pyarrow.dataset as ds

    wanted = ds.field("line_type") == "sale"
    table = lake.dataset(SALES, version).to_table(columns=COLUMNS, filter=wanted)
    frame: Any = pl.from_arrow(table)
    if as_of is not None:
        frame = frame.filter(pl.col("event_time") < as_of)
    return from_frame(frame)


def from_frame(frame: pl.DataFrame) -> Sales:
    """Sales from a frame with COLUMNS."""
    import polars as pl

    frame = frame.filter(pl.col("quantity") > 0)
    product_ids, product = _codes(frame["product_id"])
    customer_ids, customer = _codes(frame["customer_id"])
    countries, country = _codes(frame["country"])
    _, receipt = _codes(frame["receipt_id"])
    _, store = _codes(frame["store"])
    lines = (
        pl.DataFrame({
            "time": frame["event_time"].dt.epoch("us") / 1e6,
            "receipt": receipt.astype(np.int64) * (int(store.max(initial=0)) + 1) + store,
            "product": product, "customer": customer, "country": country,
            "quantity": frame["quantity"].cast(pl.Float64),
            "price": frame["unit_price"].cast(pl.Float64),
        })
        .lazy()
        .with_row_index("line")
        .group_by("receipt", "product")
        .agg(
            pl.col("time", "line").min(),
            pl.col("customer", "country").first(),
            price=(pl.col("price") * pl.col("quantity")).sum() / pl.col("quantity").sum(),
        )
        .sort("time", "receipt", "line")
        .with_columns(
            receipt=pl.col("receipt").rank("dense").cast(pl.Int32) - 1,
            order=pl.int_range(pl.len()).over("receipt").cast(pl.Int32),
        )
        .collect()
    )  # fmt: skip
    return Sales(
        product=lines["product"].to_numpy(), customer=lines["customer"].to_numpy(),
        country=lines["country"].to_numpy(), receipt=lines["receipt"].to_numpy(),
        time=lines["time"].to_numpy(), price=lines["price"].to_numpy(),
        order=lines["order"].to_numpy(), product_ids=product_ids,
        names=_names(frame, product_ids), customer_ids=customer_ids, countries=countries,
    )  # fmt: skip


def _codes(column: pl.Series) -> tuple[list[str], NDArray[np.int32]]:
    """Sorted distinct values, and each row's index into them (-1 for null)."""
    import polars as pl

    values = column.drop_nulls().unique().sort()
    codes = column.to_frame("value").join(
        pl.DataFrame({"value": values, "code": pl.arange(len(values), dtype=pl.Int32, eager=True)}),
        on="value", how="left", maintain_order="left",
    )["code"]  # fmt: skip
    return values.to_list(), codes.fill_null(-1).to_numpy().astype(np.int32)


def _names(frame: pl.DataFrame, product_ids: list[str]) -> list[str]:
    """The commonest description of each product, its id where there is none."""
    import polars as pl

    counted = (
        frame.lazy()
        .filter(pl.col("description").is_not_null())
        .group_by("product_id", "description")
        .len()
        .sort("len", "description", descending=[True, False])
        .group_by("product_id", maintain_order=True)
        .first()
        .collect()
    )
    names = dict(zip(counted["product_id"], counted["description"], strict=True))
    return [names.get(product_id) or product_id for product_id in product_ids]
