"""What readers hand to the mapping: rows that could be split into columns, and those that not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Rows in a chunk at most; also the most that an entry of the log may hold.
CHUNK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is no event: its number and line in the file (from 1), bytes and reason.

    `line` 0: the format has no lines.
    """

    row: int
    line: int
    raw: bytes
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a file.

    `table` has the columns of the file, text as `string`, or typed where the format has types;
    `rows` holds the number of each of its rows in the file (from 1). `raw` gives line number and
    bytes of a row of `table`. `count` is the number of rows read, those in `refused` included.
    """

    table: pa.Table
    rows: NDArray[np.int64]
    raw: Callable[[int], tuple[int, bytes]]
    count: int
    refused: list[Refused] = field(default_factory=list)
    #: The file ends here, as far as one can see now.
    last: bool = False
