"""Finding the proposals worth a person's time."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from retaild.api.pricing import PriceState, Proposal
from retaild.runtime.pricing import payload
from retaild.runtime.pricing.desk import PriceDesk
from retaild.runtime.pricing.money import to_money
from retaild.runtime.pricing.products import PricedProduct


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposal with the product it is for; `gain` is what ranks it."""

    product: PricedProduct
    state: PriceState
    proposal: Proposal

    @property
    def gain(self) -> float:
        """Expected gain a week: margin where it is known, else revenue."""
        now, then = self.proposal.current, self.proposal.proposed
        if now.margin is None or then.margin is None:
            return then.revenue - now.revenue
        return then.margin - now.margin

    @property
    def changes(self) -> bool:
        return self.proposal.proposed.price != self.proposal.current.price


def find_candidates(desk: PriceDesk, progress: Callable[[float], None]) -> list[Candidate]:
    """A better price for each product that has one, best first.

    Related products are looked at after one another: a later one respects both the present and the
    proposed price of an earlier one, so that any of the proposals may be approved alone.
    """
    ledgers = desk.ledgers()
    prices: dict[str, tuple[float, ...]] = {}
    found: list[Candidate] = []
    product_ids = sorted(desk.products)
    for done, product_id in enumerate(product_ids):
        if done % 256 == 0:
            progress(done / len(product_ids))
        state = desk.state(product_id, ledgers)
        if state.related:
            state = _with_proposed(state, prices)
        proposal = desk.model.propose(state)
        if proposal is None:
            continue
        candidate = Candidate(desk.products[product_id], state, proposal)
        if candidate.changes:
            prices[product_id] = (state.price, proposal.proposed.price)
            found.append(candidate)
    return sorted(found, key=lambda candidate: -candidate.gain)


def _with_proposed(state: PriceState, prices: dict[str, tuple[float, ...]]) -> PriceState:
    related = {other: prices.get(other, now) for other, now in state.related.items()}
    return replace(state, related=related)


def proposal_row(candidate: Candidate, currency: str, created: float) -> dict[str, Any]:
    """A row of the state's table `proposal`."""
    body = payload.proposal(candidate.proposal, candidate.product, currency)
    return {
        "id": uuid.uuid4().hex,
        "product_id": candidate.product.product_id,
        "created": created,
        "current_price": str(to_money(candidate.proposal.current.price, currency)),
        "proposed_price": str(to_money(candidate.proposal.proposed.price, currency)),
        "payload": body,
    }
