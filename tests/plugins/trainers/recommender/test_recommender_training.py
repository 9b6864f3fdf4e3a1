"""The trainer as a whole, on the small shop and on a piece of the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.plugin import retaild_trainers
from retaild_plugins.trainers.recommender.ranking import parameters
from retaild_plugins.trainers.recommender.trainer import LeakError, RecommenderTrainer

from retaild.api import Lake, Trainer, TrainingContext, TrainingResult
from retaild.api.recommender import CustomerState, Purchase
from retaild.testing.trainer import RecommenderConformance

DAY = 86_400.0
BEGIN = datetime(2024, 1, 1, 9, tzinfo=UTC)


class TestRecommenderConformance(RecommenderConformance):
    @pytest.fixture
    def trainer(self, small_config: RecommenderConfig) -> Trainer:
        return RecommenderTrainer(small_config)

    @pytest.fixture
    def context(self, shop_lake: Lake, make_context: Any, tmp_path: Path) -> TrainingContext:
        context: TrainingContext = make_context(shop_lake, tmp_path / "work")
        return context

    @pytest.fixture
    def result(self, shop_result: TrainingResult, context: TrainingContext) -> TrainingResult:
        """Trained once for all tests; the context is pointed at the folder it wrote."""
        object.__setattr__(context, "workdir", shop_result.artifact)
        return shop_result

    @pytest.fixture
    def poor_context(
        self, make_lake: Any, make_shop: Any, make_context: Any, tmp_path: Path
    ) -> TrainingContext:
        lake = make_lake(tmp_path / "poor", make_shop(weeks=20)[:60])
        context: TrainingContext = make_context(lake, tmp_path / "poor-work")
        return context

    @pytest.fixture
    def loading_code(self) -> str:
        return (
            "from retaild_plugins.trainers.recommender.config import RecommenderConfig\n"
            "from retaild_plugins.trainers.recommender.trainer import RecommenderTrainer\n"
            "model = RecommenderTrainer(RecommenderConfig()).load(artifact)\n"
        )

    @pytest.fixture
    def product_ids(self) -> list[str]:
        return [f"extra-{e:02}" for e in range(30)] + [f"staple-{k}" for k in range(20)]

    @pytest.fixture
    def now(self) -> float:
        return (BEGIN + timedelta(days=141)).timestamp()

    @pytest.fixture
    def known(self, now: float) -> CustomerState:
        bought = {
            31: Purchase(9, 9.0, now - 130 * DAY, now - 14 * DAY),
            2: Purchase(3, 3.0, now - 70 * DAY, now - 20 * DAY),
        }
        return CustomerState("c001", bought, receipts=12, first_time=now - 130 * DAY,
                             last_time=now - 14 * DAY)  # fmt: skip


def test_beats_every_baseline(shop_result: TrainingResult) -> None:
    """Habits in the small shop are two-weekly: frequency alone cannot know whose week it is."""
    best = max(scores["ndcg@10"] for scores in shop_result.baselines.values())
    assert shop_result.metrics["ndcg@10"] > best
    assert shop_result.metrics["basket_ndcg@10"] > max(
        scores["basket_ndcg@10"] for scores in shop_result.baselines.values()
    )


def test_same_seed_same_model(
    shop_lake: Lake, shop_result: TrainingResult, small_config: RecommenderConfig,
    make_context: Any, tmp_path: Path,
) -> None:  # fmt: skip
    again = RecommenderTrainer(small_config).train(make_context(shop_lake, tmp_path / "again"))
    assert again.metrics == shop_result.metrics
    name = "ranker.txt"
    assert (again.artifact / name).read_bytes() == (shop_result.artifact / name).read_bytes()


def test_threads_and_seed_reach_lightgbm() -> None:
    found = parameters(RecommenderConfig(), threads=1, seed=42)
    assert (found["num_threads"], found["seed"]) == (1, 42)


def test_ranker_scores_as_lightgbm_does(shop_result: TrainingResult) -> None:
    import lightgbm
    from retaild_plugins.trainers.recommender.artifact import Artifact
    from retaild_plugins.trainers.recommender.evidence import FEATURES

    random = np.random.default_rng(0)
    rows = random.normal(2.0, 30.0, (500, len(FEATURES))).astype(np.float32)
    rows[random.random(rows.shape) < 0.2] = np.nan
    booster = lightgbm.Booster(model_file=str(shop_result.artifact / "ranker.txt"))
    found = Artifact.read(shop_result.artifact).ranker().score(rows)
    np.testing.assert_allclose(found, booster.predict(rows, raw_score=True), rtol=1e-12)


def test_an_old_model_on_new_weeks(
    shop_lake: Lake, small_config: RecommenderConfig, make_context: Callable[..., Any],
    tmp_path: Path, shop_result: TrainingResult,
) -> None:  # fmt: skip
    """Trained at week 14, judged on weeks 18 to 20 with all it knew; never on weeks it has seen."""
    trainer = RecommenderTrainer(small_config)
    past = BEGIN + timedelta(weeks=14)
    old = trainer.train(make_context(shop_lake, tmp_path / "old", as_of=past))
    assert old.split != shop_result.split
    metrics = trainer.evaluate(old.artifact, make_context(shop_lake, tmp_path / "now"))
    assert metrics.keys() == shop_result.metrics.keys()
    assert 0.0 < metrics["ndcg@10"] < 1.0
    with pytest.raises(LeakError):
        trainer.evaluate(
            shop_result.artifact, make_context(shop_lake, tmp_path / "then", as_of=past)
        )


def test_as_of_reads_nothing_later(
    make_lake: Any, make_shop: Any, make_context: Any, small_config: RecommenderConfig,
    shop_lake: Lake, tmp_path: Path,
) -> None:  # fmt: skip
    past = BEGIN + timedelta(weeks=14)
    cut = make_lake(tmp_path / "cut", [r for r in make_shop() if r[2] < 14 * 7])
    trainer = RecommenderTrainer(small_config)
    one = trainer.train(make_context(shop_lake, tmp_path / "one", as_of=past))
    two = trainer.train(make_context(cut, tmp_path / "two"))
    assert one.split == two.split
    assert one.metrics["recall@10"] == pytest.approx(two.metrics["recall@10"], abs=0.02)


def test_a_shop_without_known_customers(
    make_lake: Any, make_shop: Any, make_context: Any, small_config: RecommenderConfig,
    tmp_path: Path,
) -> None:  # fmt: skip
    """It learns from baskets: pairs that always go together are found."""
    from retaild.testing.trainer import catalogue_of

    lake = make_lake(tmp_path / "lake", make_shop(anonymous=True))
    trainer = RecommenderTrainer(small_config)
    result = trainer.train(make_context(lake, tmp_path / "work"))
    assert result.metrics["ndcg@10"] > result.baselines["popularity"]["ndcg@10"]
    ids = [f"hobby-{k}-{side}" for k in range(10) for side in ("left", "right")]
    model = trainer.load(result.artifact)
    model.bind(catalogue_of(ids))
    now = (BEGIN + timedelta(days=141)).timestamp()
    assert ids[model.recommend(None, [ids.index("hobby-3-left")], now, 1)[0].product] == (
        "hobby-3-right"
    )
    assert len(model.recommend(None, [], now, 5)) == 5


def test_real_sales_beat_the_baselines(fill_lake: Any, make_context: Any, tmp_path: Path) -> None:
    """A third of Online Retail's customers, five months: some 300 customers a label window."""
    lake = fill_lake(Lake(tmp_path / "lake"), real_sales().to_arrow())
    result = RecommenderTrainer(RecommenderConfig()).train(make_context(lake, tmp_path / "work"))
    scores = {name: found["ndcg@10"] for name, found in result.baselines.items()}
    assert result.metrics["ndcg@10"] > 2 * scores["popularity"]
    assert result.metrics["ndcg@10"] > max(scores.values())
    novel = max(found["novel_ndcg@10"] for found in result.baselines.values())
    assert result.metrics["novel_ndcg@10"] > 1.1 * novel


