"""Features and model registry: what Feast and MLflow cost beside the bare libraries below them.

    python -m benchmarks.features [--data DIR]

Prints JSON: seconds of each step, and its ratio to the limit: the same join by DuckDB's own ASOF
JOIN, the same cells written by sqlite's executemany.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from retaild_plugins.features.feast.plugin import retaild_feature_backends

from benchmarks._shop import options, prepare
from retaild.api import BuildContext, FeatureBackend, Lake
from retaild.api.trainer import TrainingResult
from retaild.config.paths import DataDir
from retaild.pipeline.feature_views import CUSTOMER, FEATURE_VIEWS
from retaild.pipeline.features import FeatureView
from retaild.runtime import registry
from retaild.runtime.jobs.features import newest_snapshot
from retaild.runtime.registry_writer import RegistryWriter, Trained
from retaild.runtime.state import State

ROWS, PAIRS = 1_000_000, 20_000


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def main() -> None:
    arguments = options(__doc__).parse_args()
    prepare(arguments.data, model=False)
    root = arguments.data / "features-benchmark"
    shutil.rmtree(root, ignore_errors=True)
    lake = Lake(arguments.data / "data" / "lake")
    figures = {**features(lake, root / "features"), **models(DataDir(root))}
    json.dump({name: round(value, 4) for name, value in figures.items()}, sys.stdout, indent=2)
    print()


def features(lake: Lake, root: Path) -> dict[str, float]:
    (spec,) = retaild_feature_backends()
    context = BuildContext(instance="features", state_dir=root, lake_dir=lake.root, threads=2)
    backend: FeatureBackend = spec.build(spec.config(), context)
    opened, _ = timed(backend.open)
    applied, _ = timed(lambda: backend.apply(FEATURE_VIEWS))
    until = newest_snapshot(lake)
    materialized, rows = timed(lambda: backend.materialize(until))
    again, _ = timed(lambda: backend.materialize(until))
    cells = sum(rows[view.name] * len(view.features) for view in FEATURE_VIEWS)
    bare_write, _ = timed(lambda: write_cells(root / "bare.db", cells))
    asked = training_rows(lake)
    joined, table = timed(lambda: backend.historical(asked, CUSTOMER.references))
    bare_join, bare = timed(lambda: asof_join(lake, CUSTOMER, asked))
    assert table["customer__receipts"].null_count == bare["receipts"].null_count
    backend.close()
    return {
        "import_and_open_seconds": opened,
        "apply_seconds": applied,
        "materialize_entities": sum(rows.values()),
        "materialize_cells": cells,
        "materialize_seconds": materialized,
        "materialize_again_seconds": again,
        "materialize_bare_sqlite_seconds": bare_write,
        "materialize_ratio": bare_write / again,
        "historical_rows": ROWS,
        "historical_seconds": joined,
        "historical_bare_asof_seconds": bare_join,
        "historical_ratio": bare_join / joined,
    }


def training_rows(lake: Lake) -> pa.Table:
    """A million candidates of 20,000 (customer, moment) pairs, as a ranker's training set has."""
    random = np.random.default_rng(1)
    known = lake.dataset("gold.customer").to_table(columns=["customer_id"])["customer_id"]
    customers = known.to_numpy(zero_copy_only=False)
    end = np.datetime64(newest_snapshot(lake).replace(tzinfo=None), "us")
    moments = end - random.integers(0, 300 * 86_400, PAIRS).astype("timedelta64[s]")
    who = customers[random.integers(0, len(customers), PAIRS)]
    pick = random.integers(0, PAIRS, ROWS)
    utc = pa.timestamp("us", tz="UTC")
    moment = pa.array(moments[pick]).cast(utc)
    return pa.table({"customer_id": pa.array(who[pick]), "event_timestamp": moment})


def asof_join(lake: Lake, view: FeatureView, asked: pa.Table) -> pa.Table:
    """The limit: DuckDB alone, every row joined, from memory."""
    columns = [view.entity, view.event_timestamp, *(feature.name for feature in view.features)]
    snapshot = lake.dataset(view.table).to_table(columns=columns)
    ttl = view.ttl // timedelta(seconds=1)
    names = ", ".join(
        f"CASE WHEN a.event_timestamp <= s.{view.event_timestamp} + INTERVAL {ttl} SECOND "
        f"THEN s.{feature.name} END AS {feature.name}"
        for feature in view.features
    )
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.register("asked", asked)
        connection.register("snapshot", snapshot)
        return connection.sql(
            f"SELECT a.*, {names} FROM asked a ASOF LEFT JOIN snapshot s "
            f"ON a.{view.entity} = s.{view.entity} "
            f"AND a.event_timestamp >= s.{view.event_timestamp}"
        ).to_arrow_table()


def write_cells(path: Path, cells: int) -> None:
    """The limit: as many rows of Feast's shape through one executemany."""
    rows = [(b"%32d" % (n // 13), f"f{n % 13}", b"12345678", None, 1, 1) for n in range(cells)]
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE cell (entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, "
            "event_ts INTEGER, created_ts INTEGER, PRIMARY KEY (entity_key, feature_name))"
        )
        connection.executemany("INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?)", rows)


def models(data: DataDir) -> dict[str, float]:
    data.root.mkdir(parents=True, exist_ok=True)
    writer = RegistryWriter(data, State(data.state_db))
    opened, _ = timed(writer.open)
    registered = [timed(lambda: writer.register(a_model(data)))[0] for _ in range(10)]
    promoted = [timed(lambda n=n: writer.promote("toy", n, "better"))[0] for n in range(1, 11)]
    read = [timed(lambda: registry.champion(data, "toy"))[0] for _ in range(1000)]
    return {
        "registry_import_and_new_file_seconds": opened,
        "register_p50_seconds": float(np.median(registered)),
        "promote_p50_seconds": float(np.median(promoted)),
        "champion_read_p50_milliseconds": float(np.median(read)) * 1000,
        "champion_read_p99_milliseconds": float(np.quantile(read, 0.99)) * 1000,
    }


def a_model(data: DataDir) -> Trained:
    artifact = data.root / "work"
    artifact.mkdir(exist_ok=True)
    (artifact / "model.bin").write_bytes(bytes(5 * 1024 * 1024))
    result = TrainingResult(
        artifact=artifact,
        metrics={f"metric@{n}": n / 20 for n in range(20)},
        baselines={f"baseline {b}": {f"metric@{n}": 0.1 for n in range(20)} for b in range(6)},
        split="first 300 days",
        primary_metric="metric@1",
        parameters={f"parameter{n}": n for n in range(30)},
    )
    return Trained("toy", "toy", "1", result)


if __name__ == "__main__":
    main()
