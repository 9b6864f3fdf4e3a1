"""Job `trim`: removes what retention no longer keeps, from the log and from the lake."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from retaild.api.bus import Bus, TrimmedError
from retaild.api.lake import Lake
from retaild.config.sections import LakeSection
from retaild.pipeline.streams import carried_offset
from retaild.runtime.backup.locks import may_remove_files
from retaild.runtime.context import JobContext

#: The column that says how old a row is.
_TIMES = ("event_time", "window_start")


def run(context: JobContext) -> dict[str, Any]:
    """While a backup is made nothing is removed: the next run makes up for it."""
    with may_remove_files(context.data) as may:
        if may:
            return _trim(context)
    context.progress(1.0, "left to the next time: a backup is being made")
    return {"log_offset": None, "rows_removed": {}, "postponed": True}


def _trim(context: JobContext) -> dict[str, Any]:
    lake = context.lake()
    context.progress(0.0, "trimming the log")
    bus = context.bus()
    try:
        bus.open()
        before = time.time() - context.settings.lake.log_hours * 3600
        offset = trim_log(bus, lake, context.data.online, before)
    finally:
        bus.close()
    context.progress(0.3, "removing old rows")
    now = datetime.fromtimestamp(context.settings.now(), UTC)
    rows = remove_old_rows(lake, context.settings.lake, now)
    context.progress(1.0, f"the log begins no later than entry {offset}")
    return {"log_offset": offset, "rows_removed": rows}


def trim_log(bus: Bus, lake: Lake, online: Path, before: float) -> int:
    """Let go of entries that lake and server have, appended before `before` (epoch seconds)."""
    limit = min(carried_offset(lake), base_offset(online))
    offset = _first_kept(bus, limit, before)
    if offset > 0:
        bus.trim(offset)
    return offset


def base_offset(online: Path) -> int:
    """Where the server begins to read after a restart: the newest `base-<offset>`; else 0."""
    names = [path.name.removeprefix("base-") for path in online.glob("base-*") if path.is_dir()]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _first_kept(bus: Bus, limit: int, before: float) -> int:
    """The first of the entries up to `limit` that is not older than `before`: by bisection."""
    low, high = 0, limit
    while low < high:
        middle = (low + high) // 2
        if _is_old(bus, middle, before):
            low = middle + 1
        else:
            high = middle
    return low


def _is_old(bus: Bus, offset: int, before: float) -> bool:
    try:
        found = bus.read(offset, 1)
    except TrimmedError:
        return True
    return not found or found[0].appended_at < before


def remove_old_rows(lake: Lake, settings: LakeSection, now: datetime) -> dict[str, int]:
    """Delete rows by their event time (shop's clock); rows per table. 0 days keep for ever."""
    removed: dict[str, int] = {}
    for name in lake.names():
        days = _days(name, settings)
        column = _time_column(lake, name)
        if days > 0 and column:
            removed[name] = lake.delete(name, _older(column, now - timedelta(days=days)))
    return removed


def _older(column: str, moment: datetime) -> str:
    """A predicate in the SQL of DataFusion, which compares times of one type only."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{column} < arrow_cast('{text}', 'Timestamp(Microsecond, Some(\"UTC\"))')"


def _days(name: str, settings: LakeSection) -> int:
    layer, _, table = name.partition(".")
    if table == "dead_letter":
        return settings.dead_letter_days
    return {"bronze": settings.bronze_days, "silver": settings.silver_days}.get(layer, 0)


def _time_column(lake: Lake, name: str) -> str | None:
    known = {field.name for field in lake.table(name).schema().fields}
    return next((column for column in _TIMES if column in known), None)
