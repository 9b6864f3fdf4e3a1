"""Gold tables as Parquet files that DuckDB reads by itself.

DuckDB would need an extension, fetched from the net, to read Delta. A feature table is small, so
its present version is copied, and copied anew when the Delta version has changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from retaild.api import Lake
from retaild.pipeline.features import FeatureView

#: Our names of types -> Arrow.
TYPES = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
_VERSION = b"retaild.delta_version"


@dataclass(frozen=True, slots=True)
class Export:
    """The Parquet copies of feature views' tables below `root`."""

    lake: Lake
    root: Path

    def path(self, view: FeatureView) -> Path:
        return self.root / f"{view.name}.parquet"

    def refresh(self, view: FeatureView) -> bool:
        """Bring the copy up to date; True if it was not. A missing table gives an empty copy."""
        path = self.path(view)
        version = self.lake.version(view.table) if self.lake.exists(view.table) else -1
        schema = table_schema(view).with_metadata({_VERSION: str(version).encode()})
        if _is_as(path, schema):
            return False
        if version < 0:
            table = schema.empty_table()
        else:
            names = schema.names
            rows = self.lake.dataset(view.table, version).to_table(columns=names)
            table = rows.cast(schema).replace_schema_metadata(schema.metadata)
        _write(table, path)
        return True


def table_schema(view: FeatureView) -> pa.Schema:
    """The columns that a view uses of its table."""
    return pa.schema(
        [
            pa.field(view.entity, pa.string()),
            pa.field(view.event_timestamp, pa.timestamp("us", tz="UTC")),
            *(pa.field(feature.name, TYPES[feature.type]) for feature in view.features),
        ]
    )


def _is_as(path: Path, wanted: pa.Schema) -> bool:
    """Whether the file is a copy of the wanted version; one that cannot be read is none."""
    try:
        found = pq.read_schema(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        return False
    known = (found.metadata or {}).get(_VERSION)
    return bool(found.equals(wanted) and known == wanted.metadata[_VERSION])


def _write(table: pa.Table, path: Path) -> None:
    """Whole or not at all: a join in another process reads the old file to its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    pq.write_table(table, draft, compression="zstd")
    draft.replace(path)
