"""Whether a backup is as it was written, and whether it can be lived from."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from retaild.api.bus import Bus
from retaild.config.paths import DataDir
from retaild.runtime.backup import facts, gather
from retaild.runtime.backup.manifest import Manifest
from retaild.runtime.backup.reading import Digests, size_on_disk, visit_files
from retaild.runtime.backup.restore import Progress, refuse_too_new, restore


@dataclass(frozen=True, slots=True)
class Verdict:
    manifest: Manifest
    problems: tuple[str, ...]
    #: What was counted in the restored copy; empty unless it was asked for.
    facts: dict[str, Any]


def verify(path: Path, progress: Progress) -> Verdict:
    """Read every byte and compare with the manifest. Raises what reading raises."""
    total, done = max(1, size_on_disk(path)), 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        progress(min(done / total, 0.99), "reading")

    digests = Digests(told)

    def take(name: str, source: IO[bytes], _size: int) -> None:
        digests.take(name, source)

    manifest = visit_files(path, take)
    refuse_too_new(path, manifest)
    return Verdict(manifest, tuple(digests.problems(manifest)), {})


def verify_deeply(
    path: Path, scratch: Path, bus_of: Callable[[DataDir], Bus], progress: Progress
) -> Verdict:
    """Restore it below `scratch`, open everything, count, compare; the copy is removed again.

    `bus_of` builds the bus of a data directory. Raises what restoring raises.
    """
    with tempfile.TemporaryDirectory(prefix="retaild-verify-", dir=scratch) as folder:
        data = DataDir(Path(folder) / "data")
        manifest = restore(path, data.root, lambda done, text: progress(done * 0.7, text))
        progress(0.7, "opening the databases")
        problems = [said for file in gather.databases(data) if (said := _unsound(file, data))]
        progress(0.8, "counting rows")
        found = facts.all_facts(data, bus_of(data))
        problems += facts.differences(manifest.facts, found)
    return Verdict(manifest, tuple(problems), found)


def _unsound(path: Path, data: DataDir) -> str:
    """What sqlite says against a file; empty if nothing."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    return "" if verdict == "ok" else f"{path.relative_to(data.root)}: {verdict}"
