"""The box: disk, memory, clock."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

from retaild.runtime.disk import space
from retaild.runtime.doctor.finding import Finding
from retaild.runtime.doctor.patient import Patient

_GIB = 1024**3
#: Below these shares of free space it is a warning, an error.
_LOW_SHARE, _FULL_SHARE = 0.15, 0.05
_FEW_DAYS = 14.0
#: Files may carry a time so far ahead before it means anything: clocks are set all the time.
_SKEW_SECONDS = 60.0
_TIME_ERROR = 5


def disk(patient: Patient) -> Iterator[Finding]:
    """The data directory's disk, with days left where its filling has been watched long enough."""
    found = space(patient.data, patient.now())
    left = "" if found.days_left is None else f", and full in {found.days_left:.0f} days"
    summary = (
        f"{found.free / _GIB:.1f} GiB of {found.total / _GIB:.0f} are free "
        f"({found.free_share:.0%}){left}."
    )
    hint = (
        "Shorten lake.bronze_days, lake.log_hours or lake.vacuum_hours, remove old backups, or "
        "give the data directory a larger disk. `retaildctl lake tables` shows what takes space."
    )
    soon = found.days_left is not None and found.days_left < _FEW_DAYS
    if found.free_share < _FULL_SHARE or (soon and (found.days_left or 0) < 2):
        yield Finding("disk", "error", summary, hint)
    elif found.free_share < _LOW_SHARE or soon:
        yield Finding("disk", "warning", summary, hint)
    else:
        yield Finding("disk", "ok", summary)


def memory(_: Patient) -> Iterator[Finding]:
    """What a night's training needs must be there."""
    facts = dict(
        line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line
    )
    available = int(facts["MemAvailable"].split()[0]) * 1024
    summary = f"{available / _GIB:.1f} GiB of memory are available."
    if available < _GIB // 2:
        hint = "Training may be ended for want of memory. End other programs, or add memory."
        yield Finding("memory", "warning", summary, hint)
    else:
        yield Finding("memory", "ok", summary)


def clock(patient: Patient) -> Iterator[Finding]:
    """A clock that was set back, or that nobody keeps."""
    ahead = _newest(patient) - patient.now()
    if ahead > _SKEW_SECONDS:
        yield Finding(
            "clock", "error",
            f"Files of retaild are {ahead:.0f} s younger than now: the clock was set back, or it "
            "was wrong before.",
            "Set the machine's clock (`timedatectl`). Nothing is lost: offsets order the events, "
            "not times; but schedules and sessions go by the clock.",
        )  # fmt: skip
    if not _synchronised():
        yield Finding(
            "clock", "info", "Nothing keeps this machine's clock right.",
            "Turn on time synchronisation: `timedatectl set-ntp true`.",
        )  # fmt: skip


def _newest(patient: Patient) -> float:
    """The newest time of a file that retaild writes all the time."""
    data = patient.data
    places = [data.state_db, Path(f"{data.state_db}-wal"), *data.logs.glob("*.log")]
    return max((path.stat().st_mtime for path in places if path.exists()), default=0.0)


def _synchronised() -> bool:
    """Whether the kernel knows its clock to be kept (adjtimex(2)); True where it will not say."""

    class Timex(ctypes.Structure):
        # Only `modes` is set; the kernel fills in the rest.
        _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_byte * 256))

    return bool(ctypes.CDLL(None).adjtimex(ctypes.byref(Timex(0))) != _TIME_ERROR)
