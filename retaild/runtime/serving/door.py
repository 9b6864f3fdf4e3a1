"""The door for events over HTTP and from the pages: check, make durable, apply, answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retaild.api.bus import Entry
from retaild.events import DeadLetter
from retaild.events.codec import encode_events
from retaild.runtime.serving.engine import Engine
from retaild.runtime.serving.errors import BacklogError
from retaild.runtime.serving.facts import FAMILIES
from retaild.runtime.serving.validation import (
    Body,
    Checked,
    Defaults,
    Refused,
    check,
    dead_letter,
    reasons,
)
from retaild.runtime.serving.writer import LogWriter


@dataclass(slots=True)
class Receipt:
    """What became of a request. Everything it counts is durable; what is accepted is applied."""

    accepted: int
    duplicates: int
    rejected: list[dict[str, Any]]
    offset: int

    def public(self) -> dict[str, Any]:
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "offset": self.offset,
        }


@dataclass(slots=True)
class Totals:
    """Since the start; read by metrics and drained into the state by `take`."""

    accepted: int = 0
    duplicates: int = 0
    dead: int = 0
    refused_cards: int = 0
    _taken: tuple[int, int, int] = field(default=(0, 0, 0))

    def take(self) -> tuple[int, int, int]:
        """(accepted, dead, refused cards) since the last time."""
        now = (self.accepted, self.dead, self.refused_cards)
        before, self._taken = self._taken, now
        return now[0] - before[0], now[1] - before[1], now[2] - before[2]


class Door:
    """`backlog` gives the rows of the log that are not in the lake; above `limit` it stays shut."""

    def __init__(
        self,
        engine: Engine,
        writer: LogWriter,
        *,
        store: str,
        backlog: Callable[[], int],
        limit: int,
        source: str = "api",
        place: str = "POST /api/v1/events",
    ) -> None:
        self.totals = Totals()
        self._engine = engine
        self._writer = writer
        self._store, self._source, self._place = store, source, place
        self._backlog, self._limit = backlog, limit

    async def accept(self, body: bytes, content_type: str = "application/json") -> Receipt:
        """Take in a request's body.

        Raises BadEventsError, TooManyEventsError, BusyError, BacklogError, LogFailedError.
        """
        self._refuse_when_behind()
        return await self._accept(Body(body, content_type))

    async def send(self, events: Sequence[Mapping[str, Any]]) -> Receipt:
        """Take in events from our own pages, with `family` among their fields."""
        self._refuse_when_behind()
        return await self._accept(Body(json.dumps(list(events), default=str).encode(), ""))

    def _refuse_when_behind(self) -> None:
        backlog = self._backlog()
        if backlog > self._limit:
            raise BacklogError(backlog, self._limit)

    async def _accept(self, body: Body) -> Receipt:
        defaults = Defaults(self._source, self._store, self._engine.clock())
        good, bad = check(body, defaults)
        new = self._unknown(good)
        entries = _entries(new)
        letters = [dead_letter(refused, defaults, self._place) for refused in bad]
        if letters:
            entries.append(Entry(DeadLetter.family, "json", len(letters), encode_events(letters)))
        offset = self._engine.facts.offset
        if entries:
            plain = [(one.event.family, one.plain()) for one in new if one.event.family in FAMILIES]
            offset = (await self._writer.append(entries, plain)).offset
        self._count(len(new), len(good) - len(new), bad)
        return Receipt(len(new), len(good) - len(new), reasons(bad), offset)

    def _unknown(self, good: Sequence[Checked]) -> list[Checked]:
        """Those that were not taken in before, and each id once."""
        facts, seen = self._engine.facts, set()
        new = []
        for checked in good:
            event_id = checked.event.event_id
            known = checked.event.family in FAMILIES and facts.has(event_id)
            if not known and event_id not in seen:
                seen.add(event_id)
                new.append(checked)
        return new

    def _count(self, accepted: int, duplicates: int, bad: Sequence[Refused]) -> None:
        self.totals.accepted += accepted
        self.totals.duplicates += duplicates
        self.totals.dead += len(bad)
        self.totals.refused_cards += sum(1 for one in bad if one.key == "event.card_number")


def _entries(checked: Sequence[Checked]) -> list[Entry]:
    families: dict[str, list[bytes]] = {}
    for one in checked:
        families.setdefault(one.event.family, []).append(one.line)
    return [
        Entry(family, "json", len(lines), b"\n".join(lines)) for family, lines in families.items()
    ]
