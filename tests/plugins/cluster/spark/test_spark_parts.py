"""What of the Spark plugin needs no Spark: registration, SQL, spans, pieces, decoding, places."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlglot
from retaild_plugins.cluster.hive.plugin import SPARK
from retaild_plugins.cluster.spark import plugin
from retaild_plugins.cluster.spark.batch import in_spark
from retaild_plugins.cluster.spark.config import SparkServiceConfig, SparkStreamConfig
from retaild_plugins.cluster.spark.service import SparkService
from retaild_plugins.cluster.spark.stream.decoding import LETTERS, POSITION, decoded, result_schema
from retaild_plugins.cluster.spark.stream.processor import SparkProcessor, pieces
from retaild_plugins.cluster.spark.stream.windows import spans_of

from retaild.api import BuildContext, ConfigError, Spec
from retaild.api.service import MissingSoftwareError
from retaild.pipeline.batch import BatchTable, batch_tables
from retaild.pipeline.streams import bronze_schema, stream_pipelines
from retaild.testing.memory_bus import MemoryBus
from retaild.testing.plugin import check_sample, specs_in
from retaild.testing.stream import entry, sale

FOLDER = Path(plugin.__file__).parent
KINDS = {"trainer", "service", "batch", "stream"}
HOUR = 3_600_000_000


@pytest.mark.parametrize(("kind", "spec"), specs_in(plugin))
def test_the_sample_configures_it(kind: str, spec: Spec) -> None:
    sample = (FOLDER / "sample.toml").read_text("utf-8")
    check_sample(kind, spec, tomllib.loads(sample), KINDS)
    assert sample in (FOLDER / "README.md").read_text("utf-8")


def test_it_can_lower_every_step_of_the_pipelines() -> None:
    (spec,) = plugin.retaild_stream_processors()
    for pipeline in stream_pipelines().values():
        assert pipeline.step_names() <= spec.supports


def test_the_metastore_is_made_of_the_same_software() -> None:
    assert SPARK == plugin.SOFTWARE


def test_without_the_software_people_are_told_the_command(tmp_path: Path) -> None:
    context = BuildContext("spark", tmp_path / "state", tmp_path, software_dir=tmp_path / "none")
    with pytest.raises(MissingSoftwareError, match="spark"):
        SparkService(SparkServiceConfig(), context).servers()


def test_a_log_that_is_not_in_kafka_is_refused(tmp_path: Path) -> None:
    processor = SparkProcessor(SparkStreamConfig(), BuildContext("stream", tmp_path, tmp_path))
    with pytest.raises(ConfigError, match="not in Kafka"):
        processor.open(MemoryBus())
    processor.close()


@pytest.mark.parametrize("table", batch_tables(), ids=lambda table: table.name)
def test_the_sql_of_gold_is_spark_s(table: BatchTable) -> None:
    found = sqlglot.parse_one(in_spark(table.sql), read="spark")
    assert found.named_selects == sqlglot.parse_one(table.sql, read="duckdb").named_selects


def test_spans_cover_the_windows_and_little_more() -> None:
    starts = np.array([0, HOUR, 5 * HOUR, 6 * HOUR, 9 * HOUR])
    assert spans_of(starts, HOUR) == [(0, 2 * HOUR), (5 * HOUR, 7 * HOUR), (9 * HOUR, 10 * HOUR)]


def test_many_spans_leave_out_the_widest_gaps_only() -> None:
    """A hundred hours, each with three between, and one far away."""
    starts = np.append(np.arange(0, 400 * HOUR, 4 * HOUR), 9_000 * HOUR)
    found = spans_of(starts, HOUR)
    assert len(found) == 32
    assert found[-1] == (9_000 * HOUR, 9_001 * HOUR)
    assert all(any(first <= start < last for first, last in found) for start in starts.tolist())


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([], []), ([9], [[9]]), ([2, 2, 2], [[2, 2], [2]]), ([9, 1, 1, 3], [[9], [1, 1], [3]])],
)
def test_pieces_hold_as_many_rows_as_fit(counts: list[int], expected: list[list[int]]) -> None:
    index = pa.table({"rows": pa.array(counts, pa.int64())})
    assert [piece["rows"].to_pylist() for piece in pieces(index, 4)] == expected


def test_records_become_rows_in_the_log_s_order_and_letters() -> None:
    schema = result_schema("sale")
    whole = entry(sale("a"), sale("b"), codec="arrow")
    later = entry(sale("c"))
    records = [
        _record(8, later.codec, later.payload, 1),
        _record(7, whole.codec, whole.payload, 2),
        _record(9, "json", b"{", 1),
    ]
    batch = pa.RecordBatch.from_pylist(records)
    found = pa.Table.from_batches(list(decoded(batch, "sale", "main", schema)))
    rows = found.filter(pa.compute.is_null(found[LETTERS]))
    assert rows["event_id"].to_pylist() == ["a", "b", "c"]
    assert rows["_offset"].to_pylist() == [7, 7, 8]
    assert rows[POSITION].to_pylist() == [0, 1, 2]
    (letters,) = found[LETTERS].drop_null().to_pylist()
    letter = pa.ipc.open_stream(letters).read_all()
    assert letter.schema.equals(bronze_schema("dead_letter"))
    assert letter["place"].to_pylist() == ["log entry 9"]


def _record(offset: int, codec: str, payload: bytes, rows: int) -> dict[str, object]:
    from datetime import UTC, datetime

    return {
        "offset": offset, "appended_at": datetime(2011, 12, 5, tzinfo=UTC), "payload": payload,
        "family": "sale", "codec": codec, "rows": rows, "rows_before": 0,
    }  # fmt: skip
