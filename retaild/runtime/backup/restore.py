"""Restoring a backup into an empty directory."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO

from retaild.config.paths import DataDir
from retaild.runtime.backup.errors import (
    DamagedBackupError,
    NoRoomError,
    NotEmptyError,
    TooNewBackupError,
)
from retaild.runtime.backup.facts import known_schemas
from retaild.runtime.backup.manifest import Manifest
from retaild.runtime.backup.places import free_bytes, sync_folder
from retaild.runtime.backup.reading import Digests, size_on_disk, visit_files

Progress = Callable[[float, str], None]

_RESERVE = 16 * 1024 * 1024
#: Columns of mlflow.db that hold places below the old data directory.
_PLACES = ("artifact_location", "artifact_uri", "source", "storage_location")


def restore(
    backup: Path, root: Path, progress: Progress = lambda _fraction, _text: None
) -> Manifest:
    """Put the data into `root`, which must be empty or absent; state.db comes last.

    The configuration and secrets of the backup come below `root/restored`. Raises RetaildError;
    then nothing but an empty directory is left.
    """
    root = root.absolute()
    # What is unpacked stands here until all of it is proven.
    work = DataDir(root).restoring
    if root.exists() and (not root.is_dir() or any(p != work for p in root.iterdir())):
        raise NotEmptyError(root)
    made = not root.exists()
    shutil.rmtree(work, ignore_errors=True)  # of a restore that was killed
    work.mkdir(parents=True, mode=0o700)
    try:
        manifest = _unpack(backup, work, progress)
        refuse_too_new(backup, manifest)
        _rehome(work / "data" / DataDir(root).mlflow_db.name, manifest.origin["data"], root)
    except BaseException:
        shutil.rmtree(root if made else work, ignore_errors=True)
        raise
    _move_in(work, root)
    return manifest


def _unpack(backup: Path, work: Path, progress: Progress) -> Manifest:
    """Raises DamagedBackupError if a byte is not as the manifest says."""
    total, done, name_now = max(1, size_on_disk(backup)), 0, ""

    def told(count: int) -> None:
        nonlocal done
        done += count
        progress(min(done / total, 0.99), name_now.removeprefix("data/"))

    digests = Digests(told)

    def write(name: str, source: IO[bytes], size: int) -> None:
        nonlocal name_now
        name_now = name
        free = free_bytes(work) - _RESERVE
        if size > free:
            raise NoRoomError(work.parent, size, max(0, free))
        target = work / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        mode = 0o640 if name.startswith("data/") else 0o600
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            digests.take(name, source, file)
            file.flush()
            os.fdatasync(file.fileno())

    manifest = visit_files(backup, write)
    if problems := digests.problems(manifest):
        raise DamagedBackupError(backup, problems)
    return manifest


def refuse_too_new(backup: Path, manifest: Manifest) -> None:
    """Raises TooNewBackupError."""
    known = known_schemas()
    for what, found in manifest.schemas.items():
        if found > known.get(what, found):
            raise TooNewBackupError(backup, what, found, known[what], manifest.version)


def _rehome(mlflow_db: Path, old: str, new: Path) -> None:
    """MLflow keeps absolute places: those below the old data directory become the new one's."""
    if not mlflow_db.is_file() or old == str(new):
        return
    with closing(sqlite3.connect(mlflow_db)) as connection, connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            names = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for column in names & {*_PLACES}:
                for prefix in ("file://", ""):
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE substr({column}, 1, ?) = ?",
                        (
                            f"{prefix}{new}/", len(f"{prefix}{old}/") + 1,
                            len(f"{prefix}{old}/"), f"{prefix}{old}/",
                        ),
                    )  # fmt: skip


def _move_in(work: Path, root: Path) -> None:
    kept = root / "restored"
    for name in ("config", "secrets"):
        if (work / name).exists():
            kept.mkdir(exist_ok=True, mode=0o700)
            (work / name).rename(kept / name)
    data = work / "data"
    for path in sorted(data.iterdir(), key=lambda path: path.name == "state.db"):
        path.rename(root / path.name)
    data.rmdir()
    work.rmdir()
    sync_folder(root)
