"""Importing Feast, quietly and in half of its time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def import_feast() -> Any:
    """The module `feast`, with all that the backend uses of it imported. Takes seconds, once."""
    os.environ["FEAST_USAGE"] = "False"
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with _no_runtime_type_checks():
        import feast
        import feast.infra.compute_engines.local.compute
        import feast.infra.offline_stores.duckdb
        import feast.infra.online_stores.sqlite
        import feast.infra.registry.sql
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
