"""A model's versions against the baselines, as bars and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from retaild.web.views import Model, ModelVersion


@dataclass(frozen=True, slots=True)
class Column:
    """One thing measured: `kind` is champion, challenger or baseline."""

    label: str
    kind: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Bar:
    """`width` is percent of the longest bar."""

    label: str
    kind: str
    value: float
    width: float


@dataclass(frozen=True, slots=True)
class Comparison:
    champion: ModelVersion | None
    challenger: ModelVersion | None
    columns: list[Column]
    bars: list[Bar]
    #: Metric names, the primary one first.
    metrics: list[str]


def comparison(model: Model) -> Comparison:
    """Champion, newest challenger and baselines side by side."""
    champion, challenger = _with_role(model, "champion"), _with_role(model, "challenger")
    columns = [
        Column(f"v{version['version']} {role}", role, version["metrics"])
        for role, version in (("champion", champion), ("challenger", challenger))
        if version is not None
    ]
    columns += [Column(name, "baseline", m) for name, m in model["baselines"].items()]
    primary = model["primary_metric"]
    names = sorted({name for column in columns for name in column.metrics} - {primary})
    return Comparison(champion, challenger, columns, _bars(columns, primary), [primary, *names])


def _with_role(model: Model, role: str) -> ModelVersion | None:
    return next((v for v in model["versions"] if v["role"] == role), None)


def _bars(columns: list[Column], primary: str) -> list[Bar]:
    measured = [(c, float(c.metrics[primary])) for c in columns if primary in c.metrics]
    longest = max((abs(value) for _, value in measured), default=0.0) or 1.0
    return [Bar(c.label, c.kind, v, round(100 * abs(v) / longest, 2)) for c, v in measured]
