"""The manifest: what a backup holds. Written last, read first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from retaild.runtime.backup.errors import NotABackupError

FORMAT = 1
NAME = "manifest.json"
#: More is no manifest of ours.
MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file: its path in the backup, bytes, SHA-256, and when the original was written (ns)."""

    name: str
    size: int
    sha256: str
    mtime: int = 0
    #: It can never change under its name: a later backup may link to it.
    final: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """Times are seconds since the epoch (UTC). `facts`: see `retaild.runtime.backup.facts`."""

    name: str
    started: float
    finished: float
    version: str
    schemas: Mapping[str, int]
    #: Machine, data directory and store it was made of.
    origin: Mapping[str, str]
    with_secrets: bool
    files: tuple[FileEntry, ...]
    facts: Mapping[str, Any]
    #: What is not in it, in sentences.
    left_out: tuple[str, ...] = ()
    format: int = FORMAT
    #: Bytes that were linked to an earlier backup instead of copied.
    linked: int = field(default=0, compare=False)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def summary(self) -> dict[str, Any]:
        """All but the list of files, for people and JSON."""
        shown = {
            key: getattr(self, key)
            for key in ("name", "started", "finished", "version", "origin", "with_secrets")
        }
        return {
            **shown, "bytes": self.size, "linked_bytes": self.linked, "files": len(self.files),
            "seconds": round(self.finished - self.started, 3), "left_out": list(self.left_out),
        }  # fmt: skip

    def dump(self) -> bytes:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False).encode()

    @classmethod
    def load(cls, raw: bytes, path: Path) -> Self:
        """Raises NotABackupError."""
        try:
            values = json.loads(raw)
            if values["format"] > FORMAT:
                raise NotABackupError(path, f"its format {values['format']} is a newer one")
            files = tuple(FileEntry(**file) for file in values.pop("files"))
            left_out = tuple(values.pop("left_out"))
            return cls(files=files, left_out=left_out, **values)
        except (ValueError, KeyError, TypeError) as error:
            raise NotABackupError(path, f"its manifest cannot be read ({error})") from None
