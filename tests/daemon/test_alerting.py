"""The daemon's alerts task: steps, wakes, new settings, faults."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.daemon.alerting import Alerting
from retaild.runtime.alerts import raise_alert
from retaild.runtime.state import State


def _settings(*sinks: str) -> Settings:
    return Settings.model_validate(
        {"alert": {name: {} for name in sinks}, "alerts": {"group_wait_seconds": 0}}
    )


def _told(state: State) -> set[str]:
    return {row["sink"] for row in state.rows("SELECT sink FROM alert_delivery")}


async def _until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


async def _live(alerting: Alerting, state: State) -> None:
    task = asyncio.create_task(alerting.run())
    raise_alert(state, "custom.fault", "critical", "It is wrong.", source="custom")
    alerting.wake()
    await _until(lambda: _told(state) == {"pager"})
    alerting.configure(_settings("pager", "mail"))
    await _until(lambda: _told(state) == {"pager", "mail"})
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_what_is_raised_is_decided_and_new_settings_are_followed(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    data.create()
    state = State(data.state_db)
    asyncio.run(_live(Alerting(State(data.state_db), data, _settings("pager")), state))


def test_a_fault_ends_neither_the_task_nor_the_next_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = DataDir(tmp_path)
    data.create()
    state = State(data.state_db)
    alerting = Alerting(state, data, _settings("pager"))
    raise_alert(state, "custom.fault", "critical", "It is wrong.", source="custom")
    with state.transaction() as connection:
        connection.execute("ALTER TABLE alert_silence RENAME TO gone")
    alerting.step()
    assert "no such table" in caplog.text
    with state.transaction() as connection:
        connection.execute("ALTER TABLE gone RENAME TO alert_silence")
    alerting.step()
    assert _told(state) == {"pager"}


def test_it_needs_nothing_heavy() -> None:
    heavy = ["pyarrow", "numpy", "pandas", "fastapi", "lightgbm", "duckdb", "deltalake"]
    code = f"import sys, retaild.daemon.alerting; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
