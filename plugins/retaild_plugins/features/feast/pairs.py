"""The different (entity, moment) pairs in a table, and which pair each of its rows is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from retaild_plugins.features.feast.errors import WrongEntitiesError

#: The moment column of every entity table.
MOMENT = "event_timestamp"
_UTC = pa.timestamp("us", tz="UTC")


def distinct_pairs(rows: pa.Table, entity: str) -> tuple[pa.Table, pa.Array]:
    """(pairs, index): `pairs` has columns `entity` and MOMENT, without nulls.

    `index` (int64, one per row) is the row's place in `pairs`; null where the row's entity or
    moment is null. Raises WrongEntitiesError.
    """
    who = _encoded(rows, entity, pa.string())
    when = _encoded(rows, MOMENT, _UTC)
    width = len(who.dictionary) + 1  # one more: null
    keys = _codes(when) * width + _codes(who)
    unique, inverse = np.unique(keys, return_inverse=True)
    moments, entities = unique // width, unique % width
    known = (entities < width - 1) & (moments < len(when.dictionary))
    pairs = pa.table(
        {
            entity: who.dictionary.take(pa.array(entities[known])),
            MOMENT: when.dictionary.take(pa.array(moments[known])),
        }
    )
    place = np.cumsum(known) - 1
    return pairs, pa.array(place[inverse], pa.int64(), mask=~known[inverse])


def _encoded(rows: pa.Table, name: str, wanted: pa.DataType) -> Any:
    if name not in rows.column_names:
        raise WrongEntitiesError(name, rows.column_names)
    column = rows[name]
    zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
    if wanted == _UTC and not zoned:
        raise WrongEntitiesError(name, [f"{f.name} ({f.type})" for f in rows.schema])
    return pc.dictionary_encode(column.cast(wanted).combine_chunks())


def _codes(encoded: Any) -> Any:
    """Index of each value in the dictionary; null is the one after the last."""
    return encoded.indices.fill_null(len(encoded.dictionary)).to_numpy().astype(np.int64)
