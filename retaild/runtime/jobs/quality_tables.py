"""The lake's tables as the checks of job `quality` see them."""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Any

import duckdb
import pyarrow.dataset as ds

from retaild.api.lake import Lake
from retaild.pipeline.streams import OFFSET, bronze_schema, silver_schemas
from retaild.runtime.jobs.quality_checks import Check


class QualityTables:
    """Gives the figures of checks. Use as a context manager.

    Bronze and silver rows count up to log entry `until` and from event time `since` on.
    """

    def __init__(self, lake: Lake, until: int, since: datetime | None, now: datetime) -> None:
        self._lake, self._until, self._since, self._now = lake, until, since, now
        self._connection = duckdb.connect(config={"threads": 1, "memory_limit": "1GiB"})
        self._connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")

    def __enter__(self) -> QualityTables:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def figure(self, check: Check) -> float | None:
        """What the check measures; None where there is nothing to measure."""
        family = check.table.partition(".")[2]
        self._register("bronze", f"bronze.{family}", bronze_schema(family))
        self._register("silver", check.table, silver_schemas()[check.table])
        self._register_refused(family)
        query = check.query.replace(":now", "CAST($now AS TIMESTAMPTZ)")
        values = {"now": self._now.isoformat()} if query != check.query else {}
        found = self._connection.execute(query, values).fetchall()
        value = found[0][0] if found else None
        return None if value is None else float(value)

    def _register(self, view: str, name: str, schema: Any) -> None:
        rows = self._lake.dataset(name) if self._lake.exists(name) else schema.empty_table()
        if isinstance(rows, ds.Dataset):
            rows = rows.filter(self._condition())
        self._connection.register(view, rows)

    def _condition(self) -> ds.Expression:
        condition = ds.field(OFFSET) < self._until
        if self._since is not None:
            condition = condition & (ds.field("event_time") >= self._since)
        return condition

    def _register_refused(self, family: str) -> None:
        """Events that silver could not take, as the stream noted them in the dead letters."""
        self._register("letter", "silver.dead_letter", silver_schemas()["silver.dead_letter"])
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE refused AS "
            "SELECT DISTINCT decode(raw)::JSON ->> 'event_id' AS event_id FROM letter "
            f"WHERE reason_key = 'stream.not_computable' AND target = '{family}'"
        )
