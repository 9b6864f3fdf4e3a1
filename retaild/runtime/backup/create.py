"""Making a backup of a data directory that is in use."""

from __future__ import annotations

import errno
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retaild import __version__
from retaild.api.lake import Lake
from retaild.runtime.backup import facts, gather
from retaild.runtime.backup.errors import (
    InsideDataError,
    NoRoomError,
    PlaceFailedError,
    UnreadableDataError,
)
from retaild.runtime.backup.locks import backup_lock, place_lock
from retaild.runtime.backup.manifest import FileEntry, Manifest
from retaild.runtime.backup.places import (
    ArchivePlace,
    ChangedError,
    DirectoryPlace,
    Item,
    Place,
    free_bytes,
    is_archive,
)
from retaild.runtime.backup.shelf import newest
from retaild.runtime.context import Context
from retaild.runtime.priority import BACKUP, giving_way

if TYPE_CHECKING:
    from deltalake import DeltaTable

Progress = Callable[[float, str], None]

#: A file or table that changes under our hands is tried so often, with growing pauses.
_ATTEMPTS = 6
_PAUSE = 0.25
#: Room that is left to others on the disk of the backup.
_RESERVE = 16 * 1024 * 1024
_LEFT_OUT = (
    "Logs, sockets and locks of the running processes.",
    "Old versions of the lake's tables.",
    "Python environments of installed plugins (`plugins/*/venv`): install those again.",
)
_NO_SECRETS = (
    "Secrets: the configuration names the files they are in (`--with-secrets` takes them along)."
)


