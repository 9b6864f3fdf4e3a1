"""Where the topic begins in retaild's numbering: behind what an earlier log held."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from retaild.api import LogEnd

_log = logging.getLogger(__name__)

NAME = "base.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """Of a restored directory: the log that it was backed up from.

    `base`, `end`: of that log. `tail`: so many entries and rows at the spool's beginning are
    copies of what that log holds.
    """

    base: LogEnd
    end: LogEnd
    tail: LogEnd


@dataclass(frozen=True, slots=True)
class Base:
    """`start`: the log's entry and rows at the topic's record 0. `identity`: the topic's own id,
    which another topic of that name does not have; empty where it is not known.
    """

    start: LogEnd = field(default_factory=lambda: LogEnd(0, 0))
    topic: str | None = None
    identity: str = ""
    #: Whether the topic is still that one is found out when the broker is first spoken to.
    origin: Origin | None = None
    #: Who reads on from this entry or a later one before `start` begins at `start`: what lay
    #: between is sent anew, behind it.
    since: int | None = None

    @classmethod
    def read(cls, path: Path) -> Base:
        """A directory without one begins at 0."""
        if not path.exists():
            return cls()
        found = json.loads(path.read_text("utf-8"))
        origin = found.get("restored_from")
        return cls(
            _end(found), found.get("topic"), found.get("id", ""),
            Origin(*(_end(origin[name]) for name in ("base", "end", "tail"))) if origin else None,
            found.get("since"),
        )  # fmt: skip

    def content(self) -> bytes:
        values: dict[str, Any] = {**_plain(self.start), "topic": self.topic, "id": self.identity}
        if self.since is not None:
            values["since"] = self.since
        if self.origin is not None:
            names = ("base", "end", "tail")
            values["restored_from"] = {name: _plain(getattr(self.origin, name)) for name in names}
        return json.dumps(values).encode()

    def write(self, path: Path) -> None:
        new = path.with_name(f"{path.name}.{os.getpid()}")
        with new.open("wb") as file:
            file.write(self.content())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


def take_base(path: Path, topic: str, seen: LogEnd) -> Base:
    """The base of `topic`; `seen`: the end of the log so far.

    If the topic is another than before, it begins behind what the one before held, as the lake's
    offsets must not be given out twice.
    """
    found = Base.read(path)
    if found.topic == topic:
        return found
    base = Base(found.start, topic)
    if found.topic is not None and found.origin is None:
        _log.warning("the log goes on in the topic %s, from entry %d on", topic, seen.offset)
        base = replace(base, start=seen)
    base.write(path)
    return base


def settle(path: Path, identity: str, high: int) -> tuple[Base, Origin | None]:
    """The base, now that the topic's id and end are known; the origin, if the topic is still that.

    Nothing is written yet if it is: `Base.write` comes after what has to be done then.
    """
    base = Base.read(path)
    origin = base.origin
    if origin is None:
        if identity != base.identity:
            replace(base, identity=identity).write(path)
        return base, None
    same = identity and identity == base.identity
    if same and origin.base.offset + high >= origin.end.offset:
        return replace(base, start=origin.base, origin=None), origin
    # Records that are there already must not get numbers that the restored lake has seen.
    start = origin.end if high else base.start
    _log.warning("the topic %s is not the one of the backup: the log begins at entry %d, and what "
                 "the backup holds is sent", base.topic, start.offset)  # fmt: skip
    since = base.start.offset
    base = replace(base, start=start, identity=identity, origin=None, since=since)
    base.write(path)
    return base, None


def _plain(end: LogEnd) -> dict[str, int]:
    return {"offset": end.offset, "rows": end.rows}


def _end(found: dict[str, Any]) -> LogEnd:
    return LogEnd(int(found["offset"]), int(found["rows"]))
