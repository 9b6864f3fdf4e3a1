"""Parameters that many routes share, with their limits."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

CustomerId = Annotated[
    str, Path(min_length=1, max_length=200, description="As the till writes it.")
]
ProductId = Annotated[str, Path(min_length=1, max_length=200, description="As the till writes it.")]
Name = Annotated[str, Path(min_length=1, max_length=200)]
Count = Annotated[
    int | None, Query(ge=1, le=100, description="Products in the slate; default: configured.")
]
Search = Annotated[str, Query(max_length=200, description="Words to look for.")]
Limit = Annotated[int, Query(ge=1, le=500)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Lines = Annotated[int, Query(ge=1, le=5000, description="The last so many lines.")]
#: SQLite's integers end there.
RowId = Annotated[int, Path(ge=1, le=2**63 - 1)]
