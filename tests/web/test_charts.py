"""Geometry of the charts; expected places worked out by hand."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from retaild.web.charts.demand import demand_chart, margin_chart
from retaild.web.charts.history import history_chart
from retaild.web.charts.model import Marker, spread
from retaild.web.charts.scale import Scale, axis, ticks
from retaild.web.charts.small import spark, whisker
from retaild.web.formatting import Formats
from retaild.web.views import PriceHistory, PricePoint

FORMATS = Formats("GBP", ZoneInfo("UTC"))


def point(price: float, units: float, margin: float | None) -> PricePoint:
    return PricePoint(
        price=price, units=units, units_low=units / 2, units_high=units * 2,
        revenue=price * units, margin=margin,
    )  # fmt: skip


def test_scales_and_ticks() -> None:
    assert Scale(2, 4)(3) == 50
    assert Scale(0, 10, upward=True)(10) == 0
    assert Scale(0, 10).clamped(99) == 100
    assert ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert ticks(1.77, 4.43, 4) == [2, 3, 4]
    assert ticks(0, 0.35, 4) == [0, 0.1, 0.2, 0.3]
    scale, marks = axis(3, 97, 4)
    assert (scale.low, scale.high) == (0, 100)
    assert marks == [0, 25, 50, 75, 100]
    assert axis(2.42, 6.08)[1] == [2, 3, 4, 5, 6, 7]
    same, _ = axis(5, 5)
    assert same.low < 5 < same.high


def test_demand_curve() -> None:
    curve = [point(1, 40, 0), point(2, 20, 20), point(3, 10, 20)]
    chart = demand_chart(curve, {"current": ("now", curve[1])}, 1.0, FORMATS)
    assert chart is not None
    # Prices 1..3 are the width; units 0..80 the height (the band's top is 2 x 40).
    line = next(p for p in chart.paths if p.style == "curve")
    assert line.path == "M0 50L50 75L100 87.5"
    assert [(m.x, m.y) for m in chart.markers] == [(50, 75)]
    assert [rule.at for rule in chart.rules] == [0]
    assert chart.table[1] == ["£1.00", "40.0", "20.0 to 80.0", "£40.00", "£0.00"]


def test_margin_curve_goes_below_zero() -> None:
    chart = margin_chart([point(1, 10, -10), point(2, 5, 10)], {}, 1.5, FORMATS)
    assert chart is not None
    labels = [tick.label for tick in chart.y_ticks]
    assert "£0" in labels
    assert labels[0].startswith("−")
    losses = margin_chart([point(1, 10, -40), point(2, 5, -20)], {}, 5.0, FORMATS)
    assert losses is not None
    # -40 .. 0 is the height: the curve runs from the bottom to the middle.
    assert losses.paths[0].path == "M0 100L100 50"
    assert margin_chart([point(1, 10, None)], {}, None, FORMATS) is None
    assert demand_chart([], {}, None, FORMATS) is None


def test_price_history_is_made_of_steps() -> None:
    day = 86400.0
    ledger = [{"valid_from": 0.1 + n * day, "price": p} for n, p in ((0, 2.0), (10, 3.0))]
    history = PriceHistory(ledger=ledger, lowest_30_days=2.0)  # type: ignore[typeddict-item]
    chart = history_chart(history, FORMATS)
    assert chart is not None
    # Across to the next price, then up: four corners, the last at the right edge.
    corners = chart.paths[0].path[1:].split("L")
    xs, ys = zip(*(map(float, corner.split()) for corner in corners), strict=True)
    assert xs[0] == 0
    assert xs[1] == xs[2] == pytest.approx(100 * 10 / (10 + 1), abs=0.01)
    assert xs[3] == 100
    assert ys[0] == ys[1] > ys[2] == ys[3]
    assert chart.rules[0].at == ys[0]
    assert history_chart(PriceHistory(ledger=[], lowest_30_days=None), FORMATS) is None


def test_labels_that_would_meet_turn_away() -> None:
    def placed(*xs: float) -> list[tuple[str, int]]:
        return [(m.anchor, m.lift) for m in spread([Marker(x, 50, "word", "s") for x in xs])]

    assert placed(55, 50) == [("end", 0), ("start", 0)]
    assert placed(50, 55, 60) == [("end", 0), ("middle", 1), ("start", 0)]
    assert placed(30, 60) == [("middle", 0), ("middle", 0)]
    assert placed(10, 95) == [("start", 0), ("end", 0)]
    # No room to the left of 5 %: it is lifted and reads to the right.
    assert placed(5, 12) == [("start", 1), ("start", 0)]


def test_whisker() -> None:
    # -4 .. 0.25 over 104 of 112 pixels from 4: -1 lies at 4 + 104 x 3 / 4.25.
    drawn = whisker(-1.0, -9.0, 0.5)
    assert drawn.dot == drawn.unit == 77.4
    assert (drawn.low, drawn.high) == (4.0, 108.0)


def test_spark() -> None:
    drawn = spark([0, 5, 10])
    assert drawn.line == "M0 100L50 50L100 0"
    assert (drawn.last, drawn.peak) == (10, 10)
    assert spark([3]).line == ""
    assert spark([]).last == 0
    assert spark([0, 0]).line == "M0 100L100 100"
