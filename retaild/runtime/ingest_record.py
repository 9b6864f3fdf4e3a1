"""What the hub writes down of batches that are in the log: positions and totals."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

from retaild.api.source import Position
from retaild.runtime.ingest_append import Taken
from retaild.runtime.state import State


def record(state: State, batches: Iterable[tuple[str, Position, Taken]]) -> None:
    """Instance, position, rows of each; all in one transaction.

    Call it after the rows up to the positions are durable in the log.
    """
    now = time.time()
    with state.transaction() as connection:
        for instance, position, taken in batches:
            connection.execute(
                "INSERT INTO source_position (instance, position, updated) VALUES (?, ?, ?) "
                "ON CONFLICT (instance) DO UPDATE SET position = excluded.position, "
                "updated = excluded.updated",
                [instance, json.dumps(position), now],
            )
            connection.execute(
                "INSERT INTO source_stat (instance, accepted, dead, refused_cards, last_event) "
                "VALUES (:i, :a, :d, :c, :now) ON CONFLICT (instance) DO UPDATE SET "
                "accepted = accepted + :a, dead = dead + :d, refused_cards = refused_cards + :c, "
                "last_event = :now",
                {"i": instance, "a": taken.accepted, "d": taken.dead, "c": taken.refused_cards,
                 "now": now},
            )  # fmt: skip
