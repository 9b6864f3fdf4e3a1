"""Importing Feast, quietly and in half of its time."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

#: Feast makes a directory in /tmp for its web server's metrics unless one is named.
_METRICS_VARIABLES = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")


def import_feast(online: str = "sqlite") -> Any:
    """The module `feast`, with all that the backend uses of it imported. Takes seconds, once.

    `online`: the kind of its online store.
    """
    os.environ["FEAST_USAGE"] = "False"
    os.environ.setdefault("DO_NOT_TRACK", "1")
    logging.getLogger("feast").setLevel(logging.WARNING)
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())  # it sets filters of its own
        stack.enter_context(_no_metrics_files())
        stack.enter_context(_no_runtime_type_checks())
        import feast
        import feast.infra.compute_engines.local.compute
        import feast.infra.offline_stores.duckdb
        import feast.infra.registry.sql

        import_module(f"feast.infra.online_stores.{online}")
    return feast


@contextmanager
def _no_runtime_type_checks() -> Iterator[None]:
    """Let typeguard's `@typechecked` do nothing, as it does under `python -O`.

    Feast decorates its classes with it, which recompiles each of them on import: half of the time
    that `import feast` takes. Our calls are checked by tests.
    """
    import typeguard

    def unchanged(target: Any = None, **_options: Any) -> Any:
        return unchanged if target is None else target

    original = typeguard.typechecked
    typeguard.typechecked = unchanged
    try:
        yield
    finally:
        typeguard.typechecked = original


@contextmanager
def _no_metrics_files() -> Iterator[None]:
    """Keep this process's Prometheus metrics, if any, in memory: it serves nothing."""
    before = {name: os.environ.pop(name, None) for name in _METRICS_VARIABLES}
    # Decides when it is imported whether values live in memory or in files.
    import prometheus_client  # noqa: F401

    os.environ.update(dict.fromkeys(_METRICS_VARIABLES, ""))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
