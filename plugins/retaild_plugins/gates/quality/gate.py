"""The quality gate: a chain of comparisons; the first that does not hold is the reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from retaild.api import TrainingResult, Verdict
from retaild_plugins.gates.quality.config import QualityConfig


class QualityGate:
    def __init__(self, config: QualityConfig) -> None:
        self._config = config

    def judge(self, challenger: TrainingResult, champion: dict[str, float] | None) -> Verdict:
        """Failures are all named; when it passes, what it was better than."""
        wanted, metric = self._config.only_for_metric, challenger.primary_metric
        if wanted and wanted != metric:
            return Verdict(True, f"Not judged: its metric is {metric}, not {wanted}.")
        value = challenger.metrics.get(metric, math.nan)
        if not math.isfinite(value):
            return Verdict(False, f"Its primary metric {metric} was not measured.")
        faults = [*self._limits(challenger), *self._comparisons(challenger, champion, value)]
        if faults:
            return Verdict(False, " ".join(faults))
        return Verdict(True, _praise(challenger, champion, value))

    def _limits(self, challenger: TrainingResult) -> Iterator[str]:
        metrics = challenger.metrics
        for name, least in self._config.minimum.items():
            found = metrics.get(name, math.nan)
            if not found >= least:
                yield f"{name} {_said(found)}; at least {least:.4g} is needed."
        for name, most in self._config.maximum.items():
            found = metrics.get(name, math.nan)
            if not found <= most:
                yield f"{name} {_said(found)}; at most {most:.4g} is allowed."
        if self._config.maximum_mib is not None:
            size = _mib(challenger.artifact)
            if size > self._config.maximum_mib:
                yield f"Its files hold {size:.1f} MiB; {self._config.maximum_mib:g} are allowed."

    def _comparisons(
        self, challenger: TrainingResult, champion: dict[str, float] | None, value: float
    ) -> Iterator[str]:
        config = self._config
        rivals = [
            (f"baseline {name}", metrics, config.baseline_margin)
            for name, metrics in challenger.baselines.items()
        ]
        if not rivals:
            yield "It was compared with no baseline."
        if champion is not None:
            rivals.append(("the champion", champion, config.champion_margin))
        metric, more = challenger.primary_metric, challenger.greater_is_better
        for name, metrics, margin in rivals:
            rival = metrics.get(metric, math.nan)
            if not math.isfinite(rival):
                yield f"{metric} of {name} was not measured."
            elif not _better(value, rival, margin, more):
                by = f" by {margin:.1%}" if margin else ""
                yield (
                    f"{metric} {value:.4g} does not beat {name} "
                    f"({rival:.4g}, {_change(value, rival)}){by}."
                )


def _better(value: float, rival: float, margin: float, more: bool) -> bool:
    """Strictly better by `margin` of the rival's size; a metric may be negative."""
    step = margin * abs(rival)
    return value > rival + step if more else value < rival - step


def _praise(challenger: TrainingResult, champion: dict[str, float] | None, value: float) -> str:
    metric = challenger.primary_metric
    rivals = {} if champion is None else {"the champion": champion[metric]}
    rivals |= {name: metrics[metric] for name, metrics in challenger.baselines.items()}
    said = ", ".join(
        f"{name} {rival:.4g} ({_change(value, rival)})" for name, rival in rivals.items()
    )
    return f"{metric} {value:.4g} beats {said}."


def _said(value: float) -> str:
    return "was not measured" if math.isnan(value) else f"is {value:.4g}"


def _change(value: float, rival: float) -> str:
    """The difference as a share of the rival: "+4.1%"."""
    return f"{(value - rival) / abs(rival):+.1%}" if rival else f"{value - rival:+.4g}"


def _mib(path: Path) -> float:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files) / 1024 / 1024
