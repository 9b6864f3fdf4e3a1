"""The schema of state.db, as migrations: entry N takes the file from version N to N + 1."""

from __future__ import annotations

from pathlib import Path

from retaild.api.errors import RetaildError


class TooNewStateError(RetaildError):
    key = "state.too_new"

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} has schema {found}, but this version of retaild knows only up to {known}.",
            hint="Install the newer version again, or restore the backup made before the upgrade.",
        )


_FIRST = """
CREATE TABLE worker (
    name TEXT PRIMARY KEY, kind TEXT, pid INTEGER, state TEXT, since REAL, beat REAL,
    restarts INTEGER DEFAULT 0, last_error TEXT, figures TEXT);

CREATE TABLE job_run (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, kind TEXT NOT NULL,
    arguments TEXT NOT NULL, state TEXT NOT NULL, trigger TEXT NOT NULL, requested REAL NOT NULL,
    started REAL, finished REAL, pid INTEGER, progress REAL DEFAULT 0, text TEXT, result TEXT,
    error TEXT);
CREATE INDEX job_run_by_job ON job_run (job, id);
-- Two schedulers, or a button and a schedule, may ask at the same moment: one run wins.
CREATE UNIQUE INDEX job_run_once ON job_run (job) WHERE state IN ('queued', 'running');

CREATE TABLE source_position (
    instance TEXT PRIMARY KEY, position TEXT NOT NULL, updated REAL NOT NULL);
CREATE TABLE source_stat (
    instance TEXT PRIMARY KEY, accepted INTEGER DEFAULT 0, dead INTEGER DEFAULT 0,
    refused_cards INTEGER DEFAULT 0, last_event REAL, last_error TEXT);

CREATE TABLE proposal (
    id TEXT PRIMARY KEY, product_id TEXT NOT NULL, created REAL NOT NULL, state TEXT NOT NULL,
    current_price TEXT NOT NULL, proposed_price TEXT NOT NULL, payload TEXT NOT NULL,
    decided_at REAL, decided_by TEXT, comment TEXT);
CREATE INDEX proposal_by_state ON proposal (state, product_id);

CREATE TABLE model_event (
    at REAL NOT NULL, trainer TEXT NOT NULL, version INTEGER NOT NULL, action TEXT NOT NULL,
    reason TEXT NOT NULL, metrics TEXT NOT NULL);
CREATE TABLE dead_letter_replay (
    event_id TEXT PRIMARY KEY, at REAL NOT NULL, outcome TEXT NOT NULL);
CREATE TABLE quality (
    at REAL NOT NULL, table_name TEXT NOT NULL, check_name TEXT NOT NULL, passed INTEGER NOT NULL,
    value REAL, detail TEXT NOT NULL);
"""

MIGRATIONS: tuple[str, ...] = (_FIRST,)
