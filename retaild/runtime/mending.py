"""What the stream worker mends before it opens the lake: the traces of a power cut."""

from __future__ import annotations

import logging
import time

from retaild.api.bus import Bus, TrimmedError
from retaild.api.errors import RetaildError, TransientError
from retaild.api.lake import Lake
from retaild.api.lake_tail import Torn, can_go_back, first_torn, set_aside_from
from retaild.pipeline.streams import PROGRESS_TABLE, STREAM_APP

_log = logging.getLogger(__name__)


class BrokenTableError(RetaildError):
    key = "lake.broken"

    def __init__(self, name: str, torn: Torn) -> None:
        super().__init__(
            f"The table {name} is damaged: {torn.file} cannot be used, {torn.why}, and the log no "
            "longer holds what it brought.",
            hint="Restore the file from a backup (`retaildctl backup list`); the log keeps new "
            "events meanwhile. `retaildctl doctor` says whether the disk is failing.",
        )


class LakeDiskError(TransientError):
    key = "lake.disk"

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"The lake's files cannot be looked through: {error}",
            hint="It is tried again; the log keeps the events.",
        )


def mend_lake(lake: Lake, bus: Bus, log_hours: float) -> list[str]:
    """Set torn commits aside and have their rows written again from the log; what was done.

    Call it while nobody else writes to the lake's stream tables. Raises BrokenTableError for what
    the log cannot make up for, with nothing changed; LakeDiskError for what the disk does not do:
    it may be called again.
    """
    try:
        return _mend_all(lake, bus, log_hours)
    except OSError as error:
        raise LakeDiskError(error) from error


def _mend_all(lake: Lake, bus: Bus, log_hours: float) -> list[str]:
    torn = {name: found for name in lake.names() if (found := first_torn(lake.path(name)))}
    for name, found in torn.items():
        old = time.time() - found.file.stat().st_mtime > log_hours * 3600
        if old or not can_go_back(lake.path(name), found.version):
            raise BrokenTableError(name, found)
    said = [_mend(lake, name, found) for name, found in torn.items()]
    if said:
        _go_back(lake, bus, list(torn))
    return said


def _mend(lake: Lake, name: str, torn: Torn) -> str:
    moved = set_aside_from(lake.path(name), torn.version)
    text = (
        f"{name}: {torn.file.name} and what followed were set aside ({torn.why}): the table is at "
        f"version {torn.version - 1} again, its rows come from the log once more."
    )
    _log.error("%s The files: %s", text, ", ".join(path.name for path in moved))
    return text


def _go_back(lake: Lake, bus: Bus, names: list[str]) -> None:
    """Let the stream begin where the first of the mended tables ends, as far as the log reaches."""
    if not lake.exists(PROGRESS_TABLE):
        return
    marker = lake.committed(PROGRESS_TABLE, STREAM_APP) or 0
    own = [lake.committed(n, STREAM_APP) or 0 for n in names if not n.startswith("gold.")]
    offset = max(min([marker, *own]), _first_offset(bus))
    if offset < marker:
        lake.mark(lake.table(PROGRESS_TABLE), STREAM_APP, offset)


def _first_offset(bus: Bus) -> int:
    try:
        bus.read(0, 1)
    except TrimmedError as error:
        return error.first
    return 0
