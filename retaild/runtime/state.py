"""Operational state in one sqlite file, shared by the daemon, the workers, jobs and the CLI.

Not the data: events are in the log and the lake. Here is what people look at and decide: workers,
runs, positions of sources, price proposals, decisions on models. Every call is one short
transaction, safe from many processes and threads; times are seconds since the epoch (UTC).
Only the standard library is imported: `retaildctl status` starts in a blink.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from retaild.runtime._state_schema import MIGRATIONS, BrokenStateError, TooNewStateError

Row = dict[str, Any]


class State:
    """`State(path)` opens (and creates or migrates) the file; connections are one per thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._migrate()
        except sqlite3.OperationalError:
            raise  # busy, full, not readable: the file itself may be sound
        except sqlite3.DatabaseError as error:
            raise BrokenStateError(path, str(error)) from error

    # -- plumbing ------------------------------------------------------------------------------

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            _write_ahead(connection)
            # WAL with NORMAL survives a killed process; what must survive a power cut (decisions)
            # is written by `_durably`.
            connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
        return connection

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _migrate(self) -> None:
        with self.transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise TooNewStateError(self.path, version, len(MIGRATIONS))
            for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
                for statement in statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def transaction(self, *, durably: bool = False) -> Iterator[sqlite3.Connection]:
        """For the stores beside this class (alerts, access, instances): `state_*.py`.

        `durably`: it survives a power cut, not only a killed process.
        """
        connection = self._connection()
        if durably:
            connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        else:
            connection.execute("COMMIT")
        finally:
            if durably:
                connection.execute("PRAGMA synchronous = NORMAL")

    def rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """What a SELECT finds; JSON columns decoded."""
        with closing(self._connection().execute(sql, values)) as cursor:
            return [_decoded(dict(row)) for row in cursor]

    def row(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Row | None:
        return next(iter(self.rows(sql, values)), None)

    def _upsert(self, table: str, key: str, row: Mapping[str, Any]) -> None:
        names = list(row)
        updates = ", ".join(f"{name} = excluded.{name}" for name in names if name != key)
        with self.transaction() as connection:
            connection.execute(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
                f"ON CONFLICT ({key}) DO UPDATE SET {updates}",
                [_encoded(value) for value in row.values()],
            )

    # -- workers -------------------------------------------------------------------------------

    def save_worker(self, name: str, **columns: Any) -> None:
        """Set columns of a worker: kind, pid, state, since, beat, restarts, last_error, figures."""
        self._upsert("worker", "name", {"name": name, **columns})

    def beat(self, name: str, figures: Mapping[str, Any]) -> None:
        """A worker says that it lives, with its figures (throughput, lag, memory)."""
        self._upsert("worker", "name", {"name": name, "beat": time.time(), "figures": figures})

    def workers(self) -> list[Row]:
        return self.rows("SELECT * FROM worker ORDER BY name")

    def forget_worker(self, name: str) -> None:
        with self.transaction() as connection:
            connection.execute("DELETE FROM worker WHERE name = ?", [name])

    # -- job runs ------------------------------------------------------------------------------

    def request_run(
        self,
        job: str,
        kind: str,
        arguments: Mapping[str, str],
        trigger: str,
        pid: int | None = None,
    ) -> int | None:
        """Queue a run and return its id; None while the same job is queued or running.

        `pid`: the process that will do it itself; else the daemon starts one.
        """
        with self.transaction(durably=True) as connection:
            busy = connection.execute(
                "SELECT id FROM job_run WHERE job = ? AND state IN ('queued', 'running')", [job]
            ).fetchone()
            if busy:
                return None
            cursor = connection.execute(
                "INSERT INTO job_run (job, kind, arguments, state, requested, trigger, pid) "
                "VALUES (?, ?, ?, 'queued', ?, ?, ?)",
                [job, kind, json.dumps(dict(arguments)), time.time(), trigger, pid],
            )
            return cursor.lastrowid

    def save_run(self, run_id: int, **columns: Any) -> None:
        """Set columns of a run: state, started, finished, progress, text, result, error, pid."""
        assignments = ", ".join(f"{name} = ?" for name in columns)
        with self.transaction() as connection:
            connection.execute(
                f"UPDATE job_run SET {assignments} WHERE id = ?",
                [*(_encoded(value) for value in columns.values()), run_id],
            )

    def add_finished_run(
        self,
        job: str,
        arguments: Mapping[str, str],
        trigger: str,
        *,
        started: float,
        result: Mapping[str, Any],
        error: str = "",
    ) -> None:
        """A run that a command did by itself and that is over now; `error`: it failed."""
        state, text = ("failed", None) if error else ("succeeded", "done")
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO job_run (job, kind, arguments, state, requested, trigger, started, "
                "finished, progress, text, result, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, "
                "?)",
                [job, job, json.dumps(dict(arguments)), state, started, trigger, started,
                 time.time(), text, json.dumps(dict(result)), error or None],
            )  # fmt: skip

    def run(self, run_id: int) -> Row | None:
        if run_id >= 2**63:  # more than SQLite's integers hold
            return None
        return self.row("SELECT * FROM job_run WHERE id = ?", [run_id])

    def runs(self, job: str = "", state: str = "", limit: int = 50) -> list[Row]:
        """Newest first."""
        return self.rows(
            "SELECT * FROM job_run WHERE (:job = '' OR job = :job) "
            "AND (:state = '' OR state = :state) ORDER BY id DESC LIMIT :limit",
            {"job": job, "state": state, "limit": limit},
        )

    def ended_runs(self, kind: str, limit: int) -> list[Row]:
        """Of jobs of that kind, whatever they are called; newest first."""
        return self.rows(
            "SELECT * FROM job_run WHERE kind = ? AND finished IS NOT NULL "
            "ORDER BY id DESC LIMIT ?",
            [kind, limit],
        )

    # -- sources -------------------------------------------------------------------------------

    def source_position(self, instance: str) -> dict[str, Any] | None:
        row = self.row("SELECT position FROM source_position WHERE instance = ?", [instance])
        return None if row is None else row["position"]

    def save_source_position(self, instance: str, position: Mapping[str, Any]) -> None:
        """Call it after the rows up to `position` are durable in the log."""
        row = {"instance": instance, "position": position, "updated": time.time()}
        self._upsert("source_position", "instance", row)

    def forget_source_position(self, instance: str) -> dict[str, Any] | None:
        """What was forgotten; None if there was no position."""
        before = self.source_position(instance)
        with self.transaction() as connection:
            connection.execute("DELETE FROM source_position WHERE instance = ?", [instance])
        return before

    def count_source(
        self, instance: str, *, accepted: int = 0, dead: int = 0, refused_cards: int = 0
    ) -> None:
        """Add to a source's totals; `dead` counts all dead letters, cards among them."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO source_stat (instance, accepted, dead, refused_cards, last_event) "
                "VALUES (:i, :a, :d, :c, :now) ON CONFLICT (instance) DO UPDATE SET "
                "accepted = accepted + :a, dead = dead + :d, refused_cards = refused_cards + :c, "
                "last_event = :now",
                {"i": instance, "a": accepted, "d": dead, "c": refused_cards, "now": time.time()},
            )

    def save_source_error(self, instance: str, error: str | None) -> None:
        self._upsert("source_stat", "instance", {"instance": instance, "last_error": error})

    def sources(self) -> list[Row]:
        return self.rows(
            "SELECT s.*, p.position, p.updated FROM source_stat s "
            "LEFT JOIN source_position p USING (instance) ORDER BY instance"
        )

    # -- price proposals -----------------------------------------------------------------------

    def replace_open_proposals(self, proposals: Sequence[Mapping[str, Any]]) -> None:
        """Expire the open proposals and add new ones, in one transaction.

        Each has id, product_id, created, current_price, proposed_price (text), payload (JSON).
        """
        with self.transaction(durably=True) as connection:
            connection.execute("UPDATE proposal SET state = 'expired' WHERE state = 'open'")
            connection.executemany(
                "INSERT INTO proposal (id, product_id, created, state, current_price, "
                "proposed_price, payload) VALUES (:id, :product_id, :created, 'open', "
                ":current_price, :proposed_price, :payload)",
                [{key: _encoded(value) for key, value in p.items()} for p in proposals],
            )

    def decide_proposal(self, proposal_id: str, state: str, by: str, comment: str) -> bool:
        """Move an open proposal to `approved` or `rejected`; False if it was not open any more."""
        with self.transaction(durably=True) as connection:
            cursor = connection.execute(
                "UPDATE proposal SET state = ?, decided_at = ?, decided_by = ?, comment = ? "
                "WHERE id = ? AND state = 'open'",
                [state, time.time(), by, comment, proposal_id],
            )
            return cursor.rowcount == 1

    def proposal(self, proposal_id: str) -> Row | None:
        return self.row("SELECT * FROM proposal WHERE id = ?", [proposal_id])

    def proposals(self, state: str = "", product_id: str = "") -> list[Row]:
        """Newest first; all that match: there is at most one open per product."""
        return self.rows(
            "SELECT * FROM proposal WHERE (:state = '' OR state = :state) "
            "AND (:product = '' OR product_id = :product) ORDER BY created DESC, id",
            {"state": state, "product": product_id},
        )

    # -- models, dead letters, quality -----------------------------------------------------------

    def add_model_event(
        self, trainer: str, version: int, action: str, reason: str, metrics: Mapping[str, float]
    ) -> None:
        """Record a decision: promoted, demoted, rejected, rolled_back."""
        with self.transaction(durably=True) as connection:
            connection.execute(
                "INSERT INTO model_event (at, trainer, version, action, reason, metrics) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [time.time(), trainer, version, action, reason, json.dumps(dict(metrics))],
            )

    def model_events(self, trainer: str = "", limit: int = 100) -> list[Row]:
        """Newest first."""
        return self.rows(
            "SELECT * FROM model_event WHERE (:trainer = '' OR trainer = :trainer) "
            "ORDER BY rowid DESC LIMIT :limit",
            {"trainer": trainer, "limit": limit},
        )

    def save_replay(self, event_id: str, outcome: str) -> None:
        row = {"event_id": event_id, "at": time.time(), "outcome": outcome}
        self._upsert("dead_letter_replay", "event_id", row)

    def replays(self) -> dict[str, Row]:
        """Event id of the dead letter -> when it was replayed and what came of it."""
        return {row["event_id"]: row for row in self.rows("SELECT * FROM dead_letter_replay")}

    def save_quality(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Replace the check results; each has table_name, check_name, passed, value, detail."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM quality")
            connection.executemany(
                "INSERT INTO quality (at, table_name, check_name, passed, value, detail) "
                "VALUES (:at, :table_name, :check_name, :passed, :value, :detail)",
                [{"at": time.time(), **result} for result in results],
            )

    def quality(self) -> list[Row]:
        return self.rows("SELECT * FROM quality ORDER BY passed, table_name, check_name")


#: So long several processes may take to turn a new file to WAL, in seconds.
_PATIENCE = 30.0


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn to WAL. SQLite does not wait for another process that does the same to a new file."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


#: Columns that hold JSON text.
_JSON = frozenset(
    {"figures", "arguments", "result", "position", "payload", "metrics", "details", "scopes"}
    | {"roles", "provider_session", "before", "after", "last_lines", "matcher", "notification"}
)


def _encoded(value: Any) -> Any:
    return json.dumps(value, default=str) if isinstance(value, Mapping | list | tuple) else value


def _decoded(row: Row) -> Row:
    for name in _JSON & row.keys():
        if row[name] is not None:
            row[name] = json.loads(row[name])
    return row
