"""Job `propose-prices`: asks the champion price model for better prices, within the rules."""

from __future__ import annotations

from typing import Any

from retaild.runtime.context import JobContext
from retaild.runtime.pricing.decisions import Decisions
from retaild.runtime.pricing.desk import PriceDesk, summary
from retaild.runtime.pricing.proposals import find_candidates, proposal_row


def run(context: JobContext) -> dict[str, Any]:
    """Replace the open proposals by new ones, the best gains first; what they promise together.

    Raises NoPriceModelError, NoPriceTrainerError, NoTableError.
    """
    desk = PriceDesk(context)
    context.progress(0.0, "reading products")
    version = desk.version
    candidates = find_candidates(desk, lambda done: context.progress(0.1 + 0.8 * done, "pricing"))
    chosen = candidates[: desk.model.max_proposals]
    now = context.settings.now()
    rows = [proposal_row(c, desk.currency(c.product), now) for c in chosen]
    context.progress(0.95, "opening proposals")
    bus = context.bus()
    bus.open()
    try:
        decisions: Decisions = desk.decisions(bus)
        decisions.replace_open(rows)
    finally:
        bus.close()
    figures = summary([row["payload"] for row in rows])
    context.progress(1.0, f"{figures['proposals']} proposals")
    return {
        **figures,
        "products": len(desk.products),
        "without_cost": sum(product.unit_cost is None for product in desk.products.values()),
        "left_out": len(candidates) - len(chosen),
        "model_version": version.version,
    }
