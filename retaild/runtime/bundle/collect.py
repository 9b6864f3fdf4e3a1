"""The parts of the bundle, each on its own: one that cannot be had does not keep the others out."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retaild import __version__
from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.config.settings import inspect_settings
from retaild.runtime import control, logs
from retaild.runtime.bundle.scrub import scrub, scrub_line, scrub_values

#: Lines of each log, and logs, newest first.
_LINES = 2000
_LOGS = 40
_METRIC_LINES = 5000
_DOCTOR_SECONDS = 60.0

Part = Callable[[DataDir, Path | None], Any]

#: Of each table of state.db the columns that say nothing about people or goods, and how many rows.
#: A column behind `~` is a text that is scrubbed; behind `#` a JSON object of figures.
_TABLES: dict[str, str] = {
    "worker": "SELECT name, kind, pid, state, since, beat, restarts, last_error AS '~last_error', "
    "figures AS '#figures' FROM worker ORDER BY name LIMIT 200",
    "job_run": "SELECT id, job AS '~job', kind AS '~kind', state, trigger AS '~trigger', "
    "requested, started, finished, progress, error AS '~error' "
    "FROM job_run ORDER BY id DESC LIMIT 200",
    "source": "SELECT s.instance AS '~instance', s.accepted, s.dead, s.refused_cards, "
    "s.last_event, s.last_error AS '~last_error', p.updated AS position_saved, "
    "length(p.position) AS position_bytes FROM source_stat s "
    "LEFT JOIN source_position p USING (instance) LIMIT 200",
    "proposals": "SELECT state, count(*) AS proposals, min(created) AS first, max(created) AS last "
    "FROM proposal GROUP BY state",
    "model_event": "SELECT at, trainer AS '~trainer', version, action AS '~action', "
    "metrics AS '#metrics' FROM model_event ORDER BY at DESC LIMIT 100",
    "quality": "SELECT at, table_name AS '~table', check_name AS '~check', passed FROM quality",
    "instance": "SELECT kind, name AS '~name', state, reason AS '~reason', since FROM instance",
    "instance_failure": "SELECT kind, name AS '~name', at, reason AS '~reason' "
    "FROM instance_failure ORDER BY at DESC LIMIT 200",
    "alert": "SELECT id, key AS '~key', severity, summary AS '~summary', source AS '~source', "
    "started, last, count, acknowledged, resolved FROM alert ORDER BY id DESC LIMIT 200",
    "alert_delivery": "SELECT sink AS '~sink', state, count(*) AS deliveries "
    "FROM alert_delivery GROUP BY sink, state",
    "audit": "SELECT at, via, what AS '~what' FROM audit ORDER BY id DESC LIMIT 200",
    "access": "SELECT (SELECT count(*) FROM api_key) AS keys, "
    "(SELECT count(*) FROM session) AS sessions",
}


def machine(data: DataDir, _config: Path | None) -> Any:
    disk = shutil.disk_usage(data.root if data.root.exists() else "/")
    release = platform.freedesktop_os_release()
    return {
        "retaild": __version__, "python": sys.version, "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(), "distribution": release.get("PRETTY_NAME", ""),
        "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "disk": {"total": disk.total, "free": disk.free},
        "user_is_root": os.geteuid() == 0, "now": time.time(),
    }  # fmt: skip


def packages(_data: DataDir, _config: Path | None) -> Any:
    return {dist.name: dist.version for dist in metadata.distributions()}


def configuration(data: DataDir, config: Path | None) -> Any:
    """Scrubbed; of one with faults, what and where they are."""
    settings, _, faults = inspect_settings(config, data.root)
    listed = [
        {"line": fault.line, "fault": scrub(str(fault.message))}
        for fault in faults
    ]  # fmt: skip
    if settings is None:
        return {"faults": listed}
    return {"settings": scrub_values(settings.model_dump(mode="json")), "faults": listed}


def status(data: DataDir, _config: Path | None) -> Any:
    """Whether the daemon answers, and how it is."""
    found = control.request(data, "status", timeout=3.0)["daemon"]
    return {key: found[key] for key in ("pid", "since", "phase", "version") if key in found}


def state(data: DataDir, _config: Path | None) -> Any:
    """The allowed columns of state.db, read without touching it."""
    with closing(
        sqlite3.connect(f"file:{quote(str(data.state_db))}?mode=ro", uri=True, timeout=5)
    ) as connection:
        connection.row_factory = sqlite3.Row
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return {"schema": version, **{n: _table(connection, sql) for n, sql in _TABLES.items()}}


def _table(connection: sqlite3.Connection, sql: str) -> Any:
    try:
        return [dict(_allowed(row)) for row in connection.execute(sql)]
    except sqlite3.Error as error:
        return {"unreadable": scrub(str(error))}


def _allowed(row: sqlite3.Row) -> Iterator[tuple[str, Any]]:
    for key in row.keys():  # noqa: SIM118  (a Row's own iteration gives values)
        value = row[key]
        if key.startswith("~"):
            yield key[1:], scrub(value or "")
        elif key.startswith("#"):
            yield key[1:], _figures(value)
        else:
            yield key, value


def _figures(text: str | None) -> Any:
    """Names and numbers of a JSON object; its texts are left out."""
    found = json.loads(text or "{}")
    return {scrub(str(k)): v for k, v in found.items() if isinstance(v, int | float | bool | None)}


def metrics(data: DataDir, _config: Path | None) -> Any:
    """The server's metrics, labels scrubbed."""
    url = control.request(data, "status", timeout=3.0)["api"]["url"]
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        lines = answer.read(1 << 20).decode("utf-8", "replace").splitlines()[:_METRIC_LINES]
    return [_metric(line) for line in lines if line and not line.startswith("#")]


