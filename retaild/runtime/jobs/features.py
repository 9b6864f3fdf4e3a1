"""Job `features`: registers the feature views and makes their newest values servable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from retaild.api.errors import MissingDataError
from retaild.api.lake import Lake
from retaild.pipeline.feature_views import FEATURE_VIEWS
from retaild.runtime.context import JobContext
from retaild.runtime.jobs.workbench import Workbench


class NoSnapshotsError(MissingDataError):
    key = "features.no_snapshots"

    def __init__(self) -> None:
        super().__init__(
            "There are no feature snapshots in the lake yet.",
            hint="Import sales, then run `retaildctl job run gold`.",
        )


def run(context: JobContext) -> dict[str, Any]:
    with Workbench(context) as bench:
        return materialize_features(context, bench)


def materialize_features(context: JobContext, bench: Workbench) -> dict[str, Any]:
    """Values as of the newest snapshot: a shop that has closed for a month keeps its features."""
    until = newest_snapshot(context.lake())
    context.progress(0.1, "registering the features")
    backend = bench.features()
    context.progress(0.4, f"materialising the features of {until:%Y-%m-%d %H:%M}")
    return {"as_of": until.isoformat(), "rows": backend.materialize(until)}


def newest_snapshot(lake: Lake) -> datetime:
    """The latest moment of any feature view's table; raises NoSnapshotsError."""
    import pyarrow.compute as pc

    moments = []
    for view in FEATURE_VIEWS:
        if lake.exists(view.table):
            table = lake.dataset(view.table).to_table(columns=[view.event_timestamp])
            moments.append(pc.max(table[view.event_timestamp]).as_py())
    known: list[datetime] = [moment for moment in moments if moment is not None]
    if not known:
        raise NoSnapshotsError
    return max(known).astimezone(UTC)
