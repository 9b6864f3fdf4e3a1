"""MLlib's ALS as a trainer: by the suite for all, beside MLlib itself, on a real shop's sales."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from retaild_plugins.cluster.spark.als.artifact import Artifact
from retaild_plugins.cluster.spark.als.trainer import AlsTrainer, LeakError
from retaild_plugins.cluster.spark.config import SparkTrainerConfig

from retaild.api import BatchScorer, BuildContext, Lake, Trainer, TrainingContext, TrainingResult
from retaild.api.recommender import CustomerState, Purchase
from retaild.events.arrow import arrow_schema
from retaild.testing.trainer import RecommenderConformance, TableFeatures, catalogue_of

DAY = 86_400.0
BEGIN = datetime(2024, 1, 1, 9, tzinfo=UTC)  # a Monday
WEEKS = 20
GROUPS, OWN = 4, 10

#: receipt, customer, day (after BEGIN), products
Receipt = tuple[str, str | None, float, list[str]]


def product_ids() -> list[str]:
    return [f"g{group}-{number}" for group in range(GROUPS) for number in range(OWN)]


def shop() -> list[Receipt]:
    """Four kinds of customers, 25 of each; a kind buys from ten products that no other buys.

    Each comes weekly for two products of its kind, by chance, and its favourite every time.
    Customer c000 never bought g0-9, which all of its kind but it may.
    """
    random = np.random.default_rng(3)
    receipts: list[Receipt] = []
    for person in range(25 * GROUPS):
        group = person % GROUPS
        for week in range(WEEKS):
            numbers = {person // GROUPS % 5, *random.choice(OWN, 2, replace=False).tolist()}
            if person == 0:
                numbers -= {9}
            products = [f"g{group}-{number}" for number in sorted(numbers)]
            day = 7 * week + float(random.uniform(0, 4))
            who = None if random.random() < 0.05 else f"c{person:03}"
            receipts.append((f"r{person}-{week}", who, day, products))
    return receipts


def sale_table(receipts: Iterable[Receipt]) -> pa.Table:
    rows = [
        {
            "event_id": f"{receipt}/{place}", "event_time": BEGIN + timedelta(days=day),
            "source": "test", "store": "main", "receipt_id": receipt, "product_id": product,
            "description": f"THE {product}", "quantity": Decimal(1), "unit_price": Decimal(2),
            "discount": Decimal(0), "amount": Decimal(2), "currency": "GBP",
            "customer_id": customer, "line_type": "sale",
        }
        for receipt, customer, day, products in receipts
        for place, product in enumerate(products)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=arrow_schema("sale"))


def training(lake: Lake, workdir: Path) -> TrainingContext:
    workdir.mkdir(parents=True)
    return TrainingContext(lake=lake, features=TableFeatures(lake), workdir=workdir, threads=2)


@pytest.fixture(scope="module")
def config() -> SparkTrainerConfig:
    return SparkTrainerConfig(rank=8, iterations=8, holdout_weeks=2)


@pytest.fixture(scope="module")
def als(config: SparkTrainerConfig, spark_context: BuildContext) -> AlsTrainer:
    return AlsTrainer(config, spark_context)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("als") / "lake")
    lake.overwrite("silver.sale", sale_table(shop()))
    return lake


@pytest.fixture(scope="module")
def learned(
    als: AlsTrainer, lake: Lake, tmp_path_factory: pytest.TempPathFactory
) -> TrainingResult:
    return als.train(training(lake, tmp_path_factory.mktemp("als") / "model"))


class TestAlsConformance(RecommenderConformance):
    @pytest.fixture
    def trainer(self, als: AlsTrainer) -> Trainer:
        return als

    @pytest.fixture
    def result(self, learned: TrainingResult) -> TrainingResult:
        return learned

    @pytest.fixture
    def context(self, lake: Lake, learned: TrainingResult) -> TrainingContext:
        """Trained once for all tests; this points at the folder it wrote."""
        return TrainingContext(lake, TableFeatures(lake), learned.artifact)

    @pytest.fixture
    def poor_context(self, tmp_path: Path) -> TrainingContext:
        lake = Lake(tmp_path / "poor")
        lake.overwrite("silver.sale", sale_table(shop()[:60]))
        return training(lake, tmp_path / "work")

    @pytest.fixture
    def loading_code(self) -> str:
        return (
            "from retaild.api import BuildContext\n"
            "from retaild_plugins.cluster.spark.als.trainer import AlsTrainer\n"
            "from retaild_plugins.cluster.spark.config import SparkTrainerConfig\n"
            "trainer = AlsTrainer(SparkTrainerConfig(), BuildContext('x', artifact, artifact))\n"
            "model = trainer.load(artifact)\n"
            "assert 'pyspark' not in sys.modules\n"
        )

    @pytest.fixture
    def product_ids(self) -> list[str]:
        return product_ids()

    @pytest.fixture
    def now(self) -> float:
        return (BEGIN + timedelta(weeks=WEEKS)).timestamp()

    @pytest.fixture
    def known(self, now: float) -> CustomerState:
        bought = {
            0: Purchase(9, 9.0, now - 130 * DAY, now - 14 * DAY),
            2: Purchase(3, 3.0, now - 70 * DAY, now - 20 * DAY),
        }
        return CustomerState("c001", bought, receipts=12, first_time=now - 130 * DAY,
                             last_time=now - 14 * DAY)  # fmt: skip


def test_a_customer_is_solved_as_mllib_solves_them(learned: TrainingResult, lake: Lake) -> None:
    """MLlib's last half-iteration gives users of the final items: the server's sum is the same."""
    artifact = Artifact.read(learned.artifact)
    model = artifact.learned("serving")
    factors = artifact.factors(model.items.astype(np.float64))
    place = {product: row for row, product in enumerate(model.product_ids)}
    for customer in ("c000", "c017", "c099"):
        counts: dict[int, float] = {}
        for _, who, _, products in shop():
            for product in products if who == customer else ():
                counts[place[product]] = counts.get(place[product], 0.0) + 1.0
        solved = factors.solve(np.array(list(counts)), np.array(list(counts.values())))
        theirs = model.users[model.customer_ids.index(customer)]
        np.testing.assert_allclose(solved.factor, theirs, atol=2e-4)
        shares = solved.contributions(factors.items)
        np.testing.assert_allclose(shares.sum(axis=1), factors.items @ solved.factor, atol=1e-9)


def test_it_finds_what_a_kind_buys(learned: TrainingResult, als: AlsTrainer) -> None:
    """c000's kind buys g0-*: also somebody new who bought one of them is offered the others."""
    ids = product_ids()
    model = als.load(learned.artifact)
    model.bind(catalogue_of(ids))
    now = (BEGIN + timedelta(weeks=WEEKS)).timestamp()
    new = CustomerState("new", {3: Purchase(2, 2.0, now - DAY, now - DAY)}, receipts=2,
                        first_time=now - DAY, last_time=now - DAY)  # fmt: skip
    slate = model.recommend(new, [], now, OWN - 2)  # behind them, what is popular with all
    assert {ids[offer.product][:2] for offer in slate} == {"g0"}
    first, *others = sorted(slate, key=lambda offer: offer.product != 3)
    assert (first.reason, first.source) == ("You bought this 2 times", "repeat")
    assert {offer.reason for offer in others} == {"Because you bought THE g0-3"}
    basket = model.recommend(None, [ids.index("g2-5")], now, 4)
    assert {ids[offer.product][:2] for offer in basket} == {"g2"}
    assert basket[0].reason == "Goes with THE g2-5 in your basket"
    assert {ids[offer.product][:2] for offer in model.similar(ids.index("g1-0"), 9)} == {"g1"}


