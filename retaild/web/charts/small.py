"""Charts that fit a table's cell: whisker and sparkline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retaild.web.charts.model import line
from retaild.web.charts.scale import Scale

#: Elasticities shown at their place; what lies beyond is drawn at the edge.
ELASTICITY_AXIS = (-4.0, 0.25)
WHISKER_WIDTH = 112


@dataclass(frozen=True, slots=True)
class Whisker:
    """Pixels in a box WHISKER_WIDTH wide; `unit` is where demand is unit-elastic (-1)."""

    dot: float
    low: float
    high: float
    unit: float
    zero: float


def whisker(estimate: float, low: float, high: float) -> Whisker:
    scale = Scale(*ELASTICITY_AXIS)

    def at(value: float) -> float:
        return round(4 + scale.clamped(value) / 100 * (WHISKER_WIDTH - 8), 1)

    return Whisker(at(estimate), at(low), at(high), at(-1.0), at(0.0))


@dataclass(frozen=True, slots=True)
class Spark:
    """Path data in a 100 x 100 box, from 0 up; empty with fewer than two values."""

    line: str
    area: str
    last: float
    peak: float


def spark(values: Sequence[float]) -> Spark:
    peak = max(values, default=0.0)
    if len(values) < 2:
        return Spark("", "", values[-1] if values else 0.0, peak)
    x, y = Scale(0, len(values) - 1), Scale(0, peak or 1.0, upward=True)
    points = [(x(index), y(value)) for index, value in enumerate(values)]
    path = line(points)
    return Spark(path, f"{path}L100 100L0 100Z", values[-1], peak)
