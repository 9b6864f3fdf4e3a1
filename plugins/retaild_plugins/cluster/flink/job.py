"""The Flink job, handed in by Flink's own Python: `job.py < spec.json`; prints the job's id.

Kafka -> a Python function that decodes and checks entries -> files that are finished by
checkpoints, so that each entry is in exactly one finished file. Beside it the same events, by
windows of event time: after each bundle of entries, what the windows that it touched come to goes
to the same files. The functions travel with the job; they find retaild where we have it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pandas as pd
from pyflink.common import Configuration, Duration, Row, Types, WatermarkStrategy
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.datastream.functions import FlatMapFunction, KeyedProcessFunction
from pyflink.datastream.state import MapStateDescriptor, ValueStateDescriptor
from pyflink.table import DataTypes, EnvironmentSettings, StreamTableEnvironment
from pyflink.table.udf import ScalarFunction, udf

#: Of records that somebody else wrote: no such family, so they become dead letters.
_FOREIGN = "foreign"


def reach(path: list[str]) -> None:
    """Find retaild, behind Flink's own libraries, which need their own versions."""
    sys.path += [folder for folder in path if folder not in sys.path]


class Decode(ScalarFunction):  # type: ignore[misc]
    """Some entries at a time; the last of them gets the events of all, the others nothing.

    The events as they go to the lake, then for each family with windows what touches which window.
    Flink takes no checkpoint between them: they are of one bundle.
    """

    def __init__(self, base: int, path: list[str], families: list[str]) -> None:
        self._base, self._path, self._families = base, path, families

    def open(self, function_context: Any) -> None:
        reach(self._path)

    def eval(self, offset: Any, at: Any, family: Any, codec: Any, rows: Any, before: Any,
             payload: Any) -> Any:  # fmt: skip
        from retaild.pipeline.entries import decode
        from retaild_plugins.cluster.flink.staged import packed
        from retaild_plugins.cluster.flink.windows import packed_touches

        moments = at.astype("datetime64[ms]").astype("int64")
        columns = (offset, moments, family, codec, rows, before, payload)
        entries = [self._entry(*values) for values in zip(*columns, strict=True)]
        batch = decode(entries)
        touched = [packed_touches(name, batch.tables.get(name)) for name in self._families]
        nothing: list[list[bytes | None] | None] = [None] * (len(entries) - 1)
        return pd.Series([*nothing, [packed(entries, batch), *touched]], dtype=object)

    def _entry(self, offset: int, at_ms: int, family: str | None, codec: str | None,
               rows: str | None, before: str | None, payload: bytes | None) -> Any:  # fmt: skip
        from retaild.api import Entry, LogEntry

        at, offset = int(at_ms) / 1000, self._base + int(offset)
        try:
            if codec not in ("json", "arrow") or not family:
                raise ValueError(codec)
            entry = Entry(family, codec, int(rows or ""), payload or b"")  # type: ignore[arg-type]
            return LogEntry(offset, int(before or ""), at, entry)
        except ValueError:
            return LogEntry(offset, 0, at, Entry(_FOREIGN, "json", 1, payload or b""))


class Touches(FlatMapFunction):  # type: ignore[misc]
    """What a bundle has for the windows of each keys: one element for each."""

    def __init__(self, path: list[str]) -> None:
        self._path = path

    def open(self, runtime_context: Any) -> None:
        reach(self._path)

    def flat_map(self, value: Any) -> Any:
        from retaild_plugins.cluster.flink.windows import unpacked_touches

        for keys, at, rows in unpacked_touches(value[0]):
            yield Row(keys, at, rows)


class Moment(TimestampAssigner):  # type: ignore[misc]
    """Of the newest event of a touch."""

    def extract_timestamp(self, value: Any, record_timestamp: int) -> int:
        return int(value[1])


