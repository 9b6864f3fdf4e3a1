"""A product's price over time, as steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from retaild.web.charts.model import Chart, Path, Rule, Tick, line
from retaild.web.charts.scale import Scale, rounded, ticks
from retaild.web.formatting import Formats, as_decimal, as_moment
from retaild.web.views import PriceHistory

Step = tuple[float, float]


def history_chart(history: PriceHistory, formats: Formats) -> Chart | None:
    """None with fewer than one dated price. Prices hold until the next one."""
    steps = _steps(history)
    if not steps:
        return None
    lowest = as_decimal(history["lowest_30_days"])
    # The last price holds on: give it a twelfth of the width to be seen.
    first, last = steps[0][0], steps[-1][0]
    end = last + max((last - first) / 12, 86400.0)
    prices = [price for _, price in steps] + ([float(lowest)] if lowest is not None else [])
    x = Scale(first, end)
    y = rounded(min(prices) * 0.95, max(prices) * 1.05, 4, upward=True)
    return Chart(
        id="price-history",
        title="Price over time",
        description="Each step is a price that held until the next one. The dashed line is the "
        "lowest price of the last 30 days, which an announced reduction has to state.",
        x_label="",
        y_label=f"price, {formats.currency}",
        x_ticks=_dates(x, formats),
        y_ticks=[Tick(y(v), formats.money(v)) for v in ticks(y.low, y.high, 4)],
        paths=[Path(_path(steps, x, y, end), "curve")],
        rules=[] if lowest is None else [Rule(y(float(lowest)), "lowest, 30 days", "lowest")],
    )


def _steps(history: PriceHistory) -> list[Step]:
    found = []
    for row in history["ledger"]:
        moment, price = as_moment(row["valid_from"]), as_decimal(row["price"])
        if moment is not None and price is not None:
            found.append((moment.timestamp(), float(price)))
    return sorted(found)


def _path(steps: Sequence[Step], x: Scale, y: Scale, end: float) -> str:
    points: list[tuple[float, float]] = []
    for moment, price in steps:
        if points:
            points.append((x(moment), points[-1][1]))
        points.append((x(moment), y(price)))
    return line([*points, (x(end), points[-1][1])])


def _dates(x: Scale, formats: Formats, count: int = 4) -> list[Tick]:
    span = x.high - x.low
    moments = [x.low + span * index / (count - 1) for index in range(count)]
    return [Tick(x(m), formats.date(datetime.fromtimestamp(m, UTC))) for m in moments]
