"""The pieces, against values worked out by hand."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from retaild_plugins.trainers import recommender
from retaild_plugins.trainers.recommender import reasons, relations
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.evidence import History, taste, top
from retaild_plugins.trainers.recommender.fit import fit
from retaild_plugins.trainers.recommender.metrics import summary
from retaild_plugins.trainers.recommender.split import TooShortError, split
from retaild_plugins.trainers.recommender.statistics import (
    RATE_COLUMNS,
    STORE_COLUMNS,
    Related,
    Statistics,
)

DAY = 86_400.0


def moment(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


def no_store(products: int) -> Any:
    return np.full((products, len(STORE_COLUMNS)), np.nan, np.float32)


def test_sample_is_the_default() -> None:
    text = (Path(recommender.__path__[0]) / "sample.toml").read_text("utf-8")
    settings = tomllib.loads(text)["trainer"]["recommender"]
    assert settings.pop("plugin") == "recommender"
    assert RecommenderConfig(**settings) == RecommenderConfig()


def test_split_keeps_calendar_weeks() -> None:
    """Friday 2011-12-09: four calendar weeks, the last one begun, go back to Monday 11-14."""
    config = RecommenderConfig(holdout_weeks=4, label_weeks=4, label_windows=2)
    found = split(moment(2010, 12, 1), moment(2011, 12, 9, 12, 50), config)
    assert found.holdout == (moment(2011, 11, 14), moment(2011, 12, 9, 12, 50))
    assert found.labels == (
        (moment(2011, 10, 17), moment(2011, 11, 14)),
        (moment(2011, 10, 10), moment(2011, 11, 7)),
    )


def test_short_history_gets_short_windows() -> None:
    """Nine weeks: a quarter (two weeks) each to judge and to label. Four weeks stay to learn from,
    so the first window may begin on 01-29 and there is room for two."""
    found = split(moment(2024, 1, 1), moment(2024, 3, 4), RecommenderConfig())
    assert found.holdout == (moment(2024, 2, 19), moment(2024, 3, 4))
    assert found.labels == (
        (moment(2024, 2, 5), moment(2024, 2, 19)),
        (moment(2024, 1, 29), moment(2024, 2, 12)),
    )
    with pytest.raises(TooShortError, match="20 days"):
        split(0.0, 20 * DAY, RecommenderConfig())


def test_metrics_by_hand() -> None:
    """Slate 7, 3, 9 with truth {3, 9}: DCG = 1/log2(3) + 1/log2(4) = 0.63093 + 0.5, the ideal
    1 + 0.63093; nothing found in the second case; the third has nothing to find."""
    truths = [np.array([3, 9], np.int32), np.array([1], np.int32), np.zeros(0, np.int32)]
    found = summary([[7, 3, 9], [2], [4]], truths, products=10)
    assert found["ndcg@10"] == pytest.approx((1.13093 / 1.63093) / 2, abs=1e-5)
    assert found["recall@10"] == 0.5
    assert found["hit_rate@10"] == 0.5
    assert found["mrr@10"] == 0.25
    assert found["precision@10"] == pytest.approx(0.1)
    assert found["coverage@10"] == 0.4  # 7, 3, 9 and 2 of ten


def test_cosine_by_hand() -> None:
    """Receipts {a,b} {a,b} {a,c}: equal damping, cos(a,b) = 2/sqrt(3*2), cos(a,c) = 1/sqrt(3)."""
    matrix = relations.incidence(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 2]), (3, 3))
    found = relations.cosine(matrix, 2, threads=1)
    assert found.index[0].tolist() == [1, 2]
    assert found.weight[0] == pytest.approx([2 / 6**0.5, 1 / 3**0.5], abs=1e-5)


def test_latent_by_hand() -> None:
    """X'X = [[2,1],[1,2]], ridge 1: P = [[3,-1],[-1,3]] / 8, so B = -P / diag(P) = 1/3."""
    matrix = relations.incidence(np.array([0, 0, 1, 2]), np.array([0, 1, 0, 1]), (3, 2))
    found = relations.latent(matrix, np.ones(2), ridge=1.0, limit=2, count=5)
    assert found.index.tolist() == [[1], [0]]
    assert found.weight.ravel() == pytest.approx([1 / 3, 1 / 3], abs=1e-6)


def test_strongest_keeps_order_and_weights() -> None:
    dense = np.array([[0.0, 0.5, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.25, 0.0]])
    import scipy.sparse as sp

    found = relations.strongest(sp.csr_matrix(dense), 2)
    assert found.index[0].tolist() == [2, 3]
    assert found.weight[0] == pytest.approx([2.0, 1.0], abs=1e-5)
    assert found.weight[1].tolist() == [0.0, 0.0]
    assert found.index[2].tolist() == [0, 2]


def test_following_looks_one_receipt_ahead(make_sales: Any) -> None:
    sales = make_sales([
        ("1", "ann", 0, ["filter"]), ("2", "ann", 1, ["coffee"]), ("3", "ann", 2, ["milk"]),
        ("4", "bob", 0, ["milk"]), ("5", "bob", 9, ["filter"]),
    ])  # fmt: skip
    found = relations.following(sales, 3)
    name = sales.product_ids.index
    after = {
        p: {sales.product_ids[i] for i, w in zip(found.index[name(p)], found.weight[name(p)],
                                                 strict=True) if w > 0}
        for p in ("coffee", "filter", "milk")
    }  # fmt: skip
    assert after == {"coffee": {"milk"}, "filter": {"coffee"}, "milk": {"filter"}}


