"""Dead letters of the lake. They are there some seconds after they were refused."""

from __future__ import annotations

from typing import Any

from retaild.api.lake import Lake
from retaild.runtime.admin.errors import UnknownDeadLetterError
from retaild.runtime.state import State

TABLE = "silver.dead_letter"
_COLUMNS = (
    "event_id", "event_time", "source", "target", "place", "reason_key", "reason", "format",
)  # fmt: skip


def dead_letters(
    lake: Lake,
    state: State,
    *,
    source: str = "",
    reason: str = "",
    limit: int = 50,
    offset: int = 0,
) -> dict[str, Any]:
    """A page, newest first, without the bytes; counts of all by reason, and their sources."""
    if not lake.exists(TABLE):
        return {"dead_letters": [], "total": 0, "reasons": {}, "sources": []}
    import pyarrow as pa
    import pyarrow.compute as pc

    table: pa.Table = lake.dataset(TABLE).to_table(columns=list(_COLUMNS))
    reasons = {
        row["values"]: row["counts"] for row in table["reason_key"].value_counts().to_pylist()
    }
    sources = sorted(table["source"].unique().to_pylist())
    if source:
        table = table.filter(pc.equal(table["source"], source))
    if reason:
        table = table.filter(pc.equal(table["reason_key"], reason))
    order = [("event_time", "descending"), ("event_id", "ascending")]
    page = table.sort_by(order).slice(offset, limit).to_pylist()
    replays = state.replays()
    return {
        "dead_letters": [_with_replay(row, replays) for row in page],
        "total": table.num_rows,
        "reasons": reasons,
        "sources": sources,
    }


def dead_letter(lake: Lake, state: State, event_id: str) -> dict[str, Any]:
    """One, with `raw` as bytes. Raises UnknownDeadLetterError."""
    if lake.exists(TABLE):
        import pyarrow.compute as pc

        wanted = pc.field("event_id") == event_id
        columns = [*_COLUMNS, "raw"]
        for row in lake.dataset(TABLE).to_table(columns=columns, filter=wanted).to_pylist():
            return _with_replay(row, state.replays())
    raise UnknownDeadLetterError(event_id)


def _with_replay(row: dict[str, Any], replays: dict[str, dict[str, Any]]) -> dict[str, Any]:
    replay = replays.get(row["event_id"], {})
    return {**row, "replayed_at": replay.get("at"), "outcome": replay.get("outcome")}
