"""Settings of the recommender."""

from __future__ import annotations

from pydantic import Field

from retaild.api import Config


class RecommenderConfig(Config):
    """How the recommender learns and what it may put side by side."""

    holdout_weeks: int = Field(
        default=4, ge=1, le=26, description="Newest calendar weeks, kept back to judge the model."
    )
    label_weeks: int = Field(
        default=4, ge=1, le=26, description="Weeks before the holdout that the ranker learns from."
    )
    label_windows: int = Field(default=3, ge=1, le=12, description="How many such windows.")
    label_step_weeks: int = Field(
        default=1, ge=1, le=26, description="How much earlier each of them begins than the next."
    )
    minimum_receipts: int = Field(
        default=200, ge=10, description="With fewer receipts before the holdout it does not train."
    )
    maximum_cases: int = Field(
        default=4000, ge=50, description="Customers and baskets per label window to learn from."
    )
    neighbours: int = Field(
        default=50, ge=5, le=500, description="Related products kept per product and source."
    )
    latent_products: int = Field(
        default=2500,
        ge=0,
        le=20_000,
        description="Best-selling products in the latent model; its work grows with the cube.",
    )
    latent_ridge: float = Field(
        default=200.0, gt=0, description="Ridge penalty of the latent model (EASE's lambda)."
    )
    similar_customers: int = Field(
        default=50, ge=0, le=1000, description="Customers whose baskets count; 0: source off."
    )
    half_life_days: float = Field(
        default=60.0, gt=0, description="After this time a purchase counts half."
    )
    popularity_half_life_days: float = Field(
        default=14.0, gt=0, description="The same for what is popular now."
    )
    rest_quantile: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="A product rests after a purchase for as long as all but this share of buyers "
        "wait; 0: it never rests.",
    )
    candidates: int = Field(
        default=70, ge=20, le=1000, description="Products never bought that the ranker looks at."
    )
    repeats: int = Field(
        default=50, ge=10, le=1000, description="Products bought before that it looks at."
    )
    trees: int = Field(default=64, ge=5, le=2000, description="Trees of the ranker.")
    leaves: int = Field(default=16, ge=4, le=256, description="Leaves of each tree.")
    learning_rate: float = Field(default=0.12, gt=0, le=1, description="Step size of the ranker.")
    category_cap: int = Field(
        default=3, ge=0, description="Most products of one category in a slate; 0: no limit."
    )
    uncapped_categories: tuple[str, ...] = Field(
        default=("OTHER",), description="Categories that are none: the cap does not hold in them."
    )
