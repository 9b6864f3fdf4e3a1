"""Base snapshots: what the server must know at its start, as of an offset of the log.

A snapshot is a directory `base-<offset>` of JSON columns (small tables of texts) and `.npy` arrays
(mapped into memory, read when touched). It appears by rename, so a reader sees all of it or none.
Times are seconds since the epoch (UTC); amounts of money are ten-thousandths of the currency unit.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Raised when a reader could no longer understand what an older writer wrote.
FORMAT = 1
_PREFIX = "base-"

Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Base:
    """A snapshot opened.

    `cuts` maps a family to the offset below which its events are included; `offset` is where the
    reader of the log begins. Arrays `x_start` hold, for row i, the slice start[i]:start[i+1] of the
    arrays `x_*`. Products and customers are meant by their row in `products` and `customers`.
    """

    offset: int
    cuts: dict[str, int]
    meta: dict[str, Any]
    products: Columns
    customers: Columns
    announced: list[dict[str, Any]]
    activity: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def empty(cls) -> Base:
        """What is known before the first snapshot: nothing."""
        none: NDArray[Any] = np.zeros(0, np.uint64)
        arrays = dict.fromkeys(("seen", "receipt_keys", "line_keys"), none)
        meta = {"format": FORMAT, "newest_sale": 0.0}
        products: Columns = {"product_id": []}
        return cls(0, {}, meta, products, {"customer_id": []}, [], {}, arrays)


def write_base(
    folder: Path,
    offset: int,
    tables: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
) -> Path:
    """Write `base-<offset>` below `folder`, durable when it returns; replaces one of that name."""
    target = folder / f"{_PREFIX}{offset:020d}"
    work = folder / f".{target.name}.{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name, table in tables.items():
        _write_bytes(work / f"{name}.json", json.dumps(table, ensure_ascii=False).encode())
    for name, array in arrays.items():
        with (work / f"{name}.npy").open("wb") as file:
            np.save(file, np.ascontiguousarray(array))
            file.flush()
            os.fsync(file.fileno())
    _sync_folder(work)
    if target.exists():
        shutil.rmtree(target)
    work.rename(target)
    _sync_folder(folder)
    return target


def read_base(path: Path) -> Base:
    """Open a snapshot; raises OSError or ValueError if it is gone or not whole."""
    meta = _read_json(path / "meta.json")
    if meta["format"] != FORMAT:
        raise ValueError(f"{path.name} has format {meta['format']}, not {FORMAT}.")
    # Plain views: slices of np.memmap itself cost ten times as much.
    arrays = {f.stem: np.asarray(np.load(f, mmap_mode="r")) for f in path.glob("*.npy")}
    return Base(
        offset=int(meta["offset"]),
        cuts=meta["cuts"],
        meta=meta,
        products=_read_json(path / "products.json"),
        customers=_read_json(path / "customers.json"),
        announced=_read_json(path / "announced.json"),
        activity=_read_json(path / "activity.json"),
        arrays=arrays,
    )


def set_aside_base(path: Path) -> Path:
    """Rename a snapshot that cannot be read; the one before it, or the log, takes its place."""
    for number in range(1, 1_000_000):
        target = path.with_name(f"damaged-{path.name}-{number}")
        if not target.exists():
            path.rename(target)
            return target
    raise AssertionError("a million broken snapshots")


def bases(folder: Path) -> list[Path]:
    """All snapshots, newest (by offset, then by time of writing) first."""
    found = [p for p in folder.glob(f"{_PREFIX}*") if p.is_dir()] if folder.is_dir() else []
    return sorted(found, key=lambda p: p.name, reverse=True)


def prune(folder: Path, keep: int = 2) -> None:
    """Remove all but the newest `keep` snapshots, and what crashed writers left."""
    for path in [*bases(folder)[keep:], *folder.glob(f".{_PREFIX}*")]:
        shutil.rmtree(path, ignore_errors=True)


def pack(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Texts as (UTF-8 bytes, start of each and the end)."""
    encoded = [text.encode() for text in texts]
    start = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(piece) for piece in encoded], out=start[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), start


def _write_bytes(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _sync_folder(path: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
