"""The Flink job, handed in by Flink's own Python: `job.py < spec.json`; prints the job's id.

Kafka -> a Python function that decodes and checks entries -> files that are finished by
checkpoints, so that each entry is in exactly one finished file. The function travels with the job;
it finds retaild where we have it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pandas as pd
from pyflink.common import Configuration
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment
from pyflink.table.udf import ScalarFunction, udf

#: Of records that somebody else wrote: no such family, so they become dead letters.
_FOREIGN = "foreign"


class Decode(ScalarFunction):  # type: ignore[misc]
    """Some entries at a time; the last of them gets the events of all, the others nothing.

    Flink takes no checkpoint between them: they are of one bundle.
    """

    def __init__(self, base: int, path: list[str]) -> None:
        self._base = base
        self._path = path

    def open(self, function_context: Any) -> None:
        # Behind Flink's own libraries, which need their own versions.
        sys.path += [folder for folder in self._path if folder not in sys.path]

    def eval(self, offset: Any, at: Any, family: Any, codec: Any, rows: Any, before: Any,
             payload: Any) -> Any:  # fmt: skip
        from retaild_plugins.cluster.flink.staged import packed

        moments = at.astype("datetime64[ms]").astype("int64")
        columns = (offset, moments, family, codec, rows, before, payload)
        entries = [self._entry(*values) for values in zip(*columns, strict=True)]
        nothing: list[bytes | None] = [None] * (len(entries) - 1)
        return pd.Series([*nothing, packed(entries)], dtype=object)

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


def main() -> None:
    spec = json.load(sys.stdin)
    config = Configuration()
    for key, value in spec["flink"].items():
        config.set_string(key, value)
    settings = EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(config)
    tables = TableEnvironment.create(settings.build())
    decode = udf(
        Decode(spec["base"], spec["path"]), result_type=DataTypes.BYTES(), func_type="pandas"
    )
    tables.create_temporary_function("decoded", decode)
    tables.execute_sql(f"CREATE TABLE log ({_LOG}) WITH ({_options(spec['source'])})")
    tables.execute_sql(f"CREATE TABLE staged (content BYTES) WITH ({_options(spec['sink'])})")
    client = tables.execute_sql(_QUERY).get_job_client()
    print(client.get_job_id(), flush=True)


_LOG = """payload BYTES,
  headers MAP<STRING, BYTES> METADATA VIRTUAL,
  place BIGINT METADATA FROM 'offset' VIRTUAL,
  appended TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL"""

_QUERY = """INSERT INTO staged SELECT content FROM (
  SELECT decoded(
    place, CAST(appended AS TIMESTAMP(3)), CAST(headers['family'] AS STRING),
    CAST(headers['codec'] AS STRING), CAST(headers['rows'] AS STRING),
    CAST(headers['rows_before'] AS STRING), payload
  ) AS content FROM log
) WHERE content IS NOT NULL"""


def _options(options: dict[str, str]) -> str:
    return ", ".join(f"{_text(key)} = {_text(value)}" for key, value in options.items())


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


if __name__ == "__main__":
    main()
