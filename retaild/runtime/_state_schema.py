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


class BrokenStateError(RetaildError):
    key = "state.broken"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be read: {reason}. Decisions on prices, positions of sources, keys and "
            "the audit log are in it; log and lake are not touched.",
            hint="Restore it from a backup (`retaildctl backup list`). Without one, rename it: a "
            "new one is made, sources are read again, and ids keep the lake right.",
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

_SECOND = """
-- What people decided about a component, and what the host did: enabled, disabled, quarantined.
CREATE TABLE instance (
    kind TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'enabled',
    reason TEXT NOT NULL DEFAULT '', last_lines TEXT, since REAL NOT NULL,
    by TEXT NOT NULL DEFAULT '', cause TEXT NOT NULL DEFAULT '', PRIMARY KEY (kind, name));
CREATE TABLE instance_failure (
    kind TEXT NOT NULL, name TEXT NOT NULL, at REAL NOT NULL, reason TEXT NOT NULL);
CREATE INDEX instance_failure_by_name ON instance_failure (kind, name, at);

-- Alerts: one open row per key. An alert that is over is settled once everyone who was told of it
-- is told so. group_key names its message. told: when it was first passed on to anyone.
CREATE TABLE alert (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, severity TEXT NOT NULL,
    summary TEXT NOT NULL, source TEXT NOT NULL, hint TEXT NOT NULL DEFAULT '', details TEXT,
    started REAL NOT NULL, last REAL NOT NULL, count INTEGER NOT NULL DEFAULT 1,
    acknowledged REAL, acknowledged_by TEXT, resolved REAL, settled REAL, group_key TEXT,
    told REAL, escalated REAL, escalation INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX alert_open_once ON alert (key) WHERE resolved IS NULL;
CREATE INDEX alert_unsettled ON alert (id) WHERE settled IS NULL;
-- The queue of each sink, in the order of number. current marks the newest message of a group that
-- the sink does not know to be over.
CREATE TABLE alert_delivery (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, sink TEXT NOT NULL,
    group_key TEXT NOT NULL, action TEXT NOT NULL, notification TEXT NOT NULL,
    created REAL NOT NULL, due REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL, error TEXT, finished REAL, current INTEGER NOT NULL DEFAULT 1);
CREATE INDEX alert_delivery_open ON alert_delivery (sink, number)
    WHERE state IN ('pending', 'sending');
CREATE INDEX alert_delivery_current ON alert_delivery (sink, group_key) WHERE current = 1;
CREATE TABLE alert_silence (
    id INTEGER PRIMARY KEY AUTOINCREMENT, matcher TEXT NOT NULL, until REAL NOT NULL,
    created REAL NOT NULL, by TEXT NOT NULL, comment TEXT NOT NULL);

-- Access: secrets are kept as SHA-256 digests only.
CREATE TABLE api_key (
    id TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, name TEXT NOT NULL, scopes TEXT NOT NULL,
    created REAL NOT NULL, created_by TEXT NOT NULL, expires REAL, revoked REAL, last_used REAL);
CREATE TABLE session (
    digest BLOB PRIMARY KEY, subject TEXT NOT NULL, name TEXT NOT NULL, roles TEXT NOT NULL,
    provider TEXT NOT NULL, provider_session TEXT, created REAL NOT NULL, last_seen REAL NOT NULL,
    expires REAL NOT NULL, csrf TEXT NOT NULL, address TEXT NOT NULL DEFAULT '');
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL, via TEXT NOT NULL,
    what TEXT NOT NULL, target TEXT NOT NULL, before TEXT, after TEXT, request_id TEXT NOT NULL
    DEFAULT '', digest TEXT NOT NULL)
"""
TRIGGERS = (
    (
        "CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    ),
    (
        "CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    ),
)

#: Each a list of statements.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    tuple(_FIRST.split(";")),
    (*_SECOND.split(";"), *TRIGGERS),
)
