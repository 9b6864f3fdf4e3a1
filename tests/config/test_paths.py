"""The data directory."""

from __future__ import annotations

import stat
from pathlib import Path

from retaild.config.paths import DataDir


def test_components_keep_their_things_apart(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    assert data.state_dir("bus", "bus") == tmp_path / "log"
    assert data.state_dir("features", "features") == tmp_path / "features"
    assert data.state_dir("source", "tills") == tmp_path / "sources" / "tills"
    assert data.state_dir("trainer", "a") != data.state_dir("gate", "a")


def test_nobody_else_may_look_in(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "new")
    data.create()
    data.create()
    for path in (data.root, data.run, data.logs):
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
