"""Registers the gate `quality`."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api import BuildContext, Gate, GateSpec, hookimpl
from retaild_plugins.gates.quality.config import QualityConfig


def _build(config: QualityConfig, _context: BuildContext) -> Gate:
    from retaild_plugins.gates.quality.gate import QualityGate

    return QualityGate(config)


@hookimpl
def retaild_gates() -> Sequence[GateSpec]:
    return [
        GateSpec(
            name="quality",
            summary="Better than the champion and than every plain baseline, within limits.",
            config=QualityConfig,
            build=_build,
        )
    ]
