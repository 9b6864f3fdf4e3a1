"""A durable log in files: the embedded bus, and what a broker's bus spools into."""

from retaild.pipeline.filelog.frame import MAX_PAYLOAD, MAX_ROWS, EntryTooLargeError, check_size
from retaild.pipeline.filelog.lock import ProcessLock
from retaild.pipeline.filelog.log import DamagedLogError, FileLog, LogFullError
from retaild.pipeline.filelog.marker import End, EndMarker, packed

__all__ = [
    "MAX_PAYLOAD",
    "MAX_ROWS",
    "DamagedLogError",
    "End",
    "EndMarker",
    "EntryTooLargeError",
    "FileLog",
    "LogFullError",
    "ProcessLock",
    "check_size",
    "packed",
]
