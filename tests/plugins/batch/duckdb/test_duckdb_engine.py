"""The DuckDB batch engine, by the suite for all and in what is its own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from retaild_plugins.batch.duckdb import plugin
from retaild_plugins.batch.duckdb.config import DuckDBConfig
from retaild_plugins.batch.duckdb.engine import DuckDBEngine

from retaild.api import BatchEngine, BuildContext
from retaild.testing.batch import BatchConformance, OpenEngine


def opened(lake_dir: Path) -> BatchEngine:
    context = BuildContext("batch", lake_dir.parent / "state", lake_dir, threads=2)
    engine = DuckDBEngine(DuckDBConfig(), context)
    engine.open()
    return engine


class TestDuckDB(BatchConformance):
    @pytest.fixture
    def open_engine(self) -> OpenEngine:
        return opened


def test_the_sample_is_a_working_configuration() -> None:
    sample = tomllib.loads(Path(plugin.__file__).with_name("sample.toml").read_text())["batch"]
    assert sample.pop("plugin") == "duckdb"
    assert DuckDBConfig(**sample) == DuckDBConfig()


def test_closing_leaves_no_spill_and_may_come_twice(tmp_path: Path) -> None:
    engine = opened(tmp_path / "lake")
    engine.close()
    engine.close()
    assert not (tmp_path / "state" / "spill").exists()