class Windows(KeyedProcessFunction):  # type: ignore[misc]
    """Tumbling windows of event time, which say what they come to whenever they are touched.

    Not Flink's own window operator: that takes each window of a bundle as an element with calls
    between Java and Python of its own, some ten milliseconds of a core each.
    """

    def __init__(self, family: str, path: list[str]) -> None:
        self._family, self._path = family, path

    def open(self, runtime_context: Any) -> None:
        reach(self._path)
        from retaild_plugins.cluster.flink.windows import OpenWindows, flink_windows

        state = Types.PICKLED_BYTE_ARRAY()
        self._windows = OpenWindows(
            flink_windows()[self._family],
            runtime_context.get_state(ValueStateDescriptor("starts", state)),
            runtime_context.get_map_state(MapStateDescriptor("fillings", Types.LONG(), state)),
        )
        runtime_context.get_metrics_group().gauge("late_rows", lambda: self._windows.late)

    def process_element(self, value: Any, ctx: Any) -> Any:
        from retaild_plugins.cluster.flink.staged import packed_windows

        keys, _, rows = value
        found = self._windows.touched(keys, rows, ctx.timer_service().current_watermark())
        if found:
            yield Row(packed_windows(self._family, found))


def main() -> None:
    spec = json.load(sys.stdin)
    config = Configuration()
    for key, value in spec["flink"].items():
        config.set_string(key, value)
    environment = StreamExecutionEnvironment.get_execution_environment(config)
    settings = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(config)
    tables = StreamTableEnvironment.create(environment, settings.build())
    families = list(spec["windows"])
    decode = udf(
        Decode(spec["base"], spec["path"], families),
        result_type=DataTypes.ARRAY(DataTypes.BYTES()), func_type="pandas",
    )  # fmt: skip
    tables.create_temporary_function("decoded", decode)
    tables.execute_sql(f"CREATE TABLE log ({_LOG}) WITH ({_options(spec['source'])})")
    tables.execute_sql(f"CREATE TABLE staged (content BYTES) WITH ({_options(spec['sink'])})")
    # By way of a stream: SQL over it never decodes twice.
    entries = tables.to_data_stream(tables.sql_query(_DECODED))
    tables.create_temporary_view("entries", entries)
    contents = ["SELECT found[1] AS content FROM entries WHERE found IS NOT NULL"]
    for number, family in enumerate(families):
        own = tables.to_data_stream(tables.sql_query(_TOUCHES.format(number + 2)))
        values = windowed(own, family, spec["path"], spec["windows"][family])
        tables.create_temporary_view(f"windows_{number}", values)
        contents.append(f"SELECT content FROM windows_{number}")
    statements = tables.create_statement_set()
    statements.add_insert_sql(f"INSERT INTO staged {' UNION ALL '.join(contents)}")
    statements.attach_as_datastream()
    client = environment.execute_async(spec["flink"]["pipeline.name"])
    print(client.get_job_id(), flush=True)


def windowed(touches: DataStream, family: str, path: list[str], out_of_order_ms: int) -> DataStream:
    """What the family's windows come to, as `content`.

    What comes later than the lateness is not added: the lake's side sees that rows are missing.
    """
    content = Types.PRIMITIVE_ARRAY(Types.BYTE())
    watermarks = WatermarkStrategy.for_bounded_out_of_orderness(Duration.of_millis(out_of_order_ms))
    return (
        touches.flat_map(Touches(path), Types.ROW([Types.STRING(), Types.LONG(), content]))
        .assign_timestamps_and_watermarks(watermarks.with_timestamp_assigner(Moment()))
        .key_by(lambda touch: touch[0], Types.STRING())
        .process(Windows(family, path), Types.ROW_NAMED(["content"], [content]))
    )


_LOG = """payload BYTES,
  headers MAP<STRING, BYTES> METADATA VIRTUAL,
  place BIGINT METADATA FROM 'offset' VIRTUAL,
  appended TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL"""

_DECODED = """SELECT decoded(
    place, CAST(appended AS TIMESTAMP(3)), CAST(headers['family'] AS STRING),
    CAST(headers['codec'] AS STRING), CAST(headers['rows'] AS STRING),
    CAST(headers['rows_before'] AS STRING), payload
  ) AS found FROM log"""

_TOUCHES = "SELECT found[{0}] AS touched FROM entries WHERE found[{0}] IS NOT NULL"


def _options(options: dict[str, str]) -> str:
    return ", ".join(f"{_text(key)} = {_text(value)}" for key, value in options.items())


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


if __name__ == "__main__":
    main()
