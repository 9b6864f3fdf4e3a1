"""The price ledger: the prices of a product over time, and the lowest one before a reduction.

It is append-only because it is made of events: announced prices (family `price`) and prices that
were seen at the till. Directive 98/6/EC, article 6a (inserted by directive (EU) 2019/2161):
whoever announces a price reduction states the lowest price applied during at least the 30 days
before it. Where reductions follow one another without interruption, paragraph 5 lets member states
refer all of them to the price before the first.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from retaild.api.lake import Lake
from retaild.runtime.serving.ledger import THIRTY_DAYS, Announcement, Ledger

__all__ = ["Announcement", "Ledger", "lowest_price_30_days", "read_announced", "read_ledgers"]


def lowest_price_30_days(history: Ledger, at: float, *, progressive: bool = False) -> float | None:
    """The lowest price in force in the 30 days before `at`, a reduction (seconds since the epoch).

    A price that began earlier and was still in force when the 30 days began counts; the reduced
    price itself does not. None if no price is known. `progressive`: a reduction that follows on
    others without a rise in between, each within 30 days of the one before, refers to the days
    before the first of them.
    """
    return history.lowest(_first_reduction(history, at) if progressive else at)


def _first_reduction(history: Ledger, at: float) -> float:
    """Where the unbroken series of reductions that `at` continues began."""
    moments = sorted({m for m in _turns(history) if m < at}, reverse=True)
    start = at
    for moment in moments:
        before, after = _just_before(history, moment), history.current(moment)
        if before is None or after is None or after == before:
            continue
        if after > before or start - moment > THIRTY_DAYS:
            break
        start = moment
    return start


def _turns(history: Ledger) -> list[float]:
    begins = [time for time, _ in history.observed]
    begins += [announced.valid_from for announced in history.announced]
    return begins + [a.valid_to for a in history.announced if a.valid_to is not None]


def _just_before(history: Ledger, moment: float) -> float | None:
    earlier = [turn for turn in _turns(history) if turn < moment]
    return history.current(max(earlier)) if earlier else None


def read_ledgers(lake: Lake, product_ids: list[str] | None = None) -> dict[str, Ledger]:
    """Ledgers from the lake, by product; all products without `product_ids`.

    Reads what gold.price_history saw at the till and every price event of silver.
    """
    ledgers = read_announced(lake, product_ids)
    observed = _rows(
        lake, "gold.price_history", ["product_id", "valid_from", "price", "kind"], product_ids
    )
    for row in sorted(observed, key=lambda row: row["valid_from"]):
        if row["kind"] == "observed":
            seen = (row["valid_from"].timestamp(), float(row["price"]))
            ledgers.setdefault(row["product_id"], Ledger()).observed.append(seen)
    return ledgers


def read_announced(lake: Lake, product_ids: list[str] | None = None) -> dict[str, Ledger]:
    """As `read_ledgers`, with the announced prices alone: there are few, so this is quick."""
    ledgers: defaultdict[str, Ledger] = defaultdict(Ledger)
    for row in _rows(lake, "silver.price", None, product_ids):
        ledgers[row["product_id"]].announce(Announcement.of(_plain(row)))
    return dict(ledgers)


def _rows(
    lake: Lake, table: str, columns: list[str] | None, product_ids: list[str] | None
) -> list[dict[str, Any]]:
    import pyarrow.compute as pc

    if not lake.exists(table):
        return []
    wanted = None if product_ids is None else pc.field("product_id").isin(product_ids)
    rows: list[dict[str, Any]] = (
        lake.dataset(table).to_table(columns=columns, filter=wanted).to_pylist()
    )
    return rows


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Times as seconds since the epoch and money as float, as in the hot path."""
    plain = dict(row)
    for name in ("event_time", "valid_from", "valid_to"):
        moment = row.get(name)
        if isinstance(moment, datetime):
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            plain[name] = aware.timestamp()
    plain["price"] = float(row["price"])
    return plain