def test_rates_and_gaps_by_hand(make_sales: Any) -> None:
    """tea at day 0, 10, 30 by ann: gaps 10 and 20 days, mean of logs = log sqrt(200) = 14.14 days.

    In the last 28 days before day 31 (from day 3), ann and bob bought anything. ann knew tea and
    bought it again (1 of 1); bob did not know it and bought it first (1 of 1). Shop-wide the
    rates are 1/1 again and 2/3 first (bob: tea; ann: jam of jam, bob did not buy jam), so
    shrinking by 20 leaves 1 and (1 + 20 * 2/3) / 21.
    """
    sales = make_sales([
        ("1", "ann", 0, ["tea"]), ("2", "ann", 10, ["tea"]), ("3", "ann", 30, ["tea", "jam"]),
        ("4", "bob", 30.5, ["tea"]),
    ])  # fmt: skip
    until = sales.time[0] + 31 * DAY
    stats = fit(sales, until, RecommenderConfig(), no_store(2), 1)
    tea = sales.product_ids.index("tea")
    rates = dict(zip(RATE_COLUMNS, stats.rates[tea].tolist(), strict=True))
    assert rates["again_28d"] == pytest.approx(1.0)
    assert rates["first_28d"] == pytest.approx((1 + 20 * 2 / 3) / 21, rel=1e-5)
    assert stats.product[tea, 3] == pytest.approx(200**0.5, rel=1e-4)


def test_taste_is_the_sum_of_decayed_purchases() -> None:
    """Three purchases 10 days apart, the last 5 days ago, half-life 20 days."""
    history = History(
        np.array([0]), np.array([3.0]), np.array([0.0]), np.array([20 * DAY]), 3, 0.0, 20 * DAY
    )
    expected = sum(0.5 ** (age / 20) for age in (5, 15, 25))
    assert taste(history, 25 * DAY, 20.0)[0] == pytest.approx(expected)


def test_taste_of_one_purchase() -> None:
    history = History(np.array([0]), np.array([1.0]), np.array([0.0]), np.array([0.0]))
    assert taste(history, 20 * DAY, 20.0)[0] == pytest.approx(0.5, rel=1e-6)


def test_top_of_ties_takes_the_first() -> None:
    assert top(np.array([0.0, 2.0, 1.0, 1.0, 1.0, -3.0]), 3).tolist() == [1, 2, 3]
    assert top(np.array([0.0, 0.0, 5.0]), 2).tolist() == [2]


def test_renumbered_statistics_mean_the_same(make_sales: Any, make_shop: Any) -> None:
    sales = make_sales(make_shop(weeks=6))
    stats = fit(sales, sales.end, RecommenderConfig(), no_store(len(sales.product_ids)), 1)
    order = np.random.default_rng(3).permutation(stats.size)
    ids = ["unheard-of", *(stats.product_ids[i] for i in order[:-1])]  # one new, one gone
    moved = stats.renumbered(ids)
    gone = stats.product_ids[order[-1]]
    for row, product in enumerate(ids[1:], start=1):
        old = stats.product_ids.index(product)
        assert relation(moved, moved.together, row) == {
            k: w for k, w in relation(stats, stats.together, old).items() if k != gone
        }
        assert moved.rest_days[row] == stats.rest_days[old]
        assert people(moved, row) == people(stats, old)
    assert relation(moved, moved.together, 0) == {}
    assert np.isnan(moved.product[0]).all()


def relation(stats: Statistics, related: Related, row: int) -> dict[str, float]:
    pairs = zip(related.index[row].tolist(), related.weight[row].tolist(), strict=True)
    return {stats.product_ids[k]: w for k, w in pairs if w > 0}


def people(stats: Statistics, row: int) -> dict[int, float]:
    related = stats.buyers
    pairs = zip(related.index[row].tolist(), related.weight[row].tolist(), strict=True)
    return {k: w for k, w in pairs if w > 0}


def test_statistics_survive_the_disk(tmp_path: Path, make_sales: Any, make_shop: Any) -> None:
    sales = make_sales(make_shop(weeks=5))
    stats = fit(sales, sales.end, RecommenderConfig(), no_store(len(sales.product_ids)), 1)
    stats.save(tmp_path / "s")
    again = Statistics.read(tmp_path / "s")
    assert again.product_ids == stats.product_ids
    assert again.until == stats.until
    np.testing.assert_array_equal(again.latent.weight, stats.latent.weight)
    np.testing.assert_array_equal(again.rates, stats.rates)


@pytest.mark.parametrize(
    ("shouted", "tidy"),
    [
        ("WHITE HANGING HEART T-LIGHT HOLDER", "White Hanging Heart T-Light Holder"),
        ("SET OF 3 CAKE TINS ", "Set of 3 Cake Tins"),
        ("  CHILDREN'S  APRON", "Children's Apron"),
        ("iPod Case", "iPod Case"),
        ("GIANT 50'S CHRISTMAS CRACKER", "Giant 50's Christmas Cracker"),
    ],
)
def test_tidy_names(shouted: str, tidy: str) -> None:
    assert reasons.tidy(shouted) == tidy


@pytest.mark.parametrize(
    ("times", "gap", "elapsed", "sentence"),
    [
        (4, 21.0, 20.4, "You buy this about every 3 weeks — last time 20 days ago"),
        (2, 7.0, 1.2, "You buy this about every 7 days — last time yesterday"),
        (3, 91.0, 61.0, "You buy this about every 3 months — last time 2 months ago"),
        (1, float("nan"), 0.3, "You bought this today"),
    ],
)
def test_repeat_reasons(times: int, gap: float, elapsed: float, sentence: str) -> None:
    assert reasons.repeat(times, gap, elapsed) == sentence
