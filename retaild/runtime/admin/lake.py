"""The lake's tables at a glance."""

from __future__ import annotations

from typing import Any

from retaild.api.lake import Lake


def tables(lake: Lake) -> list[dict[str, Any]]:
    """Name, version, rows, files, bytes, and the time of the last commit (seconds, UTC)."""
    return [_table(lake, name) for name in lake.names()]


def _table(lake: Lake, name: str) -> dict[str, Any]:
    import pyarrow as pa

    table = lake.table(name)
    actions = pa.table(table.get_add_actions(flatten=True))
    newest = next(iter(table.history(1)), {})
    rows = actions["num_records"] if "num_records" in actions.column_names else None
    return {
        "name": name,
        "rows": None if rows is None else sum(count or 0 for count in rows.to_pylist()),
        "files": actions.num_rows,
        "bytes": sum(actions["size_bytes"].to_pylist()),
        "version": int(table.version()),
        "updated": newest.get("timestamp", 0) / 1000 or None,
    }
