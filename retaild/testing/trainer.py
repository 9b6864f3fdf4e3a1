"""What every trainer must do, and what every recommender must do.

Subclass `TrainerConformance` (any kind) or `RecommenderConformance`, provide the fixtures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from retaild.api import Lake, Trainer, TrainingContext, TrainingResult
from retaild.api.errors import MissingDataError
from retaild.api.recommender import Catalogue, CustomerState, Purchase, Recommender
from retaild.pipeline.feature_views import FEATURE_VIEWS
from retaild.pipeline.features import FeatureView

#: What must not be loaded where a model answers customers.
HEAVY = ("pandas", "sklearn", "scipy", "lightgbm", "mlflow", "feast", "polars", "pyarrow", "duckdb")


class TableFeatures:
    """A FeatureBackend without a feature store: joins the lake's tables in time, in memory."""

    def __init__(self, lake: Lake, views: Sequence[FeatureView] = FEATURE_VIEWS) -> None:
        self._lake = lake
        self._views = {view.name: view for view in views}

    def open(self) -> None: ...

    def apply(self, views: Sequence[FeatureView]) -> None:
        self._views = {view.name: view for view in views}

    def historical(self, entities: pa.Table, features: Sequence[str]) -> pa.Table:
        import polars as pl

        left: Any = pl.from_arrow(entities)
        asked = left.with_row_index("_row")
        for reference in features:
            view, _, column = reference.partition(":")
            entities = entities.append_column(
                f"{view}__{column}", self._column(asked, self._views[view], column)
            )
        return entities

    def _column(self, asked: Any, view: FeatureView, column: str) -> pa.ChunkedArray:
        import polars as pl

        names = [view.entity, view.event_timestamp, column]
        if not self._lake.exists(view.table):
            return pa.chunked_array([pa.nulls(len(asked), pa.float64())])
        known: Any = pl.from_arrow(self._lake.dataset(view.table).to_table(columns=names))
        joined = asked.sort("event_timestamp").join_asof(
            known.rename({view.event_timestamp: "event_timestamp"}).sort("event_timestamp"),
            on="event_timestamp", by=view.entity, tolerance=view.ttl, check_sortedness=False,
        )  # fmt: skip
        return pa.chunked_array([joined.sort("_row")[column].to_arrow()])

    def materialize(self, until: Any) -> dict[str, int]:
        return {}

    def close(self) -> None: ...


