"""A product's price over time, as steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from retaild.web.charts.model import Chart, Path, Rule, Tick, line
from retaild.web.charts.scale import Scale, axis
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
    y, y_ticks = axis(min(prices) * 0.97, max(prices) * 1.03, upward=True)
    return Chart(
        id="price-history",
        title="Price over time",
        description="Each step is a price that held until the next one. The dashed line is the "
        "lowest price of the last 30 days, which an announced reduction has to state.",
        x_label="",
        y_label=f"price, {formats.currency}",
        x_ticks=_dates(x, first, last, formats),
        y_ticks=[Tick(y(v), formats.money(v)) for v in y_ticks],
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


def _dates(x: Scale, first: float, last: float, formats: Formats) -> list[Tick]:
    """Three dates from the first change to the last; one if there is only one."""
    moments = sorted({first, (first + last) / 2, last})
    return [Tick(x(m), formats.date(datetime.fromtimestamp(m, UTC))) for m in moments]
