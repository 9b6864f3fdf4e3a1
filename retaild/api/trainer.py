"""Kind `trainer`: data in; artifact, metrics and signature out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from retaild.api.base import Spec
from retaild.api.feature import FeatureBackend
from retaild.api.lake import Lake


@dataclass(frozen=True, slots=True)
class TrainingContext:
    """A training run's surroundings. The run has a process of its own, at low priority."""

    lake: Lake
    features: FeatureBackend
    #: Empty directory for the artifact.
    workdir: Path
    threads: int = 2
    seed: int = 7
    #: Learn as if it were this moment (UTC); None: the newest event in the lake.
    as_of: datetime | None = None
    #: Fraction done in 0..1, and what is being done.
    progress: Callable[[float, str], None] = lambda _fraction, _text: None


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run produced.

    `metrics` and each of `baselines` hold the same keys, measured on the same time split, which
    `split` names (two results with equal `split` compare directly). `signature` is JSON: the
    model's inputs and outputs with their types.
    """

    artifact: Path
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    split: str
    #: The metric the gate compares, and whether more of it is better.
    primary_metric: str
    greater_is_better: bool = True
    parameters: dict[str, Any] = field(default_factory=dict)
    signature: dict[str, Any] = field(default_factory=dict)
    #: Delta table -> version the data was read at.
    data_versions: dict[str, int] = field(default_factory=dict)


class Trainer(Protocol):
    def train(self, context: TrainingContext) -> TrainingResult:
        """Learn and evaluate. Raises MissingDataError when there is too little data."""

    def evaluate(self, artifact: Path, context: TrainingContext) -> dict[str, float]:
        """Metrics of an earlier artifact on the split that `train` would use now."""

    def load(self, artifact: Path) -> Any:
        """The model for serving: a `serving.Recommender` or `pricing.PriceModel`.

        Imports nothing heavy (numpy is fine; pandas, sklearn, mlflow are not) and uses one thread.
        """


@dataclass(frozen=True, slots=True)
class Offer:
    """A product for a customer; `reason` and `source` as in `recommender.Recommendation`."""

    product_id: str
    score: float
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class Slate:
    """A customer's products, the best first, each once."""

    customer_id: str
    offers: Sequence[Offer]


@runtime_checkable
class BatchScorer(Protocol):
    """A trainer of recommenders that can also rank for everybody in one go, say on a cluster."""

    def score_all(self, artifact: Path, lake: Lake, count: int, now: float) -> Iterator[Slate]:
        """A slate for each customer the model knows, `count` products at most.

        `now` (seconds UTC): what was sold later does not count. The shop's rules (stock, what is
        excluded, categories) are the caller's: ask for more than are needed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSpec(Spec):
    """Registers a trainer. `build` returns a Trainer."""

    produces: Literal["recommender", "price"] = "recommender"
