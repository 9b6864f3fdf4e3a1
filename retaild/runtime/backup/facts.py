"""What a data directory holds, in figures that a restored one must have again.

{"tables": {"silver.sale": {"version": 7, "rows": 541909, "sums": {"amount": "9747747.934"}}},
 "positions": {"tills": "<digest>"}, "champions": {"recommender": 1},
 "open_proposals": 160, "log": {"offset": 18, "rows": 549709}, "carried": 18}
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retaild.api.bus import Bus, OnServer
from retaild.api.lake import Lake
from retaild.config.paths import DataDir
from retaild.pipeline.streams import PROGRESS_TABLE, STREAM_APP

Facts = dict[str, Any]

_CHAMPIONS = """
SELECT name, version FROM registered_model_aliases WHERE alias = 'champion' ORDER BY name
"""


def state_facts(state_db: Path) -> Facts:
    """Positions of sources (as digests: they are nobody else's business), open proposals."""
    rows = _rows(state_db, "SELECT instance, position FROM source_position ORDER BY instance")
    ((open_ones,),) = _rows(state_db, "SELECT count(*) FROM proposal WHERE state = 'open'")
    positions = {name: hashlib.sha256(position.encode()).hexdigest() for name, position in rows}
    return {"positions": positions, "open_proposals": open_ones}


def champion_facts(mlflow_db: Path) -> Facts:
    champions = _rows(mlflow_db, _CHAMPIONS) if mlflow_db.is_file() else []
    return {"champions": {name: int(version) for name, version in champions}}


def lake_facts(lake: Lake, versions: Mapping[str, int]) -> Facts:
    """Rows of each table, and sums of silver's decimals, as of the versions."""
    tables = {name: _table(lake, name, version) for name, version in versions.items()}
    carried = None
    if PROGRESS_TABLE in versions:
        table = lake.table(PROGRESS_TABLE, versions[PROGRESS_TABLE])
        carried = table.transaction_version(STREAM_APP)
    return {"tables": tables, "carried": carried}


def _table(lake: Lake, name: str, version: int) -> Facts:
    table = lake.table(name, version)
    facts: Facts = {"version": version, "rows": int(table.count())}
    if name.startswith("silver."):
        facts["sums"] = _sums(table)
    return facts


def _sums(table: Any) -> dict[str, str | None]:
    """Decimal sums, a batch of rows at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    dataset = table.to_pyarrow_dataset()
    names = [field.name for field in dataset.schema if pa.types.is_decimal(field.type)]
    sums: dict[str, Any] = dict.fromkeys(names)
    for batch in dataset.to_batches(columns=names) if names else ():
        for name in names:
            wide = pa.decimal128(38, batch.schema.field(name).type.scale)
            part = pc.sum(batch.column(name).cast(wide)).as_py()
            if part is not None:
                sums[name] = part if sums[name] is None else sums[name] + part
    return {name: None if value is None else str(value) for name, value in sums.items()}


def log_facts(bus: Bus) -> Facts:
    """Of a log on a server, by the copied files alone: the server has gone on since."""
    if isinstance(bus, OnServer):
        end = bus.restored_end()
    else:
        with closing(bus):
            bus.open()
            end = bus.end()
    return {"log": {"offset": end.offset, "rows": end.rows}}


def all_facts(data: DataDir, bus: Bus) -> Facts:
    """Of a directory that nobody writes to. `bus` is not open."""
    lake = Lake(data.lake)
    versions = {name: lake.version(name) for name in lake.names()}
    return {
        **state_facts(data.state_db), **champion_facts(data.mlflow_db),
        **lake_facts(lake, versions), **log_facts(bus),
    }  # fmt: skip


def differences(expected: Mapping[str, Any], found: Mapping[str, Any], at: str = "") -> list[str]:
    """What is not the same, a sentence each."""
    said = []
    for key in sorted({*expected, *found}):
        place, old, new = f"{at}{key}", expected.get(key), found.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            said += differences(old, new, f"{place}: ")
        elif json.dumps(old) != json.dumps(new):
            said.append(f"{place} is {new!r}, was {old!r}")
    return said


def schemas(state_db: Path) -> dict[str, int]:
    """The versions of what was written, for whoever has to understand it."""
    from retaild.runtime.backup.manifest import FORMAT
    from retaild.runtime.serving.base import FORMAT as BASE_FORMAT

    ((version,),) = _rows(state_db, "PRAGMA user_version")
    return {"backup": FORMAT, "state.db": int(version), "online": BASE_FORMAT}


def known_schemas() -> dict[str, int]:
    """The newest that this version understands."""
    from retaild.runtime._state_schema import MIGRATIONS
    from retaild.runtime.backup.manifest import FORMAT
    from retaild.runtime.serving.base import FORMAT as BASE_FORMAT

    return {"backup": FORMAT, "state.db": len(MIGRATIONS), "online": BASE_FORMAT}


def _rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()
