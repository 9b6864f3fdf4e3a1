"""Demand and margin over price."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from retaild.web.charts.model import Chart, Marker, Path, Rule, Tick, band, line, spread
from retaild.web.charts.scale import Scale, axis, ticks
from retaild.web.formatting import Formats
from retaild.web.views import PricePoint

Value = Callable[[PricePoint], float]
#: Named prices to mark on a curve, in the order of importance: style -> (label, point).
Marked = Mapping[str, tuple[str, PricePoint]]


def demand_chart(
    curve: Sequence[PricePoint], marked: Marked, cost: float | None, formats: Formats
) -> Chart | None:
    """Units a week over price with the 90 % band; None without a curve."""
    if not curve:
        return None
    # The band of a steep curve at low prices would dwarf everything that matters.
    top = min(max(p["units_high"] for p in curve), 2.5 * max(p["units"] for p in curve))
    return _chart(
        "demand", "Demand", "units a week", curve, marked, cost, formats,
        value=lambda p: p["units"], low=0.0, high=top, words=lambda v: formats.compact(v),
        description="Expected units a week at each price. The shaded band holds 90 % of what the "
        "uncertainty of the elasticity allows.",
        band_of=lambda p: (p["units_low"], p["units_high"]),
    )  # fmt: skip


def margin_chart(
    curve: Sequence[PricePoint], marked: Marked, cost: float | None, formats: Formats
) -> Chart | None:
    """Margin a week over price; None where the unit cost is unknown."""
    if not curve or any(p["margin"] is None for p in curve):
        return None
    values = [_margin(p) for p in curve]
    # Far below cost the loss would dwarf everything that matters, unless all is loss.
    best = max(values)
    low = max(min(values), -0.6 * best) if best > 0 else min(values)
    return _chart(
        "margin", "Margin", f"{formats.currency} a week", curve, marked, cost, formats,
        value=_margin, low=min(low, 0.0), high=max(best, 0.0),
        words=lambda v: formats.money(v, 0 if max(map(abs, values)) >= 10 else 2),
        description="Expected margin (revenue less cost of goods) a week at each price.",
    )  # fmt: skip


def _margin(point: PricePoint) -> float:
    return point["margin"] or 0.0


def _price(point: PricePoint) -> float:
    return float(point["price"] or 0)


def _chart(
    name: str, title: str, unit: str, curve: Sequence[PricePoint], marked: Marked,
    cost: float | None, formats: Formats, *, value: Value, low: float, high: float,
    words: Callable[[float], str], description: str,
    band_of: Callable[[PricePoint], tuple[float, float]] | None = None,
) -> Chart:  # fmt: skip
    x = Scale(min(map(_price, curve)), max(map(_price, curve)))
    y, y_ticks = axis(low, high, upward=True)
    paths = [Path(line([(x(_price(p)), y.clamped(value(p))) for p in curve]), "curve")]
    if band_of:
        upper = [(x(_price(p)), y.clamped(band_of(p)[1])) for p in curve]
        lower = [(x(_price(p)), y.clamped(band_of(p)[0])) for p in curve]
        paths.insert(0, Path(band(upper, lower), "band"))
    markers = [
        Marker(x.clamped(_price(p)), y.clamped(value(p)), label, style)
        for style, (label, p) in marked.items()
        if x.low <= _price(p) <= x.high
    ]
    inside = cost is not None and x.low <= cost <= x.high
    return Chart(
        id=name,
        title=f"{title} at each price",
        description=description,
        x_label=f"price, {formats.currency}",
        y_label=unit,
        x_ticks=[Tick(x(v), formats.money(v)) for v in ticks(x.low, x.high, 4)],
        y_ticks=[Tick(y(v), words(v)) for v in y_ticks],
        paths=paths,
        markers=spread(markers),
        rules=[Rule(x(cost), "unit cost", "cost", vertical=True)] if inside and cost else [],
        legend=[("curve", "expected")] + ([("band", "90 % interval")] if band_of else []),
        table=_table(curve, formats),
    )


def _table(curve: Sequence[PricePoint], formats: Formats) -> list[list[str]]:
    """About a dozen of the curve's points: people read those, not two hundred."""
    every = max(1, len(curve) // 12)
    head = ["Price", "Units", "Units, 90 % interval", "Revenue", "Margin"]
    return [head] + [
        [
            formats.money(p["price"]),
            formats.number(p["units"], 1),
            f"{formats.number(p['units_low'], 1)} to {formats.number(p['units_high'], 1)}",
            formats.money(p["revenue"]),
            formats.money(p["margin"]),
        ]
        for p in curve[::every]
    ]
