"""Strangers' packages, for daemons of the tests."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent


def install(site: Path, module: str, text: str) -> None:
    """A package of one module with plugins in it, as pip would leave it."""
    name = module.replace("_", "-")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(text)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[retaild.plugins]\n{name} = {module}\n")


def with_site(site: Path) -> str:
    """PYTHONPATH of a daemon beside which they are installed."""
    root = HERE.parents[1]
    return os.pathsep.join(map(str, (root, root / "plugins", HERE, site)))
