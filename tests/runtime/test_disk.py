"""How many days the disk lasts."""

from __future__ import annotations

from pathlib import Path

import pytest

from retaild.config.paths import DataDir
from retaild.runtime import disk

DAY = 86_400.0


def test_the_pace_is_the_slope_of_what_is_free() -> None:
    # 100 bytes fewer each day, on four days.
    samples = [(day * DAY, 1000.0 - 100 * day) for day in range(4)]
    assert disk.bytes_per_second(samples) == pytest.approx(-100 / DAY)


def test_a_short_span_says_nothing() -> None:
    assert disk.bytes_per_second([(0, 10.0), (600, 5.0), (1200, 0.0)]) is None


def test_a_sample_is_kept_every_ten_minutes_and_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "KEEP", 3)
    data = DataDir(tmp_path)
    for now in (0.0, 300.0, 600.0, 1200.0, 1800.0):
        disk.sample(data, now)
    assert [at for at, _ in disk._samples(data)] == [600.0, 1200.0, 1800.0]


def test_days_left_follow_from_the_samples(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    free = disk.space(data, DAY).free
    data.run.mkdir()
    # A tenth of what is free now went in the last day: nine days and something are left.
    lines = [f"[{hour * 3600}, {free * (1.1 - hour / 240)}]" for hour in range(24)]
    data.disk_history.write_text("\n".join([*lines, "[torn"]))
    days = disk.space(data, DAY).days_left
    assert days is not None
    assert 9 < days < 11
