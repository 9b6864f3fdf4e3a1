"""The configuration in force: files and environment as they were when they were last proven.

The daemon writes it; workers, components and jobs read it with `--config`. A file that is edited
on disk changes nothing until a reload has proven it. Secrets stand in it as references only.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from datetime import time as day_time
from pathlib import Path
from typing import Any, Self

from retaild.config.documents import Document, KeyPath
from retaild.config.faults import Fault
from retaild.config.locate import base_dir
from retaild.config.paths import DataDir

#: So many configurations are kept to look at.
KEEP = 10

Values = dict[str, Any]
#: (path of a setting, file, line).
Place = tuple[KeyPath, str, int]


@dataclass(frozen=True, slots=True)
class Active:
    """A configuration with its origin. `number` counts up; 0: never in force.

    `at`: seconds since the epoch (UTC); `main`: the file it was read from, if there was one;
    `sha256`: of the merged values and the directory where relative paths start.
    """

    base: str
    values: Values
    main: str | None = None
    places: tuple[Place, ...] = ()
    number: int = 0
    at: float = 0.0
    why: str = ""
    by: str = ""
    sha256: str = ""
    #: The data directory that the files ask for: `--data` may have been stronger.
    asked_data_dir: str = ""

    @classmethod
    def of(cls, document: Document, main: Path | None, data_dir: Path) -> Self:
        """As read from files and environment; times and dates become text, as JSON has none."""
        values = json.loads(json.dumps(document.values, default=_text))
        table, asked = values.setdefault("retaild", {}), ""
        if isinstance(table, dict):
            asked = str(table.get("data_dir", ""))
            table["data_dir"] = str(data_dir)
        places = tuple((path, file, line) for path, (file, line) in document.places.items())
        base = str(base_dir(main))
        digest = hashlib.sha256(json.dumps([base, values], sort_keys=True).encode()).hexdigest()
        name = str(main.absolute()) if main else None
        return cls(base, values, name, places, sha256=digest, asked_data_dir=asked)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError and ValueError."""
        try:
            stored = json.loads(path.read_text("utf-8"))
            places = tuple((tuple(keys), file, line) for keys, file, line in stored.pop("places"))
            return cls(places=places, **stored)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"this is no configuration of retaild: {error}") from None

    def write(self, path: Path) -> None:
        """In one step, and durably: a reader sees the old one or this; its owner alone may look."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(descriptor)
        beside.replace(path)

    def document(self) -> Document:
        return Document(self.values, {path: (file, line) for path, file, line in self.places})

    def facts(self) -> Values:
        """All but the values."""
        return {
            name: getattr(self, name) for name in ("number", "at", "why", "by", "main", "sha256")
        }


def is_active(path: Path | None) -> bool:
    """Whether a `--config` names one of these instead of a file that people write."""
    return path is not None and path.suffix == ".json"


def read_active_document(path: Path) -> tuple[Document, Path]:
    """The document and its base directory; unreadable: a document with the fault."""
    try:
        active = Active.read(path)
    except (OSError, ValueError) as error:
        hint = "Restart retaild: it writes this file from the configuration."
        fault = Fault(str(path), 0, "", f"Cannot read this file: {error}.", hint)
        return Document(faults=[fault]), path.parent
    return active.document(), Path(active.base)


class ActiveStore:
    """`run/active.json`, and by number below `run/configurations` what processes are given.

    A process keeps the file that it was started with: it comes back as it was, whatever a reload
    that runs meanwhile is about to do.
    """

    def __init__(self, data: DataDir) -> None:
        self.path = data.run / "active.json"
        self._kept = data.run / "configurations"

    def current(self) -> Active | None:
        """The last that was in force; None if no daemon has run here yet."""
        try:
            return Active.read(self.path)
        except (OSError, ValueError):
            return None

    def next_number(self) -> int:
        current = self.current()
        return max([0, *self._numbers(), *([current.number] if current else [])]) + 1

    def file(self, number: int) -> Path:
        return self._kept / f"{number}.json"

    def activate(self, candidate: Active, number: int, why: str, by: str) -> Active:
        """It works: from now on it is the one in force."""
        active = replace(candidate, number=number, why=why, by=by, at=time.time())
        active.write(self.file(number))
        active.write(self.path)
        return active

    def discard(self, number: int) -> None:
        self.file(number).unlink(missing_ok=True)

    def forget_unproven(self, but: int) -> None:
        """What a daemon that was killed in the middle of a reload has left."""
        for number in self._numbers():
            kept = self.get(number)
            if number != but and (kept is None or not kept.number):
                self.discard(number)

    def prune(self, in_use: Collection[Path] = ()) -> None:
        """Forget all but the last ones and those that a process may still be started with."""
        numbers = [active.number for active in self.history()]
        for number in self._numbers():
            if number not in numbers[:KEEP] and self.file(number) not in in_use:
                self.discard(number)

    def history(self) -> list[Active]:
        """Those that were in force, newest first; what cannot be read is left out."""
        found = (self.get(number) for number in reversed(self._numbers()))
        return [active for active in found if active is not None and active.number]

    def get(self, number: int) -> Active | None:
        try:
            return Active.read(self.file(number))
        except (OSError, ValueError):
            return None

    def _numbers(self) -> list[int]:
        names = (path.stem for path in self._kept.glob("*.json"))
        return sorted(int(name) for name in names if name.isdecimal())


def _text(value: Any) -> str:
    if isinstance(value, datetime | date | day_time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be kept")


def secret_references(value: Any, path: KeyPath = ()) -> dict[KeyPath, Mapping[str, str]]:
    """Path -> `{file = ...}` or `{credential = ...}`, wherever they stand in `value`."""
    if not isinstance(value, Mapping):
        return {}
    if len(value) == 1:
        (how, where) = next(iter(value.items()))
        if how in ("file", "credential") and isinstance(where, str) and path:
            return {path: {how: where}}
    found: dict[KeyPath, Mapping[str, str]] = {}
    for key, inner in value.items():
        found |= secret_references(inner, (*path, key))
    return found
