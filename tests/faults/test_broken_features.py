"""Feast's files are broken: what they held is in the gold tables, and comes from there again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from retaild_plugins.features.feast.backend import FeastBackend
from retaild_plugins.features.feast.config import FeastConfig

from retaild.api import BuildContext, FeatureBackend, Lake
from retaild.testing.features import (
    CUSTOMER,
    CUSTOMER_ROWS,
    NEXT_MONDAY,
    asked,
    customer_rows,
)

# Feast still calls DuckDB by a name of old.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

Harm = Callable[[Path], None]


def garbage(file: Path) -> None:
    file.write_bytes(b"this was a file once " * 200)


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Feast's files as a run leaves them."""
    Lake(tmp_path / "lake").overwrite(CUSTOMER.table, customer_rows(CUSTOMER_ROWS))
    backend = opened(tmp_path)
    backend.materialize(NEXT_MONDAY)
    backend.close()
    return tmp_path / "features"


def opened(root: Path) -> FeatureBackend:
    """As every job begins with it."""
    backend = FeastBackend(
        FeastConfig(), BuildContext("features", root / "features", root / "lake")
    )
    backend.open()
    backend.apply([CUSTOMER])
    return backend


@pytest.mark.parametrize("harm", [garbage, cut, empty])
@pytest.mark.parametrize("name", ["registry.db", "online.db", "offline/customer.parquet"])
def test_the_next_job_makes_it_anew(folder: Path, name: str, harm: Harm) -> None:
    file = folder / name
    assert file.stat().st_size > 0
    harm(file)
    backend = opened(folder.parent)
    try:
        rows = backend.historical(asked(("ann", NEXT_MONDAY)), ["customer:receipts"])
        assert rows["customer__receipts"].to_pylist() == [3]
        assert backend.materialize(NEXT_MONDAY) == {"customer": 2}
    finally:
        backend.close()


def test_a_broken_database_is_kept(folder: Path) -> None:
    garbage(folder / "online.db")
    opened(folder.parent).close()
    (kept,) = folder.glob("online.db.*.damaged")
    assert kept.read_bytes().startswith(b"this was a file once")
