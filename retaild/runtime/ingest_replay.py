"""Refused rows once more: read by their source's mapping of now, appended where they are good."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from retaild.api.bus import Bus
from retaild.api.errors import RetaildError
from retaild.api.source import SourceBatch
from retaild.events import FAMILIES, DeadLetter, arrow_schema, family
from retaild.events.ids import event_id
from retaild.host.lifecycle import closing_always
from retaild.runtime.context import Context
from retaild.runtime.ingest_append import append_batch
from retaild.runtime.ingest_guard import EVENT_FORMAT

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "silver.dead_letter"
#: Outcome of a letter that became an event.
ACCEPTED = "accepted"
#: `format` of letters that hold an event as JSON, if no source of theirs is configured.
_EVENT_JSON = frozenset({"", "json", EVENT_FORMAT})
#: Letters read at once.
_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """`outcomes`: id of each letter looked at -> "accepted", or why it is still refused."""

    accepted: int
    refused: int
    outcomes: dict[str, str] = field(default_factory=dict)


def replay_dead_letters(
    context: Context,
    event_ids: Sequence[str] | None = None,
    *,
    bus: Bus | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ReplayResult:
    """Replay these dead letters, or all that were not accepted yet.

    Idempotent: a letter gives the same events each time, so that a replay cut short may be
    repeated. Equal lines among the letters of a file stay apart; a letter equal to a line that was
    accepted with the rest of its file counts as that line. Raises NoTableError if there are none.
    """
    letters = _letters(context, event_ids)
    outcomes: dict[str, str] = {}
    seen: Counter[str] = Counter()
    own = context.bus() if bus is None else None
    log = bus if bus is not None else own
    assert log is not None
    try:
        if own is not None:
            own.open()
        for batch in _batches(letters):
            outcomes |= _replay(context, log, batch, seen)
            on_progress(len(outcomes), len(letters))
    finally:
        if own is not None:
            own.close()
    accepted = sum(outcome == ACCEPTED for outcome in outcomes.values())
    return ReplayResult(accepted, len(outcomes) - accepted, outcomes)


def _letters(context: Context, event_ids: Sequence[str] | None) -> list[DeadLetter]:
    """From the lake, in the order of their places."""
    import pyarrow.compute as pc

    dataset = context.lake().dataset(TABLE)
    names = list(DeadLetter.model_fields)
    chosen = None if event_ids is None else pc.field("event_id").isin(list(event_ids))
    rows = dataset.to_table(columns=names, filter=chosen).to_pylist()
    done = {key for key, row in context.state.replays().items() if row["outcome"] == ACCEPTED}
    letters = [DeadLetter.model_validate(row) for row in rows]
    open_ones = [letter for letter in letters if letter.event_id not in done]
    return sorted(open_ones, key=_order)


def _order(letter: DeadLetter) -> tuple[Any, ...]:
    numbers = [int(digits[:18]) for digits in re.findall(r"[0-9]+", letter.place)]
    name = re.sub(r"[0-9]+", "0", letter.place)
    return letter.source, letter.target, name, numbers, letter.event_id


def _batches(letters: list[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Letters of one source, family and way of reading, not too many at once."""
    for _, group in groupby(letters, key=lambda x: (x.source, x.target, x.format == EVENT_FORMAT)):
        batch = list(group)
        for start in range(0, len(batch), _BATCH):
            yield batch[start : start + _BATCH]


def _replay(
    context: Context, bus: Bus, letters: list[DeadLetter], seen: Counter[str]
) -> dict[str, str]:
    try:
        batch = _parsed(context, letters)
    except RetaildError as error:
        outcomes = {letter.event_id: str(error) for letter in letters}
    else:
        refused = {letter.event_id: letter.reason for letter in batch.dead_letters}
        outcomes = {x.event_id: refused.get(x.event_id, ACCEPTED) for x in letters}
        events = _renumbered(batch.events, seen)
        taken = append_batch(bus, SourceBatch(batch.family, events, {}, label="replay"))
        context.state.count_source(letters[0].source, accepted=taken.accepted)
    for key, outcome in outcomes.items():
        context.state.save_replay(key, outcome)
    return outcomes


def _parsed(context: Context, letters: list[DeadLetter]) -> SourceBatch:
    """Raises RetaildError if the source cannot be built."""
    first = letters[0]
    if first.format == EVENT_FORMAT:
        return _parse_events(letters)
    if first.source not in context.settings.source:
        if all(letter.format in _EVENT_JSON for letter in letters):
            return _parse_events(letters)
        reason = (
            f"No source {first.source!r} is configured any more, so nothing says how to read it. "
            f"Add [source.{first.source}] to the configuration, then replay it again."
        )
        return _all_refused(letters, reason)
    with closing_always(context.build("source", first.source)) as source:
        if hasattr(source, "parse_many"):
            found: SourceBatch = source.parse_many(letters)
            return found
        if not hasattr(source, "parse"):
            reason = f"The source {first.source!r} cannot read refused rows again."
            return _all_refused(letters, reason)
        parts = [source.parse(letter) for letter in letters]
    import pyarrow as pa

    refused = tuple(letter for part in parts for letter in part.dead_letters)
    return SourceBatch(first.target, pa.concat_tables([p.events for p in parts]), {}, refused)


def _parse_events(letters: list[DeadLetter]) -> SourceBatch:
    """Letters that hold an event as JSON: from the HTTP door, or refused for a card number."""
    target = letters[0].target
    if target not in FAMILIES or target == DeadLetter.family:
        return _all_refused(letters, f"There is no event family {target!r} to read it as.")
    events, refused = [], []
    for letter in letters:
        try:
            events.append(_event(letter))
        except (ValidationError, ValueError, TypeError) as error:
            why = f"{letter.place}: {_said(error)}"
            refused.append(letter.model_copy(update={"reason": why[:2000]}))
    import pyarrow as pa

    rows = [{**event.model_dump(), "event_id": event.event_id} for event in events]
    table = pa.Table.from_pylist(rows, schema=arrow_schema(target))
    return SourceBatch(target, table, {}, tuple(refused))


def _event(letter: DeadLetter) -> Any:
    values = json.loads(letter.raw)
    if not isinstance(values, dict):
        raise ValueError("It is not a JSON object.")
    values = {key: value for key, value in values.items() if key != "family"}
    model = family(letter.target)
    given = model.model_validate({"source": letter.source, "event_id": "-", **values})
    if "event_id" in values:
        return given
    return given.model_copy(update={"event_id": event_id(letter.target, given.model_dump())})


def _renumbered(events: pa.Table, seen: Counter[str]) -> pa.Table:
    """Ids that number equal lines over all batches of a replay."""
    import pyarrow as pa

    ids = []
    for found in events.column("event_id").to_pylist():
        base = re.sub(r"^([0-9a-f]{32})-[0-9]+$", r"\1", found)
        seen[base] += 1
        digest = re.fullmatch("[0-9a-f]{32}", base) is not None
        ids.append(f"{base}-{seen[base]}" if digest and seen[base] > 1 else base)
    return events.set_column(0, events.schema.field(0), pa.array(ids, pa.string()))


def _all_refused(letters: list[DeadLetter], reason: str) -> SourceBatch:
    target = letters[0].target
    known = target if target in FAMILIES else DeadLetter.family
    refused = tuple(letter.model_copy(update={"reason": reason}) for letter in letters)
    return SourceBatch(known, arrow_schema(known).empty_table(), {}, refused)


def _said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        parts = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]]
        return "; ".join(parts) + "."
    return str(error)
