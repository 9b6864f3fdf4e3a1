"""The status of the shop's system in one answer."""

from __future__ import annotations

from typing import Any

from retaild import __version__
from retaild.runtime.serving.services import Services


def status(services: Services) -> dict[str, Any]:
    """Blocks for sqlite; call it in a thread."""
    progress = services.background.progress
    return {
        "ready": progress.ready,
        "reason": progress.reason,
        "version": __version__,
        "workers": services.admin.workers(),
        "notices": services.admin.notices(),
        "samples": list(services.vitals.samples),
        "figures": services.vitals.figures(),
    }
