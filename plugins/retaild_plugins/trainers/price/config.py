"""Settings of the price model: how demand is learned, what a good price is, and the rules."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from retaild.api import Config

Share = Annotated[float, Field(ge=0, le=1)]


class EndingBand(Config):
    """Prices from `from_price` on must end in one of these digits."""

    from_price: float = Field(ge=0, description="The band begins here and ends at the next one.")
    endings: tuple[str, ...] = Field(
        min_length=1,
        description="Last digits of the price as it is written: '9' allows 1.49 and 1.59, '.95' or "
        "'95' allows 2.95, '9.99' allows 19.99.",
    )

    @field_validator("endings")
    @classmethod
    def _digits(cls, endings: tuple[str, ...]) -> tuple[str, ...]:
        for ending in endings:
            if not re.fullmatch(r"\d*\.?\d+", ending):
                raise ValueError(
                    f"{ending!r} is not an ending: write digits such as '95' or '9.99'"
                )
        return endings


class Relation(Config):
    """Keeps min_ratio <= price(product) / price(other) <= max_ratio.

    A pack of six that is never dearer by the piece than the single: max_ratio = 6. An own label at
    least a tenth below the brand: max_ratio = 0.9.
    """

    product: str = Field(description="The product on top of the ratio.")
    other: str = Field(description="The product below it.")
    min_ratio: float | None = Field(default=None, gt=0, description="Least ratio; none: no limit.")
    max_ratio: float | None = Field(default=None, gt=0, description="Most ratio; none: no limit.")
    reason: str = Field(default="", description="Why, for people: 'the larger pack is no dearer'.")


class KeyValueItems(Config):
    """Products whose price customers know; they are held against competitors."""

    products: tuple[str, ...] = Field(default=(), description="Product ids.")
    categories: tuple[str, ...] = Field(default=(), description="Whole categories.")
    max_above: float = Field(
        default=0.0, ge=-1, le=10, description="How far above the competitor's price, as a share."
    )


class Rules(Config):
    """What a price must obey. Every rule is a constraint of the optimum, not a patch after it."""

    margin_floor: Share = Field(
        default=0.20,
        description="Least margin as a share of the price without tax; 0 means never below cost.",
    )
    max_increase: Share = Field(default=0.10, description="Most that one step may raise a price.")
    max_decrease: Share = Field(default=0.15, description="Most that one step may lower a price.")
    max_period_change: Share | None = Field(
        default=0.25,
        description="Most that a price may move either way from where it stood when the period "
        "began. None: no limit.",
    )
    period_days: int = Field(default=91, ge=1, description="Length of that period.")
    endings: tuple[EndingBand, ...] = Field(
        default=(
            EndingBand(from_price=0, endings=("5", "9")),
            EndingBand(from_price=5, endings=(".25", ".49", ".75", ".95", ".99")),
            EndingBand(from_price=50, endings=(".50", ".95", ".99")),
        ),
        description="Allowed price endings by price band. Empty: every price.",
    )
    min_price: float | None = Field(default=None, ge=0, description="No price below this.")
    max_price: float | None = Field(default=None, gt=0, description="No price above this.")
    stock_cover_weeks: float = Field(
        default=2.0,
        ge=0,
        description="A price is not lowered where stock would last less than this at that price.",
    )
    key_value_items: KeyValueItems = KeyValueItems()
    relations: tuple[Relation, ...] = Field(default=(), description="Sizes, families, brands.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        starts = [band.from_price for band in self.endings]
        if starts != sorted(set(starts)):
            raise ValueError("endings: the bands' from_price must rise from one to the next")
        if (self.min_price or 0) > (self.max_price or float("inf")):
            raise ValueError("min_price is above max_price")
        if self.margin_floor >= 1:
            raise ValueError("margin_floor must be below 1")
        return self


class PriceConfig(Config):
    """Learning, objective and rules."""

    weeks: int = Field(default=104, ge=12, description="Learn from this many weeks at most.")
    min_weeks: int = Field(default=8, ge=3, description="A product with fewer weeks is left out.")
    holdout_weeks: int = Field(
        default=6, ge=1, description="The last weeks, kept aside to measure the forecasts."
    )
    switch_penalty: float = Field(
        default=2.0,
        gt=0,
        description="Receipts that must speak for a change of the shelf price before it is seen as "
        "one; tells a new price from single bargains.",
    )
    bulk_multiple: float = Field(
        default=10.0,
        gt=1,
        description="A line of more than this many times the product's usual quantity counts as "
        "this many: one wholesale order does not make a demand curve.",
    )
    elasticity_min: float = Field(
        default=-8.0, lt=0, description="Elasticities below this are not believed."
    )
    elasticity_max: float = Field(
        default=-0.1,
        lt=0,
        description="Elasticities above this are not believed: demand falls as a price rises.",
    )
    objective: Literal["margin", "revenue", "mixed"] = Field(
        default="margin", description="What a week at a price is judged by."
    )
    margin_weight: Share = Field(
        default=0.5, description="With objective 'mixed': weight of margin, the rest is revenue."
    )
    risk_aversion: float = Field(
        default=1.0,
        ge=0,
        le=5,
        description="A change is judged at the elasticity this many standard errors to its "
        "disadvantage, so that what is known little moves little. 0: at the expected one.",
    )
    max_extrapolation: Share = Field(
        default=0.25, description="How far beyond the prices seen the demand curve is believed."
    )
    tax_rate: float = Field(
        default=0.0, ge=0, le=1, description="Tax contained in the shelf price, as a share of net."
    )
    unknown_cost: Literal["revenue", "refuse"] = Field(
        default="refuse",
        description="Where the unit cost is unknown: propose nothing, or price for revenue (which "
        "takes no account of margin: where demand is elastic it lowers price after price).",
    )
    min_gain: float = Field(
        default=1.0, ge=0, description="Least expected gain a week, in currency, to bother people."
    )
    min_gain_share: Share = Field(
        default=0.01, description="Least expected gain as a share of what the product brings now."
    )
    max_proposals: int = Field(
        default=200, ge=1, description="Most proposals of one run; the best gains come first."
    )
    rules: Rules = Rules()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.elasticity_min >= self.elasticity_max:
            raise ValueError("elasticity_min must be below elasticity_max")
        return self
