"""Sales of the lake in Spark, with numbers for products and customers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retaild.api import Lake
from retaild_plugins.cluster.spark.als.artifact import Learned
from retaild_plugins.cluster.spark.als.blend import DAY, History
from retaild_plugins.cluster.spark.als.judging import Case

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SALES = "silver.sale"
_MONTH = 28 * DAY


@dataclass(slots=True)
class Lines:
    """A row per (receipt, product): customer (-1: anonymous), product, receipt, time (s UTC).

    Held by Spark; what the driver takes in grows with products, customers and cases only.
    """

    frame: DataFrame
    product_ids: list[str]
    names: list[str]
    customer_ids: list[str]
    begin: float
    #: Just after the newest sale.
    end: float

    def pairs(self, until: float) -> DataFrame:
        """Per (customer, product) before a moment: receipts, and the last time."""
        from pyspark.sql import functions as F

        known = self.frame.where((F.col("customer") >= 0) & (F.col("time") < until))
        return known.groupBy("customer", "product").agg(
            F.count("*").cast("float").alias("receipts"), F.max("time").alias("last")
        )

    def receipts(self, start: float, end: float) -> NDArray[np.int64]:
        """Receipts of each product in start..end."""
        from pyspark.sql import functions as F

        part = self.frame.where((F.col("time") >= start) & (F.col("time") < end))
        found = part.groupBy("product").count().toArrow()
        counts = np.zeros(len(self.product_ids), np.int64)
        counts[found["product"].to_numpy()] = found["count"].to_numpy()
        return counts

    def count_receipts(self, until: float) -> int:
        from pyspark.sql import functions as F

        part = self.frame.where(F.col("time") < until)
        return int(part.select("receipt").distinct().count())

    def appeal(self, until: float) -> NDArray[np.float32]:
        recent = self.receipts(until - _MONTH, until)
        return np.asarray(recent / max(1, recent.max(initial=0)), np.float32)

    def cases(self, start: float, end: float, limit: int, seed: int) -> list[Case]:
        """Customers known before `start` who bought in start..end; at most `limit`, by chance."""
        from pyspark.sql import functions as F

        window = self.frame.where(
            (F.col("customer") >= 0) & (F.col("time") >= start) & (F.col("time") < end)
        ).select("customer", "product")
        people = window.select("customer").intersect(self.pairs(start).select("customer"))
        asked = _sample(np.sort(people.toArrow()["customer"].to_numpy()), limit, seed)
        session = self.frame.sparkSession
        chosen = session.createDataFrame(pa.table({"customer": pa.array(asked, pa.int32())}))
        truth = window.distinct().join(F.broadcast(chosen), "customer").toArrow()
        past = self.pairs(start).join(F.broadcast(chosen), "customer").toArrow()
        bought = _grouped(past, ("product", "receipts", "last"))
        return [
            Case(History(*_typed(*bought[customer])), start, products.astype(np.int64))
            for customer, (products,) in sorted(_grouped(truth, ("product",)).items())
        ]


def _typed(
    products: NDArray[Any], receipts: NDArray[Any], last: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    return products.astype(np.int64), receipts.astype(np.float64), last.astype(np.float64)


def read_lines(
    session: SparkSession,
    lake: Lake,
    version: int,
    as_of: datetime | None,
    cores: int,
    numbering: Learned | None = None,
) -> Lines:
    """Sales of the range (no returns, services, adjustments) before `as_of`, kept by Spark.

    Numbered by their ids' order; with `numbering` as in it, without products it does not know.
    """
    from pyspark.sql import functions as F

    table = session.read.format("delta").option("versionAsOf", version)
    rows = table.load(str(lake.path(SALES))).where("line_type = 'sale' AND quantity > 0")
    if as_of is not None:
        rows = rows.where(F.col("event_time") < F.lit(as_of))
    lines = rows.groupBy("store", "receipt_id", "product_id").agg(
        (F.min(F.unix_micros("event_time")) / 1e6).alias("time"),
        F.max("customer_id").alias("customer_id"),
        F.max("description").alias("name"),
    )
    if numbering is None:
        product_ids, names = _products(lines)
        customer_ids = _customers(lines)
    else:
        product_ids, names = numbering.product_ids, numbering.names
        customer_ids = numbering.customer_ids
    numbered = (
        lines.join(F.broadcast(_numbers(session, product_ids, "product")), "product_id")
        .join(
            F.broadcast(_numbers(session, customer_ids, "customer")), "customer_id", "left"
        )
        .select(
            F.coalesce("customer", F.lit(-1)).alias("customer"), "product", "time",
            F.xxhash64("store", "receipt_id").alias("receipt"),
        )
        .repartition(cores)
        .persist()
    )  # fmt: skip
    span: Any = numbered.agg(F.min("time"), F.max("time")).first()
    begin, end = (float(moment or 0.0) for moment in span)
    return Lines(numbered, product_ids, names, customer_ids, begin, end + 1.0 if end else end)


def _products(lines: DataFrame) -> tuple[list[str], list[str]]:
    """Ids in their order, and their names."""
    from pyspark.sql import functions as F

    found = lines.groupBy("product_id").agg(F.max("name").alias("name")).toArrow()
    found = found.sort_by("product_id")
    ids = found["product_id"].to_pylist()
    return ids, [name or id_ for name, id_ in zip(found["name"].to_pylist(), ids, strict=True)]


def _customers(lines: DataFrame) -> list[str]:
    found = lines.where("customer_id IS NOT NULL").select("customer_id").distinct().toArrow()
    return sorted(found["customer_id"].to_pylist())


def _numbers(session: SparkSession, ids: list[str], name: str) -> DataFrame:
    """(<name>_id, <name>): each id's place."""
    if not ids:
        return session.createDataFrame([], f"{name}_id string, {name} int")
    numbers = pa.array(range(len(ids)), pa.int32())
    return session.createDataFrame(pa.table({f"{name}_id": pa.array(ids), name: numbers}))


def _sample(people: NDArray[np.int64], limit: int, seed: int) -> NDArray[np.int64]:
    if len(people) <= limit:
        return people
    return np.sort(np.random.default_rng(seed).choice(people, limit, replace=False))


def _grouped(table: pa.Table, columns: tuple[str, ...]) -> dict[int, list[NDArray[Any]]]:
    """customer -> the columns' values, by product."""
    table = table.sort_by([("customer", "ascending"), ("product", "ascending")])
    people, first = np.unique(table["customer"].to_numpy(), return_index=True)
    parts = [np.split(table[column].to_numpy(), first[1:]) for column in columns]
    return {int(customer): [part[place] for part in parts] for place, customer in enumerate(people)}
