"""Asking new components whether they would work, beside the old ones that do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.daemon.children import LOG, run_briefly
from retaild.runtime import logs, probe
from retaild.runtime.component import ISOLATED_KINDS
from retaild.runtime.supervisor import WorkerPlan

#: One may take so long, and so many run at a time.
SECONDS = 20.0
_AT_ONCE = 2


class ProbeFailedError(RetaildError):
    key = "reload.probe_failed"

    def __init__(self, name: str, reason: str, hint: str = "") -> None:
        super().__init__(
            f"{name} would not work with the new configuration: {reason.rstrip('.')}.",
            hint=hint or "Mend the configuration; nothing was touched.",
        )


async def probe_all(
    plans: Sequence[WorkerPlan],
    settings: Settings,
    config: Path,
    data: DataDir,
    say: Callable[[str], None],
) -> None:
    """Raises ProbeFailedError for the first that says no; nothing was touched then."""
    isolated = [plan for plan in plans if plan.kind in ISOLATED_KINDS]
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(plan: WorkerPlan) -> None:
        async with limit:
            say(f"{plan.name}: tried beside the old")
            await _probe(plan, settings, config, data)

    async with asyncio.TaskGroup() as group:
        for plan in isolated:
            group.create_task(one(plan))


async def _probe(plan: WorkerPlan, settings: Settings, config: Path, data: DataDir) -> None:
    _, _, instance = plan.name.partition(".")
    answer = config.with_name(f"{config.stem}.{plan.name}.answer")
    words = probe.command(plan.kind, instance, settings, config, data, answer)
    try:
        code = await run_briefly(words, data, SECONDS)
        if code is None:
            raise ProbeFailedError(plan.name, f"its check took longer than {SECONDS:g} s")
        if code != 0:
            raise ProbeFailedError(plan.name, *_said(answer, code, data))
    finally:
        answer.unlink(missing_ok=True)


def _said(answer: Path, code: int, data: DataDir) -> tuple[str, str]:
    try:
        said = json.loads(answer.read_text())
        return said["message"], said["hint"]
    except (OSError, ValueError, KeyError):
        words = " ".join(logs.tail(data.worker_log(LOG), 1))
        return f"its check ended with exit code {code} {words}", ""
