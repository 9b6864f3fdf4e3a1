"""Import of one file through a configured source, by a command and not by the worker."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retaild.api.bus import Bus
from retaild.api.errors import ConfigError
from retaild.config.sections import PluginInstance
from retaild.events.cards import mask
from retaild.host.lifecycle import closing_always
from retaild.runtime.context import Context
from retaild.runtime.ingest_append import Taken, append_batch
from retaild.runtime.ingest_backlog import Backlog
from retaild.runtime.ingest_replay import ReplayResult, replay_dead_letters

__all__ = ["ImportResult", "NotImportableError", "ReplayResult", "import_file",
           "replay_dead_letters"]  # fmt: skip

#: Seconds that an import waits for a lake that takes nothing.
PATIENCE = 30.0

#: Told rows done, rows in all (0: unknown) and the file's name.
Progress = Callable[[int, int, str], None]


class NotImportableError(ConfigError):
    key = "import.no_source"

    def __init__(self, name: str, why: str, known: list[str]) -> None:
        have = f"Configured: {', '.join(known)}." if known else "None is configured yet."
        super().__init__(
            f"Source {name!r} cannot import files: {why}.",
            hint=f"Name one that can with --source, or add [source.{name}] with plugin = "
            f'"tabular" and its columns. {have}',
        )


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Rows by what became of them; `faults` are sentences on files that could not be read."""

    accepted: int
    dead: int
    refused_cards: int
    seconds: float
    faults: tuple[str, ...] = ()
    #: False if a stop ended it early; the same import goes on from there.
    complete: bool = True


def import_file(
    context: Context,
    path: Path,
    source: str | PluginInstance,
    *,
    name: str = "",
    bus: Bus | None = None,
    on_progress: Progress = lambda _done, _total, _label: None,
    stop: threading.Event | None = None,
) -> ImportResult:
    """Read `path` (a file or folder) as `source` does and append it to the log.

    `source` is a configured instance's name, or an instance (its events then carry `name`).
    Idempotent: equal rows get equal ids. Killed in the middle, the same call goes on after the last
    durable batch. Raises NotImportableError, ConfigError, BacklogError, OSError.
    """
    began = time.monotonic()
    instance, name = _instance(context, source, name)
    stop = stop or context.stop
    key = _position_key(name, path)
    taken, faults = Taken(), []
    with (
        _opened(context, bus) as log,
        closing_always(_built(context, name, instance, path)) as door,
    ):
        backlog = Backlog(log, context.lake(), context.settings.api.max_backlog_rows)
        door.open(context.state.source_position(key))
        while not stop.is_set():
            backlog.wait(stop, patience=PATIENCE)
            batch = door.poll()
            if batch is None:
                break
            part = append_batch(log, batch)
            context.state.save_source_position(key, batch.position)
            context.state.count_source(
                name, accepted=part.accepted, dead=part.dead, refused_cards=part.refused_cards
            )
            taken += part
            faults += [
                mask(letter.reason)
                for letter in batch.dead_letters
                if letter.reason_key.startswith("file.")
            ]
            on_progress(batch.done, batch.total, mask(batch.label))
    complete = not stop.is_set()
    if complete:
        context.state.forget_source_position(key)
    seconds = time.monotonic() - began
    return ImportResult(
        taken.accepted, taken.dead, taken.refused_cards, seconds, tuple(faults), complete
    )


def _instance(
    context: Context, source: str | PluginInstance, name: str
) -> tuple[PluginInstance, str]:
    configured = context.settings.source
    if isinstance(source, PluginInstance):
        return source, name or source.plugin
    if source not in configured:
        raise NotImportableError(source, "it is not configured", sorted(configured))
    return configured[source], source


def _built(context: Context, name: str, instance: PluginInstance, path: Path) -> Any:
    """The source, reading `path` instead of its own.

    In this process, a stranger's too: a command that does nothing else, whose caller waits for it
    and sees what becomes of it. What it hands out is guarded as the ingest worker guards it.
    """
    if not context.plugins.facts("source", instance.plugin).imports_files:
        why = f"its plugin {instance.plugin!r} reads no files"
        raise NotImportableError(name, why, sorted(context.settings.source))
    spec = context.plugins.spec("source", instance.plugin)
    # The file is there as a whole, and it is the operator's own.
    given = {"path": str(path.absolute()), "settle_seconds": 0, "follow": False,
             "delete_finished": False}  # fmt: skip
    own = {key: value for key, value in given.items() if key in spec.config.model_fields}
    changed = instance.model_copy(update={"settings": {**instance.settings, **own}})
    return context.plugins.build("source", name, changed, context.settings, context.data)


class _opened:
    """The bus given, or one of its own that is closed again."""

    def __init__(self, context: Context, bus: Bus | None) -> None:
        self._own = context.bus() if bus is None else None
        self._bus = bus

    def __enter__(self) -> Bus:
        if self._bus is not None:
            return self._bus
        assert self._own is not None
        self._own.open()
        return self._own

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.close()


def _position_key(name: str, path: Path) -> str:
    """Imports remember their place apart from the worker that runs the same source."""
    digest = hashlib.blake2b(os.fsencode(path.absolute()), digest_size=8).hexdigest()
    return f"import {name} {digest}"