@dataclass
class Backup:
    """One backup of `context`'s directory; `config` is the main file that people write."""

    context: Context
    config: Path | None
    with_secrets: bool = False
    progress: Progress = lambda _fraction, _text: None
    _files: list[FileEntry] = field(default_factory=list)
    _left_out: tuple[str, ...] = ()
    _done: int = 0
    _total: int = 1

    def create(self, destination: Path) -> tuple[Path, Manifest]:
        """Write it to a directory below `destination`, or to that archive. Raises RetaildError."""
        destination = destination.absolute()
        if destination.is_relative_to(self.context.data.root.absolute()):
            raise InsideDataError(destination, self.context.data.root)
        folder = destination.parent if is_archive(destination) else destination
        # Answers come first.
        with giving_way(BACKUP):
            return self._into(destination, folder)

    def _into(self, destination: Path, folder: Path) -> tuple[Path, Manifest]:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise PlaceFailedError(folder, error.strerror or str(error)) from error
        with backup_lock(self.context.data, self._say_waiting), place_lock(folder):
            return self._create(destination, folder)

    def _say_waiting(self) -> None:
        self.progress(0.0, "waiting for a job that removes files")

    def _create(self, destination: Path, folder: Path) -> tuple[Path, Manifest]:
        started = time.time()
        place = _place(destination, started)
        try:
            self._check_room(place, folder)
            known = self._copy_all(place)
            manifest = self._manifest(place, started, known)
            place.finish(manifest.dump())
        except BaseException as error:
            place.abandon()
            if isinstance(error, OSError) and error.errno in (
                errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS,
            ):  # fmt: skip
                raise PlaceFailedError(place.path, error.strerror or str(error)) from error
            raise
        return place.path, manifest

    # -- before --------------------------------------------------------------------------------

    def _check_room(self, place: Place, folder: Path) -> None:
        """An estimate by what is there now. Raises NoRoomError."""
        data, lake = self.context.data, self.context.lake()
        items = [*gather.state_items(data), *self._others()]
        for name in lake.names():
            items += gather.table_items(lake, name, lake.table(name))
        databases = sum(path.stat().st_size for path in gather.databases(data))
        log = sum(path.stat().st_size for path in data.log.rglob("*.log"))
        self._total = max(1, gather.total(items) + databases + log)
        linked = place.can_link if isinstance(place, DirectoryPlace) else lambda _item: False
        needed = databases + log + sum(item.size for item in items if not linked(item))
        free = free_bytes(folder) - _RESERVE
        if needed > free:
            raise NoRoomError(folder, needed, max(0, free))

    # -- copying -------------------------------------------------------------------------------

    def _copy_all(self, place: Place) -> dict[str, Any]:
        """In the order that makes it consistent; the facts of what was copied."""
        data = self.context.data
        known: dict[str, Any] = self._copy_databases(place)
        self._copy(place, gather.state_items(data))
        self._copy(place, self._others())
        lake = self.context.lake()
        versions = {name: self._copy_table(place, lake, name) for name in lake.names()}
        known |= facts.lake_facts(lake, versions)
        with closing(self.context.bus()) as bus:
            bus.open()
            carried = known["carried"] or 0
            first = gather.read_from((file.name for file in self._files), carried)
            end, items, left_out = gather.log_items(data, bus, place.scratch, carried, first)
            known["log"] = {"offset": end.offset, "rows": end.rows}
            self._left_out = (left_out,) if left_out else ()
            for item in items:
                self._add(place, item)
        return known

    def _copy_databases(self, place: Place) -> dict[str, Any]:
        data = self.context.data
        known: dict[str, Any] = {"champions": {}}
        for path in gather.databases(data):
            self._say(path.name)
            copy = place.scratch / path.name
            _online_copy(path, copy)
            name = f"data/{path.relative_to(data.root)}"
            self._add(place, Item(name, copy, copy.stat().st_size, kind="prefix"))
            if path == data.state_db:
                known |= {"schemas": facts.schemas(copy), **facts.state_facts(copy)}
            elif path == data.mlflow_db:
                known |= facts.champion_facts(copy)
            copy.unlink()
        return known

    def _others(self) -> list[Item]:
        data, settings = self.context.data, self.context.settings
        items = gather.config_items(self.config, data)
        if self.with_secrets:
            values = settings.model_dump(mode="json")
            items += gather.secret_items(values, settings.base_dir, data)
        return items

    def _copy(self, place: Place, items: Iterable[Item]) -> None:
        for item in items:
            with suppress(FileNotFoundError):  # a scratch file of somebody who has finished
                self._add(place, item)

    def _copy_table(self, place: Place, lake: Lake, name: str) -> int:
        """The version that was copied. Appends and compaction go on meanwhile."""
        table: DeltaTable = lake.table(name)
        for attempt in range(_ATTEMPTS):
            try:
                items = gather.table_items(lake, name, table)
                break
            except FileNotFoundError:  # its log was shortened at this moment
                time.sleep(_PAUSE * 2**attempt)
                table = lake.table(name)
        else:
            raise UnreadableDataError(lake.path(name), "its files keep changing")
        for item in items:
            self._add(place, item)
        return int(table.version())

    def _add(self, place: Place, item: Item) -> None:
        self._say(item.name)
        for attempt in range(_ATTEMPTS):
            try:
                self._files.append(place.add(item, self._told))
                return
            except ChangedError:
                time.sleep(_PAUSE * 2**attempt)
                found = item.path.stat()
                item = replace(item, size=found.st_size, mtime=found.st_mtime_ns)
        raise UnreadableDataError(item.path, "it is written anew all the time")

    def _told(self, count: int) -> None:
        self._done += count
        self._say("")

    def _say(self, text: str) -> None:
        self._text = text or getattr(self, "_text", "")
        self.progress(min(self._done / self._total, 0.99), self._text.removeprefix("data/"))

    # -- the end -------------------------------------------------------------------------------

    def _manifest(self, place: Place, started: float, known: dict[str, Any]) -> Manifest:
        root = self.context.data.root.absolute()
        origin = {
            "host": socket.gethostname(), "data": str(root),
            "store": self.context.settings.retaild.store,
        }  # fmt: skip
        left_out = (*self._left_out, *_LEFT_OUT)
        if not self.with_secrets:
            left_out = (*left_out, _NO_SECRETS)
        return Manifest(
            place.path.name, started, time.time(), __version__, known.pop("schemas"), origin,
            self.with_secrets, tuple(self._files), known, left_out, linked=place.linked,
        )  # fmt: skip


def _place(destination: Path, started: float) -> Place:
    if is_archive(destination):
        return ArchivePlace(destination)
    before = newest(destination)
    name = datetime.fromtimestamp(started, UTC).strftime("retaild-%Y%m%dT%H%M%SZ")
    taken = sum(1 for path in destination.glob(f"{name}*"))
    files = {file.name: file for file in before.manifest.files} if before else {}
    return DirectoryPlace(
        destination, f"{name}-{taken}" if taken else name, files, before.path if before else None
    )


def _online_copy(path: Path, target: Path) -> None:
    """One state of a database that others write to. Raises UnreadableDataError."""
    try:
        with closing(sqlite3.connect(path, timeout=30)) as source:
            source.execute("PRAGMA query_only = ON")
            with closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
                (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise UnreadableDataError(path, str(error)) from error
    if verdict != "ok":
        raise UnreadableDataError(path, str(verdict).splitlines()[-1])
