"""The audit log: who changed what, from what to what. Append-only, each entry chained to the last.

The chain (SHA-256 over the entry and the digest before it) shows that an entry was changed or
taken out by somebody who had the file; it does not prevent it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from retaild.runtime.state import State


def record(
    state: State,
    who: str,
    what: str,
    target: str,
    *,
    via: str,
    before: Any = None,
    after: Any = None,
    request_id: str = "",
) -> None:
    """Write an entry durably.

    `who`: "user ann", "key web-shop", "system user root" (the command line), "retaild" (the host
    itself). `via`: "web", "api", "command", "host". `what`: "job.run", "price.approve",
    "instance.resume", ... `before` and `after` are JSON; never secrets. Card numbers that people
    typed somewhere are masked.
    """
    values = (json.dumps(_without_cards(value), default=str) for value in (before, after))
    entry = [time.time(), who, via, what, _without_cards(target), *values, request_id]
    with state.transaction(durably=True) as connection:
        last = connection.execute("SELECT digest FROM audit ORDER BY id DESC LIMIT 1").fetchone()
        digest = chain(last[0] if last else "", entry)
        connection.execute(
            "INSERT INTO audit (at, who, via, what, target, before, after, request_id, digest) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [*entry, digest],
        )


def _without_cards(value: Any) -> Any:
    """The same, with card numbers masked in all of its texts."""
    from retaild.events.cards import mask  # who only reads the log starts without it

    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {_without_cards(key): _without_cards(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_cards(inner) for inner in value]
    return value


def chain(before: str, entry: list[Any]) -> str:
    """The digest of an entry that follows one with the digest `before`."""
    return hashlib.sha256(json.dumps([before, *entry]).encode()).hexdigest()


def system_name() -> str:
    """Who works at this machine's command line: as the kernel says, not the environment."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user id without a name
        return str(os.getuid())


def system_user() -> str:
    """The same, as `who` of an entry."""
    return f"system user {system_name()}"


@dataclass(frozen=True, slots=True)
class Note:
    """What the code that makes a change knows of it; each becomes an entry in the log."""

    target: str
    before: Any
    after: Any


_notes: ContextVar[list[Note] | None] = ContextVar("notes", default=None)


@contextmanager
def noting() -> Iterator[list[Note]]:
    """Around a request or command: what `note` is told inside is in the list."""
    notes: list[Note] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def note(target: str, *, before: Any = None, after: Any = None) -> None:
    """Say what was changed, from what to what; nothing happens where nobody listens."""
    notes = _notes.get()
    if notes is not None:
        notes.append(Note(target, before, after))


def entries(
    state: State, *, who: str = "", what: str = "", search: str = "", limit: int = 50,
    offset: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """{entries: newest first, total}. `search` looks into the target and the values."""
    like = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    values = {"who": who, "what": what, "like": like, "limit": limit, "offset": offset}
    where = (
        "(:who = '' OR who = :who) AND (:what = '' OR what = :what) AND (:like = '%%' OR "
        "target LIKE :like ESCAPE '\\' OR before LIKE :like ESCAPE '\\' "
        "OR after LIKE :like ESCAPE '\\')"
    )
    total = state.row(f"SELECT count(*) AS count FROM audit WHERE {where}", values)
    rows = state.rows(
        f"SELECT * FROM audit WHERE {where} ORDER BY id DESC LIMIT :limit OFFSET :offset", values
    )
    return {"entries": rows, "total": total["count"] if total else 0}


def kinds(state: State) -> dict[str, list[str]]:
    """What there is to filter by."""
    return {
        name: [row[name] for row in state.rows(f"SELECT DISTINCT {name} FROM audit ORDER BY 1")]
        for name in ("who", "what")
    }


#: Fields of `before` and `after` that are moments: seconds since the epoch.
_MOMENTS = frozenset({"until", "expires", "acknowledged", "resolved", "finished"})


def readable(value: Any) -> Any:
    """`before` or `after` for people: moments as ISO 8601 (UTC)."""
    if not isinstance(value, dict):
        return value
    return {
        key: f"{datetime.fromtimestamp(item, UTC):%Y-%m-%dT%H:%M:%SZ}"
        if key in _MOMENTS and isinstance(item, (int, float)) and not isinstance(item, bool)
        else item
        for key, item in value.items()
    }


@dataclass(frozen=True, slots=True)
class Verdict:
    """`broken`: id of the first entry that does not fit the one before it; None: all fit.

    `head` is the last digest: kept elsewhere, it also shows that entries were cut off the end.
    """

    count: int
    head: str
    broken: int | None = None


def verify(state: State) -> Verdict:
    """Work out the whole chain again; writers are not held up."""
    head, count, last = "", 0, 0
    while rows := state.rows(_CHAINED, [last, _BATCH]):
        for row in rows:
            last, digest = row.pop("id"), row.pop("digest")
            if digest != chain(head, list(row.values())):
                return Verdict(count, head, last)
            head, count = digest, count + 1
    return Verdict(count, head)


_BATCH = 5000
#: The values as text, as they were written.
_CHAINED = (
    "SELECT id, digest, at, who, via, what, target, before AS b, after AS a, request_id "
    "FROM audit WHERE id > ? ORDER BY id LIMIT ?"
)
