"""Where the topic begins in retaild's numbering: behind what an earlier log held."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from retaild.api import LogEnd

_log = logging.getLogger(__name__)


def take_base(path: Path, topic: str, seen: LogEnd) -> LogEnd:
    """The base of `topic`; `seen`: the end of the log so far.

    A directory without one begins at 0. If the topic is another than before, it begins behind what
    the one before held, as the lake's offsets must not be given out twice.
    """
    found = json.loads(path.read_text("utf-8")) if path.exists() else {"offset": 0, "rows": 0}
    base = LogEnd(int(found["offset"]), int(found["rows"]))
    before = found.get("topic")
    if before == topic:
        return base
    if before is not None:
        _log.warning("the log goes on in the topic %s, from entry %d on", topic, seen.offset)
        base = seen
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with new.open("w", encoding="utf-8") as file:
        json.dump({"offset": base.offset, "rows": base.rows, "topic": topic}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return base
