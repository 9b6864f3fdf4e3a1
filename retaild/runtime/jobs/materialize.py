"""Job `materialize`: writes the server's base snapshot from the lake."""

from __future__ import annotations

from typing import Any

from retaild.runtime.backup.locks import removing_files
from retaild.runtime.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Write `online/base-<offset>`; the newest two are kept. The server takes it by itself.

    Waits for a backup that is being made: it copies the files that would be replaced.
    """
    from retaild.runtime.serving.snapshot import Snapshot

    context.progress(0.0, "reading silver")
    snapshot = Snapshot(context.lake())
    try:
        with removing_files(context.data, lambda: context.progress(0.0, "waiting for a backup")):
            result = snapshot.build(context.data.online)
    finally:
        snapshot.close()
    context.progress(1.0, f"{result['customers']} customers, {result['products']} products")
    return result
