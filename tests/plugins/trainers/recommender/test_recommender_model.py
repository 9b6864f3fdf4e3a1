"""What customers see: slates that follow what happens, and true reasons."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from retaild_plugins.trainers.recommender.artifact import Artifact, ArtifactError
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.trainer import RecommenderTrainer

from retaild.api import TrainingResult
from retaild.api.recommender import Catalogue, CustomerState, Purchase
from retaild.testing.trainer import catalogue_of

DAY = 86_400.0
NOW = 1_704_099_600.0 + 140 * DAY  # 2024-01-01 09:00 UTC, twenty weeks later
EXTRAS = [f"extra-{e:02}" for e in range(30)]
STAPLES = [f"staple-{k}" for k in range(20)]
HOBBIES = [f"hobby-{k}-{side}" for k in range(10) for side in ("left", "right")]
IDS = EXTRAS + STAPLES + HOBBIES


@pytest.fixture
def catalogue() -> Catalogue:
    categories = ["extra"] * 30 + ["staple"] * 20 + ["OTHER"] * 20
    return catalogue_of(IDS, categories)


def load(result: TrainingResult, catalogue: Catalogue, **settings: Any) -> Any:
    model = RecommenderTrainer(RecommenderConfig(**settings)).load(result.artifact)
    model.bind(catalogue)
    return model


@pytest.fixture
def model(shop_result: TrainingResult, catalogue: Catalogue) -> Any:
    return load(shop_result, catalogue)


def regular(last: float = 14.0) -> CustomerState:
    """Customer 3: staple-3 every two weeks, the last time `last` days ago."""
    bought = {
        IDS.index("staple-3"): Purchase(9, 9.0, NOW - 126 * DAY, NOW - last * DAY),
        IDS.index("extra-00"): Purchase(8, 8.0, NOW - 130 * DAY, NOW - 9 * DAY),
    }
    return CustomerState(
        "c003", bought, receipts=16, first_time=NOW - 130 * DAY, last_time=NOW - 7 * DAY
    )


def names(slate: Any) -> list[str]:
    return [IDS[r.product] for r in slate]


def test_what_is_due_comes_early_and_says_so(model: Any) -> None:
    """The staple's cycle is two weeks: fourteen days after the last time it is near the top, five
    days after it there is time yet."""

    def place(last: float) -> int:
        slate = names(model.recommend(regular(last), [], NOW, 40))
        return slate.index("staple-3") if "staple-3" in slate else 40

    assert place(14.0) < 5
    assert place(14.0) < place(5.0)
    due = next(r for r in model.recommend(regular(), [], NOW, 5) if IDS[r.product] == "staple-3")
    assert due.source == "repeat"
    assert due.reason == "You buy this about every 2 weeks — last time 14 days ago"


def test_what_was_just_bought_rests(model: Any) -> None:
    """An hour after the purchase the same staple is not offered again."""
    assert "staple-3" not in names(model.recommend(regular(last=1 / 24), [], NOW, 10))


def test_basket_changes_the_slate_at_once(model: Any) -> None:
    left, right = IDS.index("hobby-7-left"), IDS.index("hobby-7-right")
    assert right not in [r.product for r in model.recommend(regular(), [], NOW, 10)]
    partner = next(r for r in model.recommend(regular(), [left], NOW, 5) if r.product == right)
    assert partner.source == "basket"
    assert partner.reason == "Goes with The Hobby-7-Left in your basket"
    held = regular()
    held.basket[left] = 1.0
    assert right in [r.product for r in model.recommend(held, [], NOW, 5)]


def test_views_count_and_fade(model: Any) -> None:
    left, right = IDS.index("hobby-7-left"), IDS.index("hobby-7-right")

    def place(age: float) -> int:
        customer = regular()
        customer.views.append((left, NOW - age))
        return [r.product for r in model.recommend(customer, [], NOW, 60)].index(right)

    assert place(60.0) < 10
    customer = regular()
    customer.views.append((left, NOW - 60.0))
    offer = next(r for r in model.recommend(customer, [], NOW, 10) if r.product == right)
    assert offer.reason == "Because you looked at The Hobby-7-Left"
    assert [r.product for r in model.recommend(regular(), [], NOW, 60)] != [
        r.product for r in model.recommend(customer, [], NOW, 60)
    ]


def test_cold_customers_get_what_is_popular(model: Any) -> None:
    slate = model.recommend(None, [], NOW, 3)
    assert set(names(slate)) <= set(EXTRAS[:8])
    assert {r.source for r in slate} == {"popular"}
    assert slate == model.recommend(CustomerState("new"), [], NOW, 3)


def test_category_cap_holds_also_when_candidates_run_out(model: Any) -> None:
    slate = names(model.recommend(regular(), [], NOW, 20))
    assert sum(name in EXTRAS for name in slate) <= 3
    assert sum(name in STAPLES for name in slate) <= 3
    assert sum(name in HOBBIES for name in slate) > 3  # OTHER is no category


def test_no_cap(shop_result: TrainingResult, catalogue: Catalogue) -> None:
    slate = names(load(shop_result, catalogue, category_cap=0).recommend(None, [], NOW, 10))
    assert sum(name in EXTRAS for name in slate) > 3


def test_slate_may_be_longer_than_the_candidates(model: Any, catalogue: Catalogue) -> None:
    catalogue.category[:] = -1
    slate = model.recommend(regular(), [0], NOW, 69)
    assert len(slate) == len({r.product for r in slate}) == 69  # all but the basket's


def test_a_customer_with_a_thousand_purchases(model: Any, catalogue: Catalogue) -> None:
    ids = [*IDS, *(f"more-{k}" for k in range(2000))]
    model.bind(catalogue_of(ids))
    customer = regular()
    for product in range(len(IDS), len(ids)):
        customer.purchases[product] = Purchase(1, 1.0, NOW - 40 * DAY, NOW - 40 * DAY)
    assert len(model.recommend(customer, [], NOW, 10)) == 10


def test_pairs_are_similar(model: Any) -> None:
    found = model.similar(IDS.index("hobby-4-left"), 5)
    assert IDS[found[0].product] == "hobby-4-right"
    assert found[0].reason == "Often bought with The Hobby-4-Left"


def test_a_new_product_has_neighbours_of_its_category(model: Any, catalogue: Catalogue) -> None:
    ids = [*IDS, "brand-new"]
    model.bind(catalogue_of(ids, ["extra"] * 30 + ["staple"] * 20 + ["hobby"] * 20 + ["staple"]))
    found = model.similar(len(IDS), 5)
    assert {ids[r.product] for r in found} <= set(STAPLES)
    assert len(found) == 5


def test_a_new_product_can_be_offered(model: Any) -> None:
    ids = [*IDS, "brand-new"]
    catalogue = catalogue_of(ids, ["extra"] * 30 + ["staple"] * 20 + ["hobby"] * 20 + ["extra"])
    model.bind(catalogue)
    catalogue.offerable[: len(IDS)] = False
    assert [ids[r.product] for r in model.recommend(regular(), [], NOW, 3)] == ["brand-new"]


def test_one_thread(model: Any) -> None:
    """Scoring starts no threads beside the caller's."""
    before = len(os.listdir("/proc/self/task"))
    for _ in range(20):
        model.recommend(regular(), [1, 2], NOW, 10)
    assert len(os.listdir("/proc/self/task")) == before


def test_another_models_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"format": 99}')
    with pytest.raises(ArtifactError, match="another version"):
        Artifact.read(tmp_path)
    with pytest.raises(ArtifactError, match="unreadable"):
        Artifact.read(tmp_path / "absent")


def test_offerable_may_be_replaced(model: Any, catalogue: Catalogue) -> None:
    """The server may swap the array when the catalogue grows, before it binds again."""
    catalogue.offerable = np.append(catalogue.offerable, True)
    catalogue.category = np.append(catalogue.category, np.int32(-1))
    assert len(model.recommend(regular(), [], NOW, 5)) == 5
