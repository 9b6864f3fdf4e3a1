"""Closing components, whatever happened."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_log = logging.getLogger(__name__)


@contextmanager
def closing_always(component: Any, name: str = "") -> Iterator[Any]:
    """Close `component` at the end, also after a failed `open`; a failing close is only logged."""
    try:
        yield component
    finally:
        try:
            component.close()
        except Exception:
            _log.exception("%s failed to close", name or type(component).__name__)
