"""Model versions as MLflow's registry holds them, read with plain sqlite3.

For the server, which asks each second, and for the CLI: MLflow itself takes seconds to import.
Only reading happens here; whatever changes the registry goes through MLflow's own client in
`registry_writer`. The registered model of MLflow has the trainer's instance name.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from retaild.api.errors import RetaildError, TransientError
from retaild.config.paths import DataDir

T = TypeVar("T")

CHAMPION = "champion"
CHALLENGER = "challenger"
#: Tags of a model version that hold JSON; `registry_writer` sets them.
TAG_PREFIX = "retaild."

#: How long a reader waits for a writer, in seconds; MLflow's transactions take some 10 ms.
BUSY_SECONDS = 2.0


class RegistryBusyError(TransientError):
    key = "registry.busy"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is locked by a writer.", hint="Ask again in a moment; the model stays loaded."
        )


class UnreadableRegistryError(RetaildError):
    key = "registry.unreadable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"The model registry {path} cannot be read: {reason}.",
            hint="Restore it from the backup, or move it away and train anew.",
        )


class UnknownVersionError(RetaildError):
    key = "registry.unknown_version"

    def __init__(self, trainer: str, version: int) -> None:
        super().__init__(
            f"Model {trainer!r} has no version {version}.",
            hint=f"See `retaildctl model list {trainer}`.",
        )


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version. Times are seconds since the epoch; `version` counts from 1.

    `artifact` is its immutable directory `models/<name>/<version>`. `metrics` are its own on its
    evaluation `split`; `baselines` and `champion_metrics` (the champion it had to beat; empty for
    the first) were measured on the same split. `outcome` is what came of it: the gates' verdict
    in words. A version that was registered by another tool has only what MLflow's run holds.
    """

    name: str
    version: int
    artifact: Path
    run_id: str
    created: float
    aliases: tuple[str, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    champion_metrics: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    primary_metric: str = ""
    greater_is_better: bool = True
    split: str = ""
    data_versions: dict[str, int] = field(default_factory=dict)
    plugin: str = ""
    plugin_version: str = ""
    outcome: str = ""

    @property
    def is_champion(self) -> bool:
        return CHAMPION in self.aliases


def champion(data: DataDir, trainer: str) -> ModelVersion | None:
    """The version with the alias `champion`; None before the first. Takes about a millisecond.

    Raises RegistryBusyError: keep what you had and ask again.
    """
    found = _select(data, "a.alias = ?", [trainer, CHAMPION], join_alias=True)
    return found[0] if found else None


def version(data: DataDir, trainer: str, number: int) -> ModelVersion:
    """One version; raises UnknownVersionError, RegistryBusyError."""
    found = _select(data, "v.version = ?", [trainer, number])
    if not found:
        raise UnknownVersionError(trainer, number)
    return found[0]


def versions(data: DataDir, trainer: str) -> list[ModelVersion]:
    """All versions, newest first; raises RegistryBusyError."""
    return _select(data, "1", [trainer])


def trainers(data: DataDir) -> list[str]:
    """Names of trainers that have a registered model, sorted."""
    rows = _query(data, lambda c: c.execute("SELECT name FROM registered_models").fetchall())
    return sorted(name for (name,) in rows or ())


def artifact_directory(data: DataDir, trainer: str, number: int) -> Path:
    return data.models / trainer / str(number)


def _query(data: DataDir, read: Callable[[sqlite3.Connection], T]) -> T | None:
    """`read(connection)`; None where there is no registry yet."""
    path = data.mlflow_db
    if not path.is_file():
        return None
    # Not mode=ro: after a writer was killed, the next reader has to roll its journal back.
    uri = f"file:{quote(str(path))}?mode=rw"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
            connection.execute("PRAGMA query_only = ON")
            return read(connection)
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise RegistryBusyError(path) from None
        if "no such table" in str(error):  # MLflow is still making the file
            return None
        raise UnreadableRegistryError(path, str(error)) from error
    except sqlite3.DatabaseError as error:
        raise UnreadableRegistryError(path, str(error)) from error


_VERSIONS = """
SELECT v.version, v.run_id, v.creation_time FROM model_versions v {join}
WHERE v.workspace = 'default' AND v.current_stage <> 'Deleted_Internal' AND v.name = ?
AND {where} ORDER BY v.version DESC
"""
_JOIN_ALIAS = (
    "JOIN registered_model_aliases a "
    "ON a.workspace = v.workspace AND a.name = v.name AND a.version = v.version"
)


def _select(
    data: DataDir, where: str, values: list[Any], *, join_alias: bool = False
) -> list[ModelVersion]:
    trainer = str(values[0])
    sql = _VERSIONS.format(join=_JOIN_ALIAS if join_alias else "", where=where)

    def read(connection: sqlite3.Connection) -> list[ModelVersion]:
        connection.execute("BEGIN")  # one state of the file for all that follows
        rows = connection.execute(sql, values).fetchall()
        return [_version(connection, data, trainer, *row) for row in rows]

    return _query(data, read) or []


def _version(
    connection: sqlite3.Connection,
    data: DataDir,
    trainer: str,
    number: int,
    run_id: str | None,
    created: int,
) -> ModelVersion:
    key = (trainer, number)
    aliases = connection.execute(
        "SELECT alias FROM registered_model_aliases "
        "WHERE workspace = 'default' AND name = ? AND version = ? ORDER BY alias",
        key,
    )
    tags = connection.execute(
        "SELECT key, value FROM model_version_tags "
        "WHERE workspace = 'default' AND name = ? AND version = ?",
        key,
    )
    parameters = connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run_id,))
    known = _known(tags)
    if "metrics" not in known:
        known["metrics"] = _run_metrics(connection, run_id)
    return ModelVersion(
        trainer,
        number,
        artifact_directory(data, trainer, number),
        run_id or "",
        created / 1000,
        aliases=tuple(alias for (alias,) in aliases),
        parameters=dict(parameters.fetchall()),
        **known,
    )


def _known(tags: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Our tags as fields of ModelVersion; other tools' tags are none of our business."""
    fields = ModelVersion.__dataclass_fields__.keys()
    pairs = ((key.removeprefix(TAG_PREFIX), key, value) for key, value in tags)
    return {
        name: json.loads(value)
        for name, key, value in pairs
        if key.startswith(TAG_PREFIX) and name in fields
    }


def _run_metrics(connection: sqlite3.Connection, run_id: str | None) -> dict[str, float]:
    return dict(
        connection.execute(
            "SELECT key, value FROM latest_metrics WHERE run_uuid = ? AND NOT is_nan", (run_id,)
        ).fetchall()
    )