def _metric(line: str) -> str:
    name, _, value = line.rpartition(" ")
    series, _, labels = name.partition("{")
    return f"{series} {scrub(labels.rstrip('}').replace(',', ' '))} {value}".replace("  ", " ")


def files(data: DataDir, _config: Path | None) -> Any:
    """Per directory files, bytes, newest; by name only where the host itself gives the names."""
    return {
        path.name: _usage(path) for path in sorted(data.root.iterdir())
        if scrub(path.stem) == path.stem
    }  # fmt: skip


def _usage(path: Path) -> dict[str, float]:
    found = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    facts = [(stat.st_size, stat.st_mtime) for p in found if (stat := _stat(p)) is not None]
    newest = max((at for _, at in facts), default=0.0)
    return {"files": len(facts), "bytes": sum(size for size, _ in facts), "newest": newest}


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def lake(data: DataDir, _config: Path | None) -> Any:
    from retaild.api.lake import Lake

    tables = Lake(data.lake)
    return {name: _lake_table(tables, name) for name in tables.names()}


def _lake_table(tables: Any, name: str) -> dict[str, Any]:
    try:
        table = tables.table(name)
        return {"version": table.version(), "files": len(table.file_uris()), "rows": table.count()}
    except Exception as error:  # a broken table is what somebody looks for here
        return {"unreadable": scrub(f"{type(error).__name__}: {error}")}


def doctor(data: DataDir, config: Path | None) -> Any:
    """What the doctor finds, in a process of its own: a check that hangs ends with it."""
    command = [sys.executable, "-m", "retaild.runtime.doctor", "--data", str(data.root)]
    command += ["--config", str(config)] if config else []
    done = subprocess.run(command, capture_output=True, timeout=_DOCTOR_SECONDS, check=True)
    return [
        {"check": f["check"], "severity": f["severity"], "summary": scrub(f["summary"])}
        for f in json.loads(done.stdout)["findings"]
    ]


#: Name of a file in the bundle -> what makes it.
PARTS: dict[str, Part] = {
    "machine": machine, "packages": packages, "configuration": configuration, "status": status,
    "state": state, "metrics": metrics, "files": files, "lake": lake, "doctor": doctor,
}  # fmt: skip


def part(name: str, data: DataDir, config: Path | None) -> Any:
    """One part; if it cannot be had, why."""
    try:
        return PARTS[name](data, config)
    except RetaildError as error:
        return {"unavailable": error.key, "why": scrub(error.message)}
    except Exception as error:
        return {"unavailable": type(error).__name__, "why": scrub(str(error))}


def log_files(data: DataDir) -> Iterator[tuple[str, str]]:
    """Name and scrubbed last lines of the newest logs."""
    found = [path for path in data.logs.glob("*.log") if path.is_file()]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[:_LOGS]:
        text = "\n".join(scrub_line(line) for line in logs.tail(path, _LINES))
        yield path.name, f"{text}\n"
