"""The lake: small files, dead letters, sources that fell silent, events from the future."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from retaild.api.lake import SMALL_FILE_BYTES
from retaild.events import FAMILIES, DeadLetter
from retaild.runtime.doctor.finding import Finding, Fix
from retaild.runtime.doctor.patient import Patient

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

#: So many small files in a table make every read and append slower.
_MANY_FILES = 200
_DEAD_LETTERS = f"silver.{DeadLetter.family}"
_HOUR = 3_600_000_000  # microseconds
#: Fewer dead letters in a day than this are nobody's trouble.
_FEW_LETTERS = 20
#: A source must have been seen in so many hours before its silence means anything.
_KNOWN_HOURS = 24
_LEAST_SILENCE = 3600.0
#: Shops' clocks differ; events further ahead than this come from a wrong one.
_AHEAD = timedelta(minutes=10)


def small_files(patient: Patient) -> Iterator[Finding]:
    """Tables of very many small files."""
    for name in patient.lake.names():
        import pyarrow as pa

        actions = pa.table(patient.lake.table(name).get_add_actions(flatten=True))
        small = sum(size < SMALL_FILE_BYTES for size in actions["size_bytes"].to_pylist())
        if small >= _MANY_FILES:
            fix = Fix("Run the job `compact`.", lambda: patient.run_job("compact"))
            hint = "Is the job `compact` disabled or failing? See `retaildctl job list`."
            yield Finding("small-files", "warning", f"Table {name} has {small} small files.", hint,
                          name, fix if patient.running else None)  # fmt: skip


def dead_letters(patient: Patient) -> Iterator[Finding]:
    """More refused rows in the last day than twice what is usual."""
    for source, times in _by_source(patient, _DEAD_LETTERS).items():
        ages = patient.now() - times
        last = int((ages < 86_400).sum())
        usual = int(((ages >= 86_400) & (ages < 8 * 86_400)).sum()) / 7
        if last >= _FEW_LETTERS and last > 2 * usual:
            yield Finding(
                "dead-letters", "warning",
                f"{last} rows of source {source!r} were refused in the last day; {usual:.0f} a day "
                "are usual.",
                f"`retaildctl deadletter list --source {source}` shows why. After the fault is "
                "mended, `retaildctl deadletter replay` takes them in.",
                source,
            )  # fmt: skip


def silent_source(patient: Patient) -> Iterator[Finding]:
    """A configured source that has been silent for longer than it ever was."""
    import numpy as np

    configured = patient.settings.source if patient.settings else {}
    heard = _hours_heard(patient)
    for source in configured:
        hours = np.array(sorted(heard.get(source, ())), dtype=float)
        if len(hours) >= _KNOWN_HOURS:
            yield from _silence(source, hours * 3600.0, patient.shop_now())


def _hours_heard(patient: Patient) -> dict[str, set[int]]:
    """Source -> hours since the epoch (UTC) with an event; years of events, a batch at a time."""
    import numpy as np
    import pyarrow.compute as pc

    heard: dict[str, set[int]] = {}
    for name in _event_tables(patient):
        for batch in patient.lake.dataset(name).to_batches(columns=["source", "event_time"]):
            hours = pc.cast(batch["event_time"], "int64").to_numpy() // _HOUR
            for source in pc.unique(batch["source"]).to_pylist():
                own = np.asarray(pc.equal(batch["source"], source))
                heard.setdefault(source, set()).update(np.unique(hours[own]).tolist())
    return heard


def _event_tables(patient: Patient) -> list[str]:
    """Silver's tables of events, without the dead letters; others there are summed up."""
    names = (f"silver.{family}" for family in sorted(FAMILIES))
    return [name for name in names if name != _DEAD_LETTERS and patient.lake.exists(name)]


def _silence(source: str, hours: np.ndarray, now: float) -> Iterator[Finding]:
    """`hours`: the hours (seconds, UTC) in which it was heard, ascending."""
    import numpy as np

    longest, silent = float(np.diff(hours).max()), now - float(hours[-1]) - 3600
    if silent > max(longest, _LEAST_SILENCE):
        yield Finding(
            "silent-source", "warning",
            f"Source {source!r} has been silent for {_span(silent)}; {_span(longest)} was the "
            "longest before.",
            f"Does its till or share still deliver? `retaildctl source show {source}`.",
            source,
        )  # fmt: skip


def future_events(patient: Patient) -> Iterator[Finding]:
    """Events that, by their own time, have not happened yet."""
    import pyarrow.compute as pc

    limit = datetime.fromtimestamp(patient.shop_now(), UTC) + _AHEAD
    for name in _event_tables(patient):
        dataset = patient.lake.dataset(name)
        table = dataset.to_table(columns=["source"], filter=pc.field("event_time") > limit)
        for source in pc.unique(table["source"]).to_pylist():
            yield Finding(
                "future-events", "warning",
                f"Source {source!r} sends events of {name} that lie in the future.",
                "The clock of what writes them is wrong, or its time zone: see the source's "
                "`timezone`.",
                f"{source}/{name}",
            )  # fmt: skip


def _by_source(patient: Patient, name: str) -> dict[str, np.ndarray]:
    """Source -> its event times, seconds since the epoch (UTC); empty without the table."""
    if not patient.lake.exists(name):
        return {}
    import pyarrow.compute as pc

    table = patient.lake.dataset(name).to_table(columns=["source", "event_time"])
    sources: pa.ChunkedArray = table["source"]
    return {
        source: pc.cast(table.filter(pc.equal(sources, source))["event_time"], "int64").to_numpy()
        / 1e6
        for source in pc.unique(sources).to_pylist()
    }


def _span(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"
