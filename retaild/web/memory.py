"""Memory of processes on this box, for workers that do not report their own."""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from retaild.web.views import Worker


def with_memory(workers: Sequence[Worker]) -> list[Worker]:
    """The workers with `memory` (resident bytes) in their figures where it can be known."""
    return [_with_memory(worker) for worker in workers]


def _with_memory(worker: Worker) -> Worker:
    figures, pid = worker.get("figures") or {}, worker.get("pid")
    if "memory" in figures or not pid or not worker["alive"]:
        return worker
    try:
        memory = psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return worker
    return Worker(**{**worker, "figures": {**figures, "memory": memory}})
