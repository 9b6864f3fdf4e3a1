"""Which weeks judge the model, and which choose its blend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from retaild.api.errors import MissingDataError

WEEK = 7 * 86_400.0
#: 1970-01-01 was a Thursday; the first Monday came four days later.
_MONDAY = 4 * 86_400.0


class TooShortError(MissingDataError):
    def __init__(self, days: float) -> None:
        super().__init__(
            f"ALS needs at least four weeks of sales; the lake holds {days:.0f} days.",
            hint="Import more till data, or wait until there is enough.",
        )


@dataclass(frozen=True, slots=True)
class Weeks:
    """Moments in seconds UTC: the blend is chosen on choice..holdout, judged on holdout..end."""

    choice: float
    holdout: float
    end: float

    @property
    def name(self) -> str:
        start, end = (datetime.fromtimestamp(t, UTC) for t in (self.holdout, self.end))
        return f"sales of {start:%Y-%m-%dT%H:%M} to {end:%Y-%m-%dT%H:%M} (UTC)"


def weeks(begin: float, end: float, holdout_weeks: int) -> Weeks:
    """The newest calendar weeks (from Monday 00:00 UTC), and as many before them.

    Of a short history a quarter at most. These are the weeks that judge the plugin `recommender`,
    too, unless told otherwise: figures of the two compare.
    """
    whole = int((end - begin) // WEEK)
    if whole < 4:
        raise TooShortError((end - begin) / 86_400.0)
    held = min(holdout_weeks, whole // 4) * WEEK
    start = _MONDAY - (-(end - _MONDAY) // WEEK) * WEEK - held
    return Weeks(start - held, start, end)
