"""The checks of job `quality`, each a query over `bronze` and `silver` (of one family).

`bronze` and `silver` hold the rows both layers have kept; :now is the shop's time (UTC). A query
that finds nothing to measure gives NULL, which passes.
"""

from __future__ import annotations

from dataclasses import dataclass

from retaild.events import FAMILIES
from retaild.pipeline.streams import AMOUNT

_INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Check:
    """One figure and the limits within which it is all right."""

    name: str
    table: str
    query: str
    sentence: str
    high: float
    low: float = -_INFINITE
    unit: str = ""

    def told(self, value: float | None) -> str:
        """A sentence with the figure and its limit."""
        if value is None:
            return f"{self.sentence}: nothing to measure."
        return f"{self.sentence}: {self._text(value)} (at most {self._text(self.high)})."

    def _text(self, value: float) -> str:
        if self.unit == "%":
            return f"{100 * value:.2f} %"
        return f"{value:,.4f}".rstrip("0").rstrip(".") + self.unit


_MISSING = """
SELECT (SELECT COUNT(DISTINCT HASH(event_id)) FROM bronze)
    - (SELECT COUNT(*) FROM silver)
    - (SELECT COUNT(DISTINCT event_id) FROM refused)"""

_REPEATED = "SELECT COUNT(*) - COUNT(DISTINCT HASH(event_id)) FROM silver"

_DUPLICATES = "SELECT 1 - COUNT(DISTINCT HASH(event_id)) / NULLIF(COUNT(*), 0) FROM bronze"

_FUTURE = "SELECT COUNT(*) FROM silver WHERE event_time > :now + INTERVAL '1' DAY"

_AMOUNTS = f"""
SELECT ABS(
    (SELECT COALESCE(SUM(amount), 0) FROM silver)
    - (
        SELECT COALESCE(SUM(amount), 0)
        FROM (
            SELECT ANY_VALUE({AMOUNT}) AS amount
            FROM bronze
            WHERE event_id NOT IN (SELECT event_id FROM refused)
            GROUP BY event_id
        )
    )
)"""

_FRESHNESS = "SELECT EPOCH(:now - MAX(event_time)) / 3600 FROM silver WHERE event_time <= :now"

_OUTLIERS = """
WITH line AS (
    SELECT product_id, CAST(unit_price AS DOUBLE) AS price
    FROM silver WHERE line_type = 'sale'
),
usual AS (SELECT product_id, MEDIAN(price) AS price FROM line GROUP BY product_id)
SELECT AVG(CASE WHEN line.price > 20 * usual.price OR 20 * line.price < usual.price
    THEN 1.0 ELSE 0.0 END)
FROM line JOIN usual USING (product_id)"""

_NEGATIVE_STOCK = """
SELECT COUNT(*) FROM (
    SELECT ARG_MAX(on_hand, (event_time, _offset, event_id)) AS on_hand
    FROM silver GROUP BY store, product_id
) WHERE on_hand < 0"""

_NO_PRICE = "SELECT COUNT(*) FROM silver WHERE price <= 0"

_REFUSED = "SELECT COUNT(*) FROM silver WHERE _appended_at > now() - INTERVAL '7' DAY"


def checks() -> list[Check]:
    """All checks, by table."""
    found = [check for family in sorted(FAMILIES) for check in _of_every(family)]
    return sorted([*found, *_OWN], key=lambda check: (check.table, check.name))


def _of_every(family: str) -> list[Check]:
    table = f"silver.{family}"
    return [
        Check("complete", table, _MISSING, "Events in bronze that silver lacks", 0, 0),
        Check("counted once", table, _REPEATED, "Events that silver has twice", 0),
        Check(
            "sent again", table, _DUPLICATES,
            "Share of accepted events that had come before (left out of silver)", 0.9, unit="%",
        ),
        Check("in the future", table, _FUTURE, "Events more than a day ahead of the clock", 0),
    ]  # fmt: skip


def _nulls(column: str) -> str:
    return f"SELECT AVG(CASE WHEN {column} IS NULL THEN 1.0 ELSE 0.0 END) FROM silver"


_OWN = (
    Check("amounts add up", "silver.sale", _AMOUNTS, "Silver's sum differs from bronze's by", 0),
    Check("fresh", "silver.sale", _FRESHNESS, "Hours since the newest sale", 72, unit=" h"),
    Check(
        "known customers", "silver.sale", _nulls("customer_id"), "Lines without a customer", 0.5,
        unit="%",
    ),
    Check(
        "described", "silver.sale", _nulls("description"), "Lines without a description", 0.1,
        unit="%",
    ),
    Check(
        "plausible prices", "silver.sale", _OUTLIERS,
        "Lines at a price twenty times above or below the product's median", 0.005, unit="%",
    ),
    Check(
        "stock not negative", "silver.stock", _NEGATIVE_STOCK,
        "Products whose newest count is below zero", 0,
    ),
    Check("prices above zero", "silver.price", _NO_PRICE, "Announced prices of zero or less", 0),
    Check(
        "dead letters", "silver.dead_letter", _REFUSED, "Rows refused in the last seven days", 100
    ),
)  # fmt: skip
