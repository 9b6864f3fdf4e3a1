"""Which weeks the model learns from and which judge it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from retaild.api.errors import MissingDataError
from retaild_plugins.trainers.recommender.config import RecommenderConfig

DAY = 86_400.0
WEEK = 7 * DAY
#: 1970-01-01 was a Thursday; the first Monday came four days later.
MONDAY = 4 * DAY


class TooShortError(MissingDataError):
    """The sales span too few weeks."""

    def __init__(self, days: float) -> None:
        super().__init__(
            f"The recommender needs at least four weeks of sales; the lake holds {days:.0f} days.",
            hint="Import more till data, or wait until there is enough.",
        )


@dataclass(frozen=True, slots=True)
class Split:
    """Moments in seconds since the epoch: label windows (newest first) and the holdout."""

    labels: tuple[tuple[float, float], ...]
    holdout: tuple[float, float]

    @property
    def starts(self) -> list[float]:
        """Where each label window and the holdout begin: what the model may know ends there."""
        return [*(start for start, _ in self.labels), self.holdout[0]]

    @property
    def name(self) -> str:
        start, end = (datetime.fromtimestamp(t, UTC) for t in self.holdout)
        return f"sales of {start:%Y-%m-%dT%H:%M} to {end:%Y-%m-%dT%H:%M} (UTC)"


def split(begin: float, end: float, config: RecommenderConfig) -> Split:
    """Calendar weeks (from Monday 00:00 UTC), the newest as holdout, the ones before as labels.

    Label windows overlap: the same weeks, asked from several moments, teach a small shop's model
    markedly better. A short history gets shorter windows, so that half of it stays to learn from.
    """
    weeks = int((end - begin) // WEEK)
    if weeks < 4:
        raise TooShortError((end - begin) / DAY)
    quarter = weeks // 4
    holdout_weeks = min(config.holdout_weeks, quarter)
    label_weeks = min(config.label_weeks, quarter)
    next_monday = MONDAY + -(-(end - MONDAY) // WEEK) * WEEK
    start = next_monday - holdout_weeks * WEEK
    room = int((start - begin) // WEEK) - weeks // 2
    count = max(1, min(config.label_windows, 1 + (room - label_weeks) // config.label_step_weeks))
    ends = [start - k * config.label_step_weeks * WEEK for k in range(count)]
    labels = tuple((end - label_weeks * WEEK, end) for end in ends)
    return Split(labels, (start, end))
