"""Job `gold`: builds the gold tables from silver with the configured batch engine."""

from __future__ import annotations

import time
from typing import Any

from retaild.api.batch import BatchEngine, BatchResult
from retaild.api.errors import MissingDataError
from retaild.pipeline.batch import batch_tables
from retaild.pipeline.streams import silver_schemas
from retaild.runtime.context import JobContext


class NoSilverError(MissingDataError):
    key = "gold.no_silver"

    def __init__(self) -> None:
        super().__init__(
            "There is no event in the lake yet.",
            hint="Import some with `retaildctl import FILE`, or wait for the stream worker.",
        )


def run(context: JobContext) -> dict[str, Any]:
    """Build all gold tables; what each has become, and the versions it was made of."""
    lake = context.lake()
    if not any(lake.exists(name) for name in silver_schemas()):
        raise NoSilverError
    began = time.monotonic()
    context.progress(0.05, "building the gold tables")
    engine: BatchEngine = context.build("batch", "batch")
    try:
        engine.open()
        results = engine.run(batch_tables())
    finally:
        engine.close()
    context.progress(1.0, f"{len(results)} gold tables")
    seconds = round(time.monotonic() - began, 3)
    return {"tables": [_told(result) for result in results], "seconds": seconds}


def _told(result: BatchResult) -> dict[str, Any]:
    return {
        "table": result.table,
        "rows": result.rows,
        "version": result.version,
        "reads": result.read_versions,
        "seconds": round(result.seconds, 3),
    }
