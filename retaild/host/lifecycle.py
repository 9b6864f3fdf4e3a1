"""Opening components by the host's policy, and closing them whatever happened."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, Protocol

_log = logging.getLogger(__name__)

#: Pauses between attempts to open, in seconds; the last one repeats.
RETRY_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Closable(Protocol):
    def close(self) -> None: ...


@contextmanager
def closing_always(component: Any, name: str = "") -> Iterator[Any]:
    """Close `component` at the end, also after a failed `open`; a failing close is only logged."""
    try:
        yield component
    finally:
        close_quietly(component, name)


def close_quietly(component: Closable, name: str = "") -> None:
    try:
        component.close()
    except Exception:
        _log.exception("%s failed to close", name or type(component).__name__)


def open_by_policy(
    name: str,
    component: Closable,
    open_it: Callable[[], Any],
    startup: Literal["error", "retry", "ignore"],
    stop: threading.Event,
    on_error: Callable[[Exception], None] = lambda _error: None,
) -> bool:
    """Call `open_it` until it works, as `startup` wants; True if the component is open.

    "error" raises what went wrong, "ignore" logs it and answers False, "retry" tries again with
    growing pauses until it works or `stop` is set (False). After a failed attempt the component is
    closed. Blocks while it retries. `on_error` hears of every failed attempt.
    """
    attempt = 0
    while not stop.is_set():
        try:
            open_it()
        except Exception as error:  # whatever a plugin raises is its instance's fault alone
            close_quietly(component, name)
            with suppress(Exception):
                on_error(error)
            if startup == "error":
                raise
            pause = RETRY_PAUSES[min(attempt, len(RETRY_PAUSES) - 1)]
            if startup == "ignore":
                _log.warning("%s cannot be opened and is left out: %s", name, error)
                return False
            _log.warning("%s cannot be opened; next attempt in %g s: %s", name, pause, error)
            stop.wait(pause)
            attempt += 1
        else:
            return True
    return False
