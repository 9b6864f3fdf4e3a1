"""What Online Retail does not tell: unit costs and stock, by a stated assumption.

The rule and its numbers stand in the demo's configuration (`[demo]`), the rows go through the same
door as everything else under the source name `assumption`, and the pages mark them as assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Goods of the range, as opposed to postage, fees and manual entries: five digits, maybe letters.
PRODUCT_CODE = r"^[0-9]{5}[A-Za-z]*$"


@dataclass(frozen=True, slots=True)
class Assumptions:
    """`unit_cost_share` of the usual price is what a product costs; stock covers `stock_weeks` of
    its recent sales; every `sold_out_every`-th product (by code) is sold out."""

    unit_cost_share: float
    stock_weeks: float
    sold_out_every: int

    @classmethod
    def from_settings(cls, demo: Mapping[str, object]) -> Assumptions:
        return cls(
            float(str(demo["unit_cost_share"])),
            float(str(demo["stock_weeks"])),
            int(str(demo["sold_out_every"])),
        )


@dataclass(frozen=True, slots=True)
class AssumedRows:
    """How many rows were written, and which products are assumed to be sold out."""

    products: int
    stock: int
    sold_out: frozenset[str]


def write_assumptions(sales: Path, directory: Path, assumptions: Assumptions) -> AssumedRows:
    """Write products.csv and stock.csv for the products sold in the Parquet file `sales`.

    A product's usual price is the one that most of its lines of the last 28 days carry (else of the
    last 91 days, else ever).
    """
    import duckdb

    directory.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute(
            _PRODUCTS, {"sales": str(sales), "code": PRODUCT_CODE, **_parameters(assumptions)}
        )
        for name, columns in _FILES.items():
            query = f"SELECT {columns} FROM assumed ORDER BY product_id"
            connection.execute(f"COPY ({query}) TO '{directory / name}.part' (HEADER)")
            (directory / f"{name}.part").rename(directory / name)
        rows = connection.execute("SELECT product_id, on_hand FROM assumed").fetchall()
    return AssumedRows(len(rows), len(rows), frozenset(p for p, on_hand in rows if on_hand == 0))


def _parameters(assumptions: Assumptions) -> dict[str, float]:
    return {
        "share": assumptions.unit_cost_share,
        "weeks": assumptions.stock_weeks,
        "every": assumptions.sold_out_every,
    }


_FILES = {
    "products.csv": "product_id, unit_cost, as_of",
    "stock.csv": "product_id, on_hand, as_of",
}

_PRODUCTS = """
CREATE TABLE assumed AS
WITH line AS (
    SELECT StockCode AS product_id, UnitPrice AS price, Quantity AS quantity,
           InvoiceDate AS sold_at,
           InvoiceDate > max(InvoiceDate) OVER () - INTERVAL 91 DAY AS recent,
           InvoiceDate > max(InvoiceDate) OVER () - INTERVAL 28 DAY AS current
    FROM read_parquet($sales)
    WHERE Quantity > 0 AND UnitPrice > 0 AND regexp_matches(StockCode, $code)
),
product AS (
    SELECT product_id,
           coalesce(
               mode(price) FILTER (current), mode(price) FILTER (recent), mode(price)) AS price,
           coalesce(sum(quantity) FILTER (recent), 0) / 13.0 AS weekly_units
    FROM line GROUP BY product_id
)
SELECT product_id,
       CAST(round(price * $share, 2) AS DECIMAL(18, 4)) AS unit_cost,
       CASE WHEN row_number() OVER (ORDER BY product_id) % $every = 0 THEN 0
            ELSE greatest(1, CAST(ceil(weekly_units * $weeks) AS BIGINT)) END AS on_hand,
       strftime((SELECT max(sold_at) FROM line), '%Y-%m-%dT%H:%M:%SZ') AS as_of
FROM product
"""
