"""Kind `batch engine`: runs the SQL files of the gold layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from retaild.api.base import Spec

if TYPE_CHECKING:
    from retaild.pipeline.batch import BatchTable


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One table built: its rows, its new Delta version, the versions it read, seconds taken."""

    table: str
    rows: int
    version: int
    read_versions: dict[str, int]
    seconds: float


class BatchEngine(Protocol):
    def open(self) -> None: ...

    def run(self, tables: Sequence[BatchTable]) -> list[BatchResult]:
        """Build the tables in the given order (each may read those before it)."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEngineSpec(Spec):
    """Registers a batch engine. `build` returns a BatchEngine. `dialect` is sqlglot's name."""

    dialect: str = "duckdb"
