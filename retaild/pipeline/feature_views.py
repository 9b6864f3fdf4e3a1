"""The features of customers and products. Gold's snapshot tables hold them, a row per Monday.

What a column means exactly is said in the SQL of its table, beside what computes it.
"""

from __future__ import annotations

from datetime import timedelta

from retaild.pipeline.features import Feature, FeatureType, FeatureView

#: Every entity has a new row each week. Two missed ones are survived; older values are too stale.
_TTL = timedelta(days=21)


def _features(**described: tuple[FeatureType, str]) -> tuple[Feature, ...]:
    return tuple(Feature(name, kind, text) for name, (kind, text) in described.items())


CUSTOMER = FeatureView(
    name="customer",
    entity="customer_id",
    table="gold.customer_snapshot",
    event_timestamp="event_timestamp",
    ttl=_TTL,
    features=_features(
        receipts=("int64", "Receipts so far."),
        lines=("int64", "Lines of goods bought so far."),
        distinct_products=("int64", "Different products bought so far."),
        revenue=("float64", "Spent so far, in the shop's currency."),
        mean_basket_value=("float64", "Revenue per receipt."),
        mean_basket_lines=("float64", "Lines per receipt."),
        days_since_last=("float64", "Days since the last receipt."),
        days_since_first=("float64", "Days since the first receipt."),
        mean_gap_days=("float64", "Mean days between receipts; null before the second."),
        return_share=("float64", "Share of returned lines in all lines."),
        repeat_share=("float64", "Share of purchases of products that were bought before."),
        receipts_28d=("int64", "Receipts of the last 28 days."),
        revenue_28d=("float64", "Spent in the last 28 days."),
        distinct_28d=("int64", "Different products bought in the last 28 days."),
    ),
)

PRODUCT = FeatureView(
    name="product",
    entity="product_id",
    table="gold.product_snapshot",
    event_timestamp="event_timestamp",
    ttl=_TTL,
    features=_features(
        units_7d=("float64", "Units sold in the last 7 days."),
        units_28d=("float64", "Units sold in the last 28 days."),
        units_91d=("float64", "Units sold in the last 91 days."),
        receipts_28d=("int64", "Receipts with it in the last 28 days."),
        customers_28d=("int64", "Known customers who bought it in the last 28 days."),
        customers_91d=("int64", "Known customers who bought it in the last 91 days."),
        repeat_share=("float64", "Share of purchases by customers who had bought it before."),
        avg_price_28d=("float64", "Average price of the last 28 days; null without sales."),
        price_ratio=("float64", "Average price of 7 days against 91 days."),
        days_since_first=("float64", "Days since the first sale."),
        days_since_last=("float64", "Days since the last sale."),
        trend=("float64", "Units of the last 28 days against those before, in -1..1."),
    ),
)

FEATURE_VIEWS: tuple[FeatureView, ...] = (CUSTOMER, PRODUCT)
