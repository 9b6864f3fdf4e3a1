"""What a backup copies, in the order in which it must be copied."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from retaild.api.bus import Bus, Copyable, FileCopy, LogEnd, OnServer
from retaild.api.lake import Lake
from retaild.config.active import ActiveStore, secret_references
from retaild.config.locate import config_files
from retaild.config.paths import DataDir
from retaild.runtime.backup.places import Item, Kind

if TYPE_CHECKING:
    from deltalake import DeltaTable

#: Of the running processes, or made again by them; lake and log have an order of their own.
_NOT_STATE = frozenset({"run", "logs", "lake", "log", "secrets", "restored"})
#: Never changed under their names once they are there.
_FINAL = ("models", "mlartifacts", "online")
_SQLITE = b"SQLite format 3\0"
_COMPANIONS = ("-wal", "-shm", "-journal")
#: Parts of plugins' own environments: they name paths of this machine.
_MACHINE_BOUND = "venv"
_NO_LOG = "The log: its plugin `bus` keeps it where no backup reaches."


def databases(data: DataDir) -> list[Path]:
    """Every sqlite file, state.db first: what is in it refers to everything else."""
    found = [path for path in _state_files(data) if _is_sqlite(path)]
    return sorted(found, key=lambda path: (path != data.state_db, str(path)))


def state_items(data: DataDir) -> Iterator[Item]:
    """All other files of the data directory but those of lake and log."""
    for path in _state_files(data):
        if path.name.endswith(_COMPANIONS) or _is_sqlite(path):
            continue
        name = path.relative_to(data.root)
        with suppress(FileNotFoundError):  # a scratch file of somebody who is at work
            yield _item(f"data/{name}", path, "final" if name.parts[0] in _FINAL else "loose")


def _state_files(data: DataDir) -> Iterator[Path]:
    for folder, folders, files in os.walk(data.root):
        if Path(folder) == data.root:
            folders[:] = [name for name in folders if name not in _NOT_STATE]
        # Begun and not finished (`.base-1.4711`): whoever writes it renames it when it is whole.
        folders[:] = sorted(n for n in folders if n != _MACHINE_BOUND and not n.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        return False


def _item(name: str, path: Path, kind: Kind, size: int | None = None) -> Item:
    found = path.stat()
    length = found.st_size if size is None else size
    return Item(name, path, length, found.st_mtime_ns, kind, found.st_ino)


def table_items(lake: Lake, name: str, table: DeltaTable) -> list[Item]:
    """Data files of one version, then the log up to it. Raises FileNotFoundError.

    Data files and commits are never changed; the pointer to the last checkpoint is left out if
    it points behind the version.
    """
    import pyarrow as pa

    root, version = lake.path(name), int(table.version())
    actions = pa.table(table.get_add_actions(flatten=True))
    # Relative to the table, and URL-encoded, as Delta says.
    data = [root / unquote(path) for path in actions["path"].to_pylist()]
    log = [path for path in (root / "_delta_log").iterdir() if _upto(path, version)]
    below = f"data/lake/{root.relative_to(lake.root)}"
    return [
        _item(f"{below}/{path.relative_to(root)}", path, "final") for path in (*data, *sorted(log))
    ]


def _upto(path: Path, version: int) -> bool:
    number = path.name[:20]
    return path.is_file() and number.isdecimal() and int(number) <= version


def log_items(
    data: DataDir, bus: Bus, scratch: Path, carried: int, first: int
) -> tuple[LogEnd, list[Item], str]:
    """The log up to its confirmed end, and what is not in it, in a sentence.

    Of a log on a server, what a restored shop has to read again: `carried` is where the copied
    lake ends in it, `first` where the copied server's base does, if that is earlier.
    """
    if isinstance(bus, Copyable):
        end, copies = bus.copies()
        left_out = ""
    elif isinstance(bus, OnServer):
        own = scratch / "tail"
        own.mkdir()
        tail = bus.tail(carried, first, own)
        end, copies, left_out = tail.end, tail.files, tail.left_out
    else:
        return bus.end(), [], _NO_LOG
    return end, [_log_item(data, copy, scratch, at) for at, copy in enumerate(copies)], left_out


def _log_item(data: DataDir, copy: FileCopy, scratch: Path, number: int) -> Item:
    path, kind = copy.source or copy.path, copy.kind
    if copy.content is not None:
        path, kind = scratch / f"{number}-{copy.path.name}", "prefix"
        path.write_bytes(copy.content)
    return _item(f"data/{copy.path.relative_to(data.root)}", path, kind, copy.size)


def read_from(names: Iterable[str], carried: int) -> int:
    """Where a server that starts from the copied files reads the log on; `carried` at the latest.

    `names`: of the copied files.
    """
    found = (re.match(r"data/online/base-(\d+)[^/]*/", name) for name in names)
    return min(max((int(match[1]) for match in found if match), default=0), carried)


def config_items(config: Path | None, data: DataDir) -> list[Item]:
    """The files people write, and the configuration that is in force."""
    files = [path for path in config_files(config) if path.is_file()]
    items = [_item(f"config/{path.relative_to(files[0].parent)}", path, "loose") for path in files]
    active = ActiveStore(data).path
    return [*items, _item("config/active.json", active, "loose")] if active.is_file() else items


def secret_items(values: object, base: Path, data: DataDir) -> list[Item]:
    """Files that the configuration refers to as secrets, and those that retaild keeps itself."""
    named = [
        base / where["file"] for where in secret_references(values).values() if "file" in where
    ]
    own = [path for path in sorted((data.root / "secrets").rglob("*")) if path.is_file()]
    items = [_item(f"data/{path.relative_to(data.root)}", path, "loose") for path in own]
    for number, path in enumerate(sorted({path for path in named if path.is_file()} - {*own})):
        items.append(_item(f"secrets/{number}-{path.name}", path, "loose"))
    return items


def total(items: Sequence[Item]) -> int:
    return sum(item.size for item in items)