def test_an_old_model_is_judged_on_new_weeks_only(
    als: AlsTrainer, lake: Lake, learned: TrainingResult, tmp_path: Path
) -> None:
    past = BEGIN + timedelta(weeks=12)
    old = als.train(replace(training(lake, tmp_path / "old"), as_of=past))
    assert old.split != learned.split
    metrics = als.evaluate(old.artifact, training(lake, tmp_path / "now"))
    assert metrics.keys() == learned.metrics.keys()
    assert 0.0 < metrics["ndcg@10"] < 1.0
    with pytest.raises(LeakError):
        als.evaluate(learned.artifact, replace(training(lake, tmp_path / "then"), as_of=past))


def test_everybody_is_scored_as_the_server_would(
    als: AlsTrainer, lake: Lake, learned: TrainingResult
) -> None:
    """Ranked by Spark for all at once: the very slates of the model that answers one by one."""
    assert isinstance(als, BatchScorer)
    now = (BEGIN + timedelta(weeks=WEEKS)).timestamp()
    ids = product_ids()
    model = als.load(learned.artifact)
    model.bind(catalogue_of(ids))
    found = {slate.customer_id: slate.offers for slate in
             als.score_all(learned.artifact, lake, 6, now)}  # fmt: skip
    assert sorted(found) == [f"c{person:03}" for person in range(25 * GROUPS)]
    for customer in ("c000", "c030", "c099"):
        theirs = found[customer]
        ours = model.recommend(state_of(customer, ids), [], now, 6)
        assert [ids[offer.product] for offer in ours] == [offer.product_id for offer in theirs]
        for one, two in zip(ours, theirs, strict=True):
            assert one.score == pytest.approx(two.score, abs=2e-3)
            assert one.source == two.source
    assert any(offer.source == "repeat" for offer in found["c000"])


def state_of(customer: str, ids: list[str]) -> CustomerState:
    """What the server would know of a customer of the shop."""
    state = CustomerState(customer)
    for _, who, day, products in shop():
        if who == customer:
            time = (BEGIN + timedelta(days=day)).timestamp()
            state.receipts += 1
            for product in map(ids.index, products):
                bought = state.purchases.setdefault(product, Purchase(0, 0.0, time, time))
                bought.times_bought += 1
                bought.last_time = max(bought.last_time, time)
    return state


def test_real_sales(spark_context: BuildContext, online_retail: Path, tmp_path: Path) -> None:
    """A third of Online Retail's customers, the last five months."""
    lake = Lake(tmp_path / "lake")
    lake.overwrite("silver.sale", real_sales(online_retail).to_arrow())
    trainer = AlsTrainer(SparkTrainerConfig(), spark_context)
    result = trainer.train(training(lake, tmp_path / "model"))
    scores = {name: found["ndcg@10"] for name, found in result.baselines.items()}
    habit = "personal frequency + recent popularity"
    assert result.metrics["ndcg@10"] > 2 * scores["recent popularity"]
    # On so small a piece habits are nearly all there is to know; of what is new, ALS knows more.
    assert result.metrics["ndcg@10"] > 0.97 * scores[habit]
    assert result.metrics["novel_ndcg@10"] > 1.1 * result.baselines[habit]["novel_ndcg@10"]


def real_sales(path: Path) -> pl.DataFrame:
    return (
        pl.scan_parquet(path)
        .filter(
            (pl.col("InvoiceDate") >= datetime(2011, 7, 15))
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
            customer_id=pl.col("CustomerID").cast(pl.Int64).cast(pl.String),
            line_type=pl.lit("sale"),
        )
        .collect()
    )
