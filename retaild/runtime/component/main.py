"""A component's process, after its birth: surroundings, heartbeat, runner, exit code.

Forked ones call `main`; in a Python environment of its own it is
`python -m retaild.runtime.component.main ORDER`, with the order as JSON.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from retaild.api.errors import ConfigError, RetaildError, TransientError
from retaild.config.faults import ConfigFaultsError
from retaild.host.registry import PluginRegistry
from retaild.runtime import logs
from retaild.runtime.component import RUNNERS, ComponentContext
from retaild.runtime.component.exits import EXIT_CONFIG, EXIT_FAILURE, EXIT_TEMPORARY
from retaild.runtime.context import surroundings
from retaild.runtime.heartbeat import Heart
from retaild.runtime.isolation.birth import READY, Order
from retaild.runtime.state import State
from retaild.runtime.worker import resolve

_log = logging.getLogger("retaild.component")

#: The reason that is kept of an error: enough to understand it.
_MAX_ERROR = 1000


def main(order: Order) -> int:
    """Run the component until it is told to stop; the exit code (see exits.py)."""
    began = time.monotonic()
    os.set_inheritable(READY, False)
    faulthandler.enable(sys.__stderr__ or 2)
    # The watchdog asks for this before it kills: the log then says where it hung.
    faulthandler.register(signal.SIGUSR1, file=sys.__stderr__ or 2, all_threads=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings, data = surroundings(_path(order.config), Path(order.data))
    logs.set_up(settings.retaild.log_level)
    logs.one_line_each()
    state = State(data.state_db)
    heart = Heart(_tell_open)
    context = ComponentContext(
        order.name, settings, data, PluginRegistry.load(data), state, stop, heart,
        kind=order.kind, instance=order.instance, memory_mib=order.memory_mib,
    )  # fmt: skip
    _start_pulse(context)
    code = _run(order, context)
    if stop.is_set() and code == 0:
        _log.info("%s has stopped after %.1f s", order.name, time.monotonic() - began)
    return code


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _start_pulse(context: ComponentContext) -> None:
    """Pass the heartbeat on, beside the work of the plugin."""

    never = threading.Event()

    def pulse() -> None:
        context.heart.first.wait()
        context.heart.run(lambda figures: context.state.beat(context.name, figures), never)

    threading.Thread(target=pulse, name="heartbeat", daemon=True).start()


def _tell_open() -> None:
    """To the daemon: from here on a call that takes too long counts as hung."""
    with suppress(OSError):
        os.write(READY, b"1")
        os.close(READY)


def _run(order: Order, context: ComponentContext) -> int:
    try:
        resolve(order.entry or RUNNERS[order.kind])(context)
    except (ConfigError, ConfigFaultsError) as error:
        return _end(context, EXIT_CONFIG, str(error))
    except TransientError as error:
        return _end(context, EXIT_TEMPORARY, str(error))
    except RetaildError as error:
        return _end(context, EXIT_FAILURE, str(error))
    except MemoryError:
        return _end(context, EXIT_FAILURE, "it asked for more memory than it may have")
    except Exception as error:
        _log.exception("%s ends", context.name)
        return _end(context, EXIT_FAILURE, f"{type(error).__name__}: {error}")
    if context.stop.is_set():
        return 0
    return _end(context, EXIT_FAILURE, "it ended although nobody asked it to")


def _end(context: ComponentContext, code: int, reason: str) -> int:
    _log.error("%s ends: %s", context.name, reason)
    with suppress(sqlite3.Error):  # the exit code says the most important part
        context.state.save_worker(context.name, last_error=reason[:_MAX_ERROR])
    return code


if __name__ == "__main__":
    _code = EXIT_FAILURE
    try:
        _order = Order.of(json.loads(sys.argv[1]))
        sys.path[:0] = _order.path
        _code = main(_order)
    except Exception:
        logging.exception("the component cannot start")
    finally:
        logging.shutdown()
        # Not sys.exit: a thread that a plugin left would keep the process.
        os._exit(_code)
