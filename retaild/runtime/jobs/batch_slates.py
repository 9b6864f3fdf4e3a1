"""Everybody's slate by a trainer that ranks for all at once, as the server would give it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from retaild.api.errors import ConfigError, MissingDataError
from retaild.api.recommender import Recommendation
from retaild.api.target import Record
from retaild.api.trainer import BatchScorer, Slate
from retaild.runtime import registry
from retaild.runtime.context import JobContext
from retaild.runtime.registry import ModelVersion
from retaild.runtime.serving.engine import SPARE

if TYPE_CHECKING:
    from retaild.runtime.serving.engine import Engine


class CannotScoreError(ConfigError):
    key = "publish.cannot_score"

    def __init__(self, trainer: str) -> None:
        super().__init__(
            f"The trainer {trainer!r} cannot rank for everybody in one batch.",
            hint="Name another in recommendations.published_by, or leave it empty.",
        )


class NoChampionError(MissingDataError):
    key = "publish.no_champion"

    def __init__(self, trainer: str) -> None:
        super().__init__(
            f"{trainer!r} is to rank what is published, but has no champion yet.",
            hint="Train it (`retaildctl job run train`) and see why its versions were refused "
            "(`retaildctl model list`).",
        )


class BatchSlates:
    """Slates in a file, a line each: a large shop's do not have to be in memory."""

    def __init__(self, file: IO[str], champion: ModelVersion) -> None:
        self._file = file
        self.champion = champion
        #: Customers whom the batch ranked, and those whom the server's model did.
        self.scored = self.rest = 0

    def records(self) -> Iterator[Record]:
        """Each time from the first."""
        self._file.seek(0)
        for line in self._file:
            body = json.loads(line)
            yield Record(body["customer_id"], body)

    def fill(self, scorer: BatchScorer, context: JobContext, engine: Engine) -> None:
        customers = engine.facts.customers
        waiting = dict.fromkeys(customers.by_recency())
        wanted, now = engine.count * SPARE, engine.clock()
        for slate in scorer.score_all(self.champion.artifact, context.lake(), wanted, now):
            if slate.customer_id in waiting:
                del waiting[slate.customer_id]
                self._write(_body(engine, slate, self.champion.version))
                self.scored += 1
        for customer_id in waiting:
            self._write(engine.answer(customer_id, engine.count).body)
            self.rest += 1

    def _write(self, body: bytes) -> None:
        self._file.write(body.decode().replace("\n", " ") + "\n")


@contextmanager
def batch_slates(context: JobContext, engine: Engine, trainer: str) -> Iterator[BatchSlates]:
    """Ranked by the trainer's champion. Raises CannotScoreError and NoChampionError.

    The shop's rules (stock, what is excluded, categories, the basket) hold as in the server, whose
    own model ranks for customers that the champion does not know, and fills up short slates.
    """
    scorer = context.build("trainer", trainer)
    if not isinstance(scorer, BatchScorer):
        raise CannotScoreError(trainer)
    champion = registry.champion(context.data, trainer)
    if champion is None:
        raise NoChampionError(trainer)
    with tempfile.TemporaryFile("w+", encoding="utf-8", dir=context.data.online) as file:
        slates = BatchSlates(file, champion)
        slates.fill(scorer, context, engine)
        yield slates


def _body(engine: Engine, slate: Slate, version: int) -> bytes:
    offers = [
        Recommendation(place, offer.score, offer.reason, offer.source)
        for offer in slate.offers
        if (place := engine.index.find(offer.product_id)) is not None
    ]
    ruled = engine.ruled_slate(slate.customer_id, offers, engine.count)
    return engine.renderer.slate(slate.customer_id, version, engine.clock(), ruled)
