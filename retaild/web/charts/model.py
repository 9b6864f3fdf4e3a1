"""What a chart is made of. Coordinates are percent of the plot, x rightwards, y downwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Path:
    """A line or an area; `path` is SVG path data in a 100 x 100 box; `style` a CSS class."""

    path: str
    style: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A labelled dot, with a drop line to the axis. `anchor` keeps its label inside the plot."""

    x: float
    y: float
    label: str
    style: str
    anchor: str = "middle"
    #: Lines of text to lift the label by, where two labels would meet.
    lift: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """A labelled reference line across the plot; `vertical` at `at` percent."""

    at: float
    label: str
    style: str
    vertical: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its words and its table alternative (first row of `table` is the head)."""

    id: str
    title: str
    description: str
    x_label: str
    y_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    paths: Sequence[Path] = ()
    markers: Sequence[Marker] = ()
    rules: Sequence[Rule] = ()
    legend: Sequence[tuple[str, str]] = ()
    table: Sequence[Sequence[str]] = field(default=())


def line(points: Sequence[tuple[float, float]]) -> str:
    """SVG path data through the points."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def band(upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]]) -> str:
    """The closed area between two lines over the same x."""
    return line([*upper, *reversed(lower)]) + "Z" if upper else ""


def anchored(x: float) -> str:
    """Where a label's text must be anchored so that it stays inside the plot."""
    return "start" if x < 14 else "end" if x > 86 else "middle"


def spread(markers: Sequence[Marker], apart: float = 18) -> list[Marker]:
    """Turn the labels of markers that stand closer together than `apart` percent from each other.

    The first of such a group reads to the left, the last to the right, those between are lifted.
    """
    groups: list[list[Marker]] = []
    for marker in sorted(markers, key=lambda m: m.x):
        if groups and marker.x - groups[-1][-1].x < apart:
            groups[-1].append(marker)
        else:
            groups.append([marker])
    return [placed for group in groups for placed in _turned(group)]


def _turned(group: Sequence[Marker]) -> list[Marker]:
    last = len(group) - 1
    if last == 0:
        return [replace(group[0], anchor=anchored(group[0].x))]
    turned = []
    for place, marker in enumerate(group):
        anchor = "end" if place == 0 else "start" if place == last else "middle"
        # At the plot's edge there is no room on that side: lift it instead.
        cramped = anchored(marker.x) not in ("middle", anchor)
        lift = 1 if anchor == "middle" or cramped else 0
        turned.append(replace(marker, anchor=anchored(marker.x) if cramped else anchor, lift=lift))
    return turned
