"""The backups that lie in a folder: list them, remove old ones."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from retaild.runtime.backup.errors import NotABackupError
from retaild.runtime.backup.manifest import MAX_BYTES, NAME, Manifest
from retaild.runtime.backup.places import ARCHIVES, PARTIAL


@dataclass(frozen=True, slots=True)
class Shelved:
    path: Path
    manifest: Manifest


def read_manifest(folder: Path) -> Manifest:
    """Of a backup that is a directory. Raises NotABackupError."""
    path = folder / NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise NotABackupError(folder, "its manifest is too large")
        return Manifest.load(path.read_bytes(), folder)
    except OSError:
        raise NotABackupError(folder) from None


def shelved(folder: Path) -> list[Shelved]:
    """Finished backups that are directories in `folder`, newest first."""
    found = []
    for path in folder.glob(f"*/{NAME}"):
        if not path.parent.name.endswith(PARTIAL):
            try:
                found.append(Shelved(path.parent, read_manifest(path.parent)))
            except NotABackupError:
                continue
    return sorted(found, key=lambda one: one.manifest.finished, reverse=True)


def archives(folder: Path) -> list[Path]:
    """Finished archives in `folder`; what is in them is known only by reading them whole."""
    return sorted(path for path in folder.glob("*") if path.name.endswith(ARCHIVES))


def newest(folder: Path) -> Shelved | None:
    return next(iter(shelved(folder)), None)


def own(folder: Path, data_root: Path) -> list[Shelved]:
    """Those of this data directory, newest first: several shops may share a folder."""
    origin = str(data_root.absolute())
    return [one for one in shelved(folder) if one.manifest.origin["data"] == origin]


def prune(folder: Path, keep: int, data_root: Path) -> list[Path]:
    """Remove all but the newest `keep` of this data directory; those that went.

    Files that several backups share stay with the others. One of another shop is never touched.
    """
    gone = []
    for one in own(folder, data_root)[max(1, keep) :]:
        # The manifest first: what is half removed is no backup any more.
        (one.path / NAME).unlink()
        shutil.rmtree(one.path)
        gone.append(one.path)
    return gone