class TrainerConformance:
    """Provide `trainer`, `context` (enough data) and `poor_context` (too little)."""

    @pytest.fixture
    def trainer(self) -> Trainer:
        raise NotImplementedError

    @pytest.fixture
    def context(self) -> TrainingContext:
        raise NotImplementedError

    @pytest.fixture
    def poor_context(self) -> TrainingContext:
        raise NotImplementedError

    @pytest.fixture
    def result(self, trainer: Trainer, context: TrainingContext) -> TrainingResult:
        return trainer.train(context)

    def test_result_is_complete(self, result: TrainingResult, context: TrainingContext) -> None:
        assert result.artifact.exists()
        assert result.artifact.is_relative_to(context.workdir)
        assert result.primary_metric in result.metrics
        assert all(np.isfinite(value) for value in result.metrics.values())
        assert result.split
        assert result.baselines
        for scores in result.baselines.values():
            assert set(scores) == set(result.metrics)
        for table, version in result.data_versions.items():
            assert context.lake.version(table) == version
        assert result.data_versions
        json.dumps([result.parameters, result.signature])

    def test_evaluation_repeats_the_run(
        self, trainer: Trainer, result: TrainingResult, context: TrainingContext
    ) -> None:
        again = trainer.evaluate(result.artifact, context)
        assert again == pytest.approx(result.metrics)

    def test_too_little_data_is_said_in_words(
        self, trainer: Trainer, poor_context: TrainingContext
    ) -> None:
        with pytest.raises(MissingDataError) as caught:
            trainer.train(poor_context)
        assert caught.value.message.endswith(".")
        assert caught.value.hint

    def test_loading_imports_nothing_heavy(self, result: TrainingResult, loading_code: str) -> None:
        """`loading_code` is Python that binds `model` from `artifact` (a Path)."""
        program = (
            "import sys\nfrom pathlib import Path\n"
            f"artifact = Path({str(result.artifact)!r})\n{loading_code}\n"
            f"print([name for name in {HEAVY!r} if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert done.stdout.strip() == "[]", done.stderr

    @pytest.fixture
    def loading_code(self) -> str:
        raise NotImplementedError


class RecommenderConformance(TrainerConformance):
    """Provide also `product_ids` and `known` (a customer in the catalogue's product numbers)."""

    @pytest.fixture
    def product_ids(self) -> list[str]:
        raise NotImplementedError

    @pytest.fixture
    def known(self) -> CustomerState:
        raise NotImplementedError

    @pytest.fixture
    def now(self) -> float:
        raise NotImplementedError

    @pytest.fixture
    def catalogue(self, product_ids: list[str]) -> Catalogue:
        return catalogue_of(product_ids)

    @pytest.fixture
    def model(self, trainer: Trainer, result: TrainingResult, catalogue: Catalogue) -> Recommender:
        model: Recommender = trainer.load(result.artifact)
        model.bind(catalogue)
        return model

    def test_slates_are_full_distinct_and_explained(
        self, model: Recommender, known: CustomerState, now: float
    ) -> None:
        for customer in (known, None, CustomerState("nobody knows me")):
            slate = model.recommend(customer, [], now, 5)
            assert len(slate) == len({r.product for r in slate}) == 5
            assert all(r.reason and r.source for r in slate)

    def test_same_question_same_answer(
        self, model: Recommender, known: CustomerState, now: float
    ) -> None:
        assert model.recommend(known, [0], now, 5) == model.recommend(known, [0], now, 5)

    def test_never_what_is_not_offerable(
        self, model: Recommender, catalogue: Catalogue, known: CustomerState, now: float
    ) -> None:
        """Read anew at each call: stock moves without a new `bind`."""
        first = model.recommend(known, [], now, 5)
        for recommendation in first:
            catalogue.offerable[recommendation.product] = False
        gone = {r.product for r in first}
        assert not gone & {r.product for r in model.recommend(known, [], now, 5)}
        for product in gone:
            assert not gone & {r.product for r in model.similar(product, 5)}

    def test_nothing_offerable_is_no_fault(
        self, model: Recommender, catalogue: Catalogue, known: CustomerState, now: float
    ) -> None:
        catalogue.offerable[:] = False
        assert model.recommend(known, [], now, 5) == []
        assert model.similar(0, 5) == []

    def test_never_what_lies_in_the_basket(
        self, model: Recommender, known: CustomerState, now: float
    ) -> None:
        basket = [r.product for r in model.recommend(known, [], now, 3)]
        assert not set(basket) & {r.product for r in model.recommend(known, basket, now, 5)}

    def test_a_grown_catalogue(
        self, model: Recommender, product_ids: list[str], known: CustomerState, now: float
    ) -> None:
        """New products may be bought, held and looked at before the model is told of them."""
        new = len(product_ids)
        known.purchases[new] = Purchase(2, 2.0, now - 9e5, now - 4e5)
        known.views.append((new + 1, now))
        assert len(model.recommend(known, [new + 1], now, 5)) == 5
        model.bind(catalogue_of([*product_ids, "new-1", "new-2"]))
        assert len(model.recommend(known, [new + 1], now, 5)) == 5
        assert isinstance(model.similar(new + 1, 5), list)

    def test_similar_is_not_itself(self, model: Recommender) -> None:
        found = [r.product for r in model.similar(0, 5)]
        assert found
        assert 0 not in found


def catalogue_of(product_ids: list[str], categories: Sequence[str] = ()) -> Catalogue:
    """All offerable at 1.00; `categories` names each product's, if given."""
    count, names = len(product_ids), sorted(set(categories))
    codes = [names.index(name) for name in categories] or [-1] * count
    return Catalogue(
        list(product_ids), np.ones(count, np.bool_), np.ones(count),
        np.array(codes, np.int32), names,
    )  # fmt: skip
