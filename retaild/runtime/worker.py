"""A worker's process: `python -m retaild.runtime.worker KIND --data DIR [--config FILE]`."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from retaild.api.errors import ConfigError, RetaildError, TransientError
from retaild.host.registry import PluginRegistry
from retaild.runtime import logs, priority
from retaild.runtime.component.exits import EXIT_CONFIG, EXIT_FAILURE, EXIT_TEMPORARY, EXIT_TOLD
from retaild.runtime.context import WorkerContext, surroundings
from retaild.runtime.heartbeat import Heart
from retaild.runtime.process import bind_to_parent
from retaild.runtime.state import State
from retaild.runtime.worker_kinds import ENTRIES

_log = logging.getLogger("retaild.worker")


def main(arguments: list[str] | None = None) -> int:
    """Run the worker; returns the exit code: 0 after an orderly stop."""
    bind_to_parent()
    options = _options(arguments)
    if options.kind in priority.WORKERS:
        priority.give_way(priority.WORKERS[options.kind])
    if options.kind in priority.OOM_SCORES:
        priority.go_first(priority.OOM_SCORES[options.kind])
    faulthandler.enable()
    # The watchdog asks for this before it kills: the log then says where the worker hung.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        context = _context(options, stop)
    except (OSError, sqlite3.Error) as error:  # of the disk, whatever is to run here
        _log.error("%s cannot begin: %s", options.kind, error)
        return EXIT_TEMPORARY
    context.heartbeat()
    _start_pulse(context)
    return _run(resolve(options.entry or ENTRIES[options.kind]), context)


def _context(options: argparse.Namespace, stop: threading.Event) -> WorkerContext:
    settings, data = surroundings(options.config, options.data)
    logs.set_up(settings.retaild.log_level)
    state, plugins = State(data.state_db), PluginRegistry.load(data)
    return WorkerContext(options.kind, settings, data, plugins, state, stop, Heart())


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="retaild.runtime.worker")
    parser.add_argument("kind")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--entry", help="module:function, for a kind that is not built in")
    return parser.parse_args(arguments)


def resolve(entry: str) -> Callable[..., Any]:
    """The function that "module:function" names."""
    module, _, function = entry.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def _start_pulse(context: WorkerContext) -> None:
    """Write the heartbeat and keep the log bounded, beside the worker's own work."""
    path = context.data.worker_log(context.name)

    def write(figures: Mapping[str, float | str]) -> None:
        context.state.beat(context.name, figures)
        logs.rotate(path)

    never = threading.Event()
    threading.Thread(
        target=context.heart.run, args=(write, never), name="heartbeat", daemon=True
    ).start()


def _run(work: Callable[[WorkerContext], None], context: WorkerContext) -> int:
    started = time.monotonic()
    _log.info("%s starts", context.name)
    try:
        work(context)
    except RetaildError as error:
        _log.error("%s ends: %s", context.name, error)
        _save(context, str(error))
        return _code_of(error)
    except Exception as error:
        _log.exception("%s ends", context.name)
        _save(context, _words(error))
        return EXIT_FAILURE
    _log.info("%s has stopped after %.1f s", context.name, time.monotonic() - started)
    return 0


def _save(context: WorkerContext, error: str) -> None:
    with suppress(sqlite3.Error):  # the disk may be what is full: the exit code says the most
        context.state.save_worker(context.name, last_error=error)


def _words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it asked for more memory than it may have"
    return f"{type(error).__name__}: {error}"


def _code_of(error: RetaildError) -> int:
    if isinstance(error, ConfigError):
        return EXIT_CONFIG
    return EXIT_TEMPORARY if isinstance(error, TransientError) else EXIT_TOLD


if __name__ == "__main__":
    sys.exit(main())
