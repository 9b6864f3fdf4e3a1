"""The real metastore: as a service, with the lake's tables in it, asked by Spark."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from retaild_plugins.cluster.hive.config import HiveServiceConfig
from retaild_plugins.cluster.hive.plugin import SOFTWARE, SPARK, retaild_services

from retaild.api import BuildContext, Lake, ServiceSpec
from retaild.runtime.services.keeper import Keeper
from retaild.testing.batch import MONDAY, line, write_silver
from retaild.testing.service import ServiceConformance, free_ports, running

from .postgres import postgres, program, query

_ASK = Path(__file__).with_name("_ask.py")


@pytest.fixture
def spec(installed: Callable[..., object]) -> ServiceSpec:
    installed(SPARK)
    installed(SOFTWARE)
    return retaild_services()[0]


@pytest.fixture
def config() -> HiveServiceConfig:
    (port,) = free_ports(1)
    return HiveServiceConfig(port=port, look_seconds=1)


@pytest.fixture
def context(context_of: Callable[..., BuildContext]) -> BuildContext:
    return context_of("hive")


class TestHiveService(ServiceConformance):
    pass


def until(keeper: Keeper, figures: dict[str, float]) -> None:
    """Wait for the metastore to count so many tables in each layer."""
    end = time.monotonic() + 60
    while True:
        found = keeper.watch_now()
        if {key: value for key, value in found.items() if key.startswith("tables_")} == figures:
            return
        assert time.monotonic() < end, found
        time.sleep(0.2)


def ask(context: BuildContext, port: int, query: str) -> str:
    """What Spark answers, in a process of its own."""
    command = [sys.executable, str(_ASK), str(context.software_dir), f"thrift://127.0.0.1:{port}"]
    done = subprocess.run([*command, query], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def test_tables_of_the_lake_are_known_by_name(
    spec: ServiceSpec, config: HiveServiceConfig, context: BuildContext
) -> None:
    """Old ones, new ones, grown ones and ones that are gone; also after a restart."""
    lake = Lake(context.lake_dir)
    write_silver(lake, [line(MONDAY, "R1", "2", "1.50")])
    with running(spec, config, context) as keeper:
        until(keeper, {"tables_silver": 1.0})
        lake.overwrite("gold.some", lake.dataset("silver.sale").to_table())
        lake.overwrite("gold.other", lake.dataset("silver.sale").to_table())
        until(keeper, {"tables_silver": 1.0, "tables_gold": 2.0})
        lake.append("silver.sale", lake.dataset("silver.sale").to_table())
        query = "SELECT COUNT(*), SUM(s.amount) FROM silver.sale s JOIN gold.some USING (event_id)"
        assert ask(context, config.port, query) == "2 6.0000"
        lake.path("gold.other").rename(context.lake_dir.parent / "away")
        until(keeper, {"tables_silver": 1.0, "tables_gold": 1.0})
    with running(spec, config, context) as keeper:
        until(keeper, {"tables_silver": 1.0, "tables_gold": 1.0})


@pytest.mark.skipif(program("initdb") is None, reason="there is no PostgreSQL (postgresql-15)")
def test_names_are_kept_in_postgresql(spec: ServiceSpec, context: BuildContext) -> None:
    """In an empty database at first; a restart that has lost its own directory finds them there."""
    lake = Lake(context.lake_dir)
    write_silver(lake, [line(MONDAY, "R1", "2", "1.50")])
    port, store = free_ports(2)
    config = HiveServiceConfig(
        port=port, look_seconds=1, postgres=f"127.0.0.1:{store}/metastore", postgres_user="hive",
        postgres_password=SecretStr("s3cret of hive"),
    )  # fmt: skip
    with postgres(store, "s3cret of hive"):
        with running(spec, config, context) as keeper:
            until(keeper, {"tables_silver": 1.0})
            assert ask(context, port, "SELECT COUNT(*) FROM silver.sale") == "1"
        assert not (context.state_dir / "store").exists(), "it used files of its own"
        tables = 'SELECT "NAME", "TBL_NAME" FROM "TBLS" JOIN "DBS" USING ("DB_ID")'
        assert query(store, "s3cret of hive", tables) == "silver|sale"
        shutil.rmtree(context.state_dir)
        with running(spec, config, context) as keeper:
            until(keeper, {"tables_silver": 1.0})
        assert query(store, "s3cret of hive", tables) == "silver|sale"
