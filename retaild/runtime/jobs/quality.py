"""Job `quality`: is what came in complete, counted once, plausible and fresh?

Every check is a query that gives one figure; it passes while the figure is within its limit. The
results replace those of the run before in the state.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from retaild.config.sections import LakeSection
from retaild.pipeline.streams import carried_offset, silver_schemas
from retaild.runtime.context import JobContext
from retaild.runtime.jobs.quality_checks import Check, checks
from retaild.runtime.jobs.quality_tables import QualityTables

_log = logging.getLogger(__name__)


def run(context: JobContext) -> dict[str, Any]:
    """Run all checks on the tables that there are; a check that breaks counts as not passed."""
    lake = context.lake()
    now = datetime.fromtimestamp(context.settings.now(), UTC)
    present = [name for name in silver_schemas() if lake.exists(name)]
    chosen = [check for check in checks() if check.table in present]
    # Rows that the stream is writing just now may be in bronze and not yet in silver.
    until = carried_offset(lake)
    results = []
    with QualityTables(lake, until, _kept_since(context.settings.lake, now), now) as tables:
        for place, check in enumerate(chosen):
            if context.stop.is_set():
                break
            context.progress(place / len(chosen), check.sentence)
            results.append(_result(tables, check))
    context.state.save_quality(results)
    failed = [result for result in results if not result["passed"]]
    context.progress(1.0, f"{len(results) - len(failed)} of {len(results)} checks passed")
    return {"checks": len(results), "failed": failed}


def _kept_since(settings: LakeSection, now: datetime) -> datetime | None:
    """Bronze and silver are compared from where both still have their rows."""
    days = [days for days in (settings.bronze_days, settings.silver_days) if days > 0]
    return now - timedelta(days=min(days)) if days else None


def _result(tables: QualityTables, check: Check) -> dict[str, Any]:
    try:
        value = tables.figure(check)
    except Exception as error:  # one broken check shall not hide the others
        _log.exception("check %s of %s broke", check.name, check.table)
        detail = f"The check itself failed: {type(error).__name__}: {error}"
        return _row(check, False, None, detail)
    passed = value is None or check.low <= value <= check.high
    return _row(check, passed, value, check.told(value))


def _row(check: Check, passed: bool, value: float | None, detail: str) -> dict[str, Any]:
    return {
        "table_name": check.table,
        "check_name": check.name,
        "passed": passed,
        "value": value,
        "detail": detail,
    }