def real_sales() -> pl.DataFrame:
    path = Path(__file__).parents[4] / "retaild" / "demo" / "data" / "online_retail.parquet"
    start = datetime(2011, 7, 15)
    return (
        pl.scan_parquet(path)
        .filter(
            (pl.col("InvoiceDate") >= start)
            & pl.col("StockCode").str.contains(r"^\d{5}[A-Za-z]*$")
            & ~pl.col("InvoiceNo").str.starts_with("C")
            & (pl.col("Quantity") > 0)
            & (pl.col("UnitPrice") > 0)
            & (pl.col("CustomerID").is_null() | (pl.col("CustomerID") % 3 == 0))
        )
        .select(
            event_time=pl.col("InvoiceDate").dt.replace_time_zone("UTC"),
            store=pl.lit("main"),
            receipt_id=pl.col("InvoiceNo"),
            product_id=pl.col("StockCode"),
            description=pl.col("Description"),
            quantity=pl.col("Quantity").cast(pl.Float64),
            unit_price=pl.col("UnitPrice"),
            amount=pl.col("UnitPrice") * pl.col("Quantity"),
            customer_id=pl.col("CustomerID").cast(pl.Int64).cast(pl.String),
            country=pl.col("Country"),
            line_type=pl.lit("sale"),
        )
        .collect()
    )


def test_registered_without_its_libraries() -> None:
    (spec,) = retaild_trainers()
    assert (spec.name, spec.produces) == ("recommender", "recommender")


def test_progress_runs_forward(
    shop_lake: Lake, small_config: RecommenderConfig, make_context: Any, tmp_path: Path
) -> None:
    told: list[float] = []
    context = make_context(
        shop_lake, tmp_path / "work", progress=lambda fraction, _text: told.append(fraction)
    )
    config = small_config.model_copy(update={"trees": 5, "label_windows": 1})
    RecommenderTrainer(config).train(replace(context))
    assert told == sorted(told)
    assert told[-1] == 1.0
