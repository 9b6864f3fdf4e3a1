"""What all tests share: the data folder of development, hypothesis without a stopwatch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine is no stopwatch: slowness is measured in benchmarks/.
settings.register_profile("retaild", deadline=None)
settings.load_profile("retaild")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def online_retail() -> Path:
    """The demo's data: 541,909 lines of UCI Online Retail."""
    return ROOT / "retaild/demo/data/online_retail.parquet"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Further real data beside the project; skips where it is absent."""
    path = Path(os.environ.get("RETAILD_SHARED", ROOT.parent / "shared"))
    if not (path / "data").is_dir():
        pytest.skip("needs the shared data folder beside the project (RETAILD_SHARED)")
    return path
