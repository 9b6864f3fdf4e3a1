"""MLlib's ALS: from lines to factors, and from factors to everybody's slates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retaild_plugins.cluster.spark.als.artifact import Artifact, Learned
from retaild_plugins.cluster.spark.als.blend import DAY
from retaild_plugins.cluster.spark.als.lines import Lines
from retaild_plugins.cluster.spark.config import SparkTrainerConfig

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def fit(lines: Lines, until: float, config: SparkTrainerConfig, blocks: int, seed: int) -> Learned:
    """Learn from the sales before `until`."""
    from pyspark.ml.recommendation import ALS

    als = ALS(
        userCol="customer", itemCol="product", ratingCol="receipts", implicitPrefs=True,
        rank=config.rank, maxIter=config.iterations, alpha=config.alpha,
        regParam=config.regularisation, numUserBlocks=blocks, numItemBlocks=blocks, seed=seed,
    )  # fmt: skip
    model = als.fit(lines.pairs(until).select("customer", "product", "receipts"))
    return Learned(
        until, lines.product_ids, lines.names, lines.customer_ids,
        _rows(model.itemFactors.toArrow(), len(lines.product_ids), config.rank),
        _rows(model.userFactors.toArrow(), len(lines.customer_ids), config.rank),
        lines.appeal(until),
    )  # fmt: skip


def _rows(table: pa.Table, count: int, rank: int) -> NDArray[np.float32]:
    """A row a number; zeros for who is not in the model."""
    found = np.zeros((count, rank), np.float32)
    if table.num_rows:
        found[table["id"].to_numpy()] = np.stack(table["features"].to_numpy(zero_copy_only=False))
    return found


def slates(lines: Lines, artifact: Artifact, learned: Learned, count: int, now: float) -> DataFrame:
    """(customer, the best `count` as (product, score, receipts)), whoever is in the factors.

    `lines` are numbered as `learned` is.

    The best without habits by MLlib's own `recommendForAllUsers`, and what the customer bought
    before, whose habit adds to the score. Exact: a product outside both has at least `count`
    better ones.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    model = _model(lines.frame.sparkSession, learned, artifact.blend.popularity)
    found = model.recommendForAllUsers(count).select(
        "customer", F.explode("recommendations").alias("one")
    )
    found = found.select("customer", "one.product", F.col("one.rating").alias("als"))
    bought = lines.pairs(now)
    known = model.transform(bought.select("customer", "product"))
    known = known.select("customer", "product", F.col("prediction").alias("als"))
    age = F.greatest(F.lit(0.0), F.lit(now) - F.col("last")) / DAY
    habit = (
        artifact.blend.habit
        * F.log1p("receipts")
        * F.pow(F.lit(0.5), age / artifact.blend.half_life_days)
    )
    scored = (
        found.unionByName(known)
        .dropDuplicates(["customer", "product"])
        .join(bought.withColumn("habit", habit), ["customer", "product"], "left")
        .withColumn("score", F.col("als") + F.coalesce("habit", F.lit(0.0)))
    )
    place = Window.partitionBy("customer").orderBy(F.desc("score"), "product")
    best = scored.withColumn("place", F.row_number().over(place)).where(F.col("place") <= count)
    offer = F.struct(
        "place", "product", "score", F.coalesce("receipts", F.lit(0.0)).alias("receipts")
    )
    return best.groupBy("customer").agg(F.sort_array(F.collect_list(offer)).alias("offers"))


def _model(session: SparkSession, learned: Learned, popularity: float) -> Any:
    """MLlib's model of factors that were learned before.

    A further number in each factor, 1 for a customer, adds a product's popularity to its score.
    """
    from pyspark.ml.recommendation import ALSModel

    people = np.flatnonzero(learned.users.any(axis=1))
    ones = np.ones(len(learned.users), np.float32)
    users = _frame(session, np.column_stack([learned.users, ones]), people)
    products = np.flatnonzero(learned.items.any(axis=1) | (learned.appeal > 0))
    added = popularity * learned.appeal
    items = _frame(session, np.column_stack([learned.items, added]), products)
    jvm: Any = session._jvm
    java = jvm.org.apache.spark.ml.recommendation.ALSModel(
        "als", learned.items.shape[1] + 1, users._jdf, items._jdf
    )
    settings = {
        "userCol": "customer", "itemCol": "product", "predictionCol": "prediction",
        "coldStartStrategy": "drop",
    }  # fmt: skip
    for name, value in settings.items():
        java.set(java.getParam(name), value)
    return ALSModel(java)


def _frame(
    session: SparkSession, factors: NDArray[np.float32], rows: NDArray[np.int64]
) -> DataFrame:
    values = pa.array(factors[rows].astype(np.float32).reshape(-1))
    starts = pa.array(np.arange(len(rows) + 1) * factors.shape[1], pa.int32())
    ids = pa.array(rows.astype(np.int32))
    features = pa.ListArray.from_arrays(starts, values)
    return session.createDataFrame(pa.table({"id": ids, "features": features}))
