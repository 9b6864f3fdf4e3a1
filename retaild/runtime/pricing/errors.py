"""Faults around prices, in words."""

from __future__ import annotations

from retaild.api.errors import MissingDataError, RetaildError


class UnknownProposalError(RetaildError):
    key = "proposal.unknown"

    def __init__(self, proposal_id: str) -> None:
        super().__init__(
            f"There is no price proposal {proposal_id!r}.",
            hint="See `retaildctl price propose` for the open ones.",
        )


class DecidedError(RetaildError):
    """Somebody was quicker, or a newer proposal took its place."""

    key = "proposal.decided"

    def __init__(self, proposal_id: str, state: str, by: str | None) -> None:
        whom = f" by {by}" if by else ""
        super().__init__(
            f"Price proposal {proposal_id} is {state}{whom} and cannot be decided again.",
            hint="Look at the product's open proposal, if there is one.",
        )


class NoPriceModelError(MissingDataError):
    key = "price.no_model"

    def __init__(self, trainer: str) -> None:
        super().__init__(
            f"There is no price model in service yet (trainer {trainer!r}).",
            hint="Train one: `retaildctl job run train --argument trainer=" + f"{trainer}`.",
        )


class NoPriceTrainerError(RetaildError):
    key = "price.no_trainer"

    def __init__(self) -> None:
        super().__init__(
            "No trainer that produces prices is configured.",
            hint='Add `[trainer.price]` with `plugin = "price"` to the configuration.',
        )


class UnpricedProductError(RetaildError):
    key = "price.unknown_product"

    def __init__(self, product_id: str) -> None:
        super().__init__(
            f"The price model has not learned product {product_id!r}, or it has no price.",
            hint="It needs sales in several weeks; see `min_weeks` of the price trainer.",
        )
