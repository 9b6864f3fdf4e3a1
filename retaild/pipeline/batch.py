"""Batch steps: one SQL file per gold table, in the dialect DuckDB and Spark share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class BatchTable:
    """A gold table: its name, the tables its SQL reads, the SQL, a sentence on what it holds."""

    name: str
    reads: tuple[str, ...]
    sql: str
    summary: str

    def words(self) -> frozenset[str]:
        """Every word of the SQL: the columns it reads are among them."""
        return frozenset(re.findall(r"[A-Za-z_]\w*", re.sub(r"--.*", "", self.sql)))


@cache
def batch_tables() -> tuple[BatchTable, ...]:
    """All gold tables in build order: a table comes after those that it reads."""
    folder = resources.files("retaild.pipeline") / "sql"
    found = [_parse(f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith(".sql")]
    return _ordered(sorted(found, key=lambda table: table.name))


def _parse(text: str) -> BatchTable:
    """Header lines `-- table: x`, `-- reads: a, b`, `-- summary: ...`, then one SELECT.

    In the SQL, `silver.sale` is written `silver_sale`: the engines register tables that way.
    """
    header = dict(re.findall(r"^-- (table|reads|summary): (.+)$", text, re.MULTILINE))
    reads = tuple(name.strip() for name in header["reads"].split(","))
    return BatchTable(header["table"], reads, text, header["summary"])


def _ordered(tables: list[BatchTable]) -> tuple[BatchTable, ...]:
    known = {table.name for table in tables}
    done: list[BatchTable] = []
    waiting = list(tables)
    while waiting:
        built = {table.name for table in done}
        ready = [t for t in waiting if all(r not in known or r in built for r in t.reads)]
        if not ready:
            raise ValueError(f"The SQL files read one another in a circle: {waiting}")
        done += ready
        waiting = [t for t in waiting if t not in ready]
    return tuple(done)
