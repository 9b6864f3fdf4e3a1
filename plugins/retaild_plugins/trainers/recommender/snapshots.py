"""Product features from the feature store, as they were known at a moment. Training only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.recommender.statistics import STORE_COLUMNS

if TYPE_CHECKING:
    from retaild.api import FeatureBackend

VIEW = "product"


def product_snapshots(
    backend: FeatureBackend, product_ids: list[str], moments: Sequence[float]
) -> dict[float, NDArray[np.float32]]:
    """Per moment (seconds UTC) a table (products, STORE_COLUMNS), NaN where nothing was known.

    One join for all moments, in time: a row knows nothing of what came at or after its moment.
    """
    import pyarrow as pa

    count, wanted = len(product_ids), list(dict.fromkeys(moments))
    stamps = [datetime.fromtimestamp(moment, UTC) for moment in wanted for _ in product_ids]
    entities = pa.table({
        "product_id": pa.array(product_ids * len(wanted), pa.string()),
        "event_timestamp": pa.array(stamps, pa.timestamp("us", tz="UTC")),
    })  # fmt: skip
    joined = backend.historical(entities, [f"{VIEW}:{name}" for name in STORE_COLUMNS])
    columns = [joined[f"{VIEW}__{name}"].to_numpy().astype(np.float32) for name in STORE_COLUMNS]
    table = np.stack(columns, axis=1)
    return {moment: table[k * count : (k + 1) * count] for k, moment in enumerate(wanted)}
