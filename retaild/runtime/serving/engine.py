"""The engine: facts, model and ready answers, kept true while the world moves.

All methods belong to the thread of the event loop. Reading a slate never waits: a ready answer is a
lookup, a missing one is ranked at once.
"""

from __future__ import annotations

import heapq
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retaild.api.recommender import CustomerState, Recommendation, Recommender
from retaild.runtime.serving.answers import Answer, Answers
from retaild.runtime.serving.base import Base
from retaild.runtime.serving.facts import Facts
from retaild.runtime.serving.models import Loaded
from retaild.runtime.serving.own import OwnEntries
from retaild.runtime.serving.pace import Pace
from retaild.runtime.serving.popular import Popular
from retaild.runtime.serving.products import Exclusions, ProductIndex
from retaild.runtime.serving.render import Renderer
from retaild.runtime.serving.writer import Durable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from retaild.config.settings import Settings

_log = logging.getLogger(__name__)

#: Ready answers of the default length, and of every other length that is asked for.
CAPACITY = 100_000
OTHER_CAPACITY = 1000
OTHER_LENGTHS = 4
#: While a large import goes on, new products reach the model so often.
GROW_SECONDS = 0.25
#: And never more often than this share of the time allows, as long as the last time took: whoever
#: posts baskets of products that do not exist slows nobody.
GROW_SHARE = 0.1
#: How many more offers are asked for when the model's slate breaks a rule of the shop.
SPARE = 4
#: No category, whatever many products it holds.
UNCAPPED = "OTHER"


class Engine:
    """`clock` gives the shop's time. Call `absorb` after facts changed, before anyone reads."""

    #: False (benchmarks): every answer is ranked when it is asked for.
    cached = True

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        rules = settings.recommendations
        self.pace = Pace()
        self.index = ProductIndex()
        self.exclusions = Exclusions(
            frozenset(rules.excluded_products), frozenset(rules.excluded_categories)
        )
        self.count = rules.count
        self.clock = clock
        self.currency = settings.retaild.currency
        self.facts = Facts(Base.empty(), self.index, self.exclusions)
        self.own = OwnEntries()
        self.loaded: Loaded | None = None
        self.answers = Answers(self.count, CAPACITY)
        #: Whom to rank ahead, each once; True: even if there is an answer.
        self.todo: OrderedDict[str, bool] = OrderedDict()
        self.ranked = 0
        self._cap = rules.category_cap
        self._others: dict[int, Answers] = {}
        self._cold: dict[int, str] = {}
        self._turns: list[tuple[float, int]] = []
        self._grown_at = 0.0
        self._grow_cost = 0.0
        self._popular = Popular(self._recent_receipts)
        self._recommender: Recommender = self._popular
        self._adopt_products()

    @property
    def version(self) -> int | None:
        """Of the champion that answers; None: popularity answers."""
        return None if self.loaded is None else self.loaded.champion.version

    # -- answers -------------------------------------------------------------------------------

    def ready(self, customer_id: str) -> Answer | None:
        """The slate of the default length if it is ranked already."""
        return self.answers.ready.get(customer_id) if self.cached else None

    def answer(self, customer_id: str, count: int) -> Answer:
        """The customer's slate, ready or ranked now; of an unknown customer what is popular."""
        answers = self._answers(count)
        ready = answers.ready.get(customer_id) if self.cached else None
        if ready is not None:
            return ready
        if customer_id not in self.facts.customers:
            return Answer(self._cold_body(customer_id, count))
        return self._rank(customer_id, answers)

    def basket_slate(
        self, basket: Sequence[int], customer_id: str | None, count: int
    ) -> list[Recommendation]:
        """What goes with a basket that the caller states."""
        state = self.facts.customers.state(customer_id) if customer_id else None
        return self._offers(state, basket, count)

    def ruled_slate(
        self, customer_id: str, offers: Sequence[Recommendation], count: int
    ) -> list[Recommendation]:
        """Offers that were ranked elsewhere, by the shop's rules; filled up by the own model."""
        state = self.facts.customers.state(customer_id)
        basket = () if state is None else tuple(state.basket)
        known = len(self.facts.products.catalogue.price)
        kept = self._ruled([o for o in offers if o.product < known], basket, count)
        if len(kept) < count:
            taken = {offer.product for offer in kept}
            own = self._offers(state, basket, SPARE * count)
            more = [offer for offer in own if offer.product not in taken]
            kept = self._ruled([*kept, *more], basket, count)
        return kept

    def similar(self, product: int, count: int) -> list[Recommendation]:
        found = self._recommender.similar(product, count)
        return [o for o in found if self._may_offer(o.product) and o.product != product]

    def body(
        self, customer_id: str | None, offers: Sequence[Recommendation], moment: float | None = None
    ) -> bytes:
        """A slate as JSON."""
        generated = self.clock() if moment is None else moment
        return self.renderer.slate(customer_id, self.version, generated, offers)

    def items(self, offers: Sequence[Recommendation]) -> str:
        return self.renderer.items(offers)

    def rank_next(self) -> None:
        """Rank the next customer in the background's turn."""
        customer_id, again = self.todo.popitem(last=False)
        if (again or customer_id not in self.answers.ready) and (
            customer_id in self.facts.customers
        ):
            self._rank(customer_id, self.answers)

    def rank_all(self) -> None:
        """Put everyone to the background's work, those of late first."""
        self.todo = OrderedDict.fromkeys(self.facts.customers.by_recency(), True)

    # -- changes -------------------------------------------------------------------------------

    async def take(self, durable: Durable) -> None:
        """Apply what this process has made durable, ahead of the log's tail, in slices."""
        slice_ = self.pace.slice()
        for family, event in durable.events:
            self.facts.apply(family, event)
            if slice_.over():
                self.absorb(hurry=True)
                await slice_.pause()
        self.absorb(hurry=True)
        self.own.add(durable.entries)

    def absorb(self, hurry: bool = False) -> None:
        """Make catalogue and answers agree with the facts.

        `hurry`: new products count at once, unless so many come that others would wait for it;
        then they do within a second.
        """
        facts = self.facts
        if facts.changed_products:
            self._absorb_products(hurry)
        if facts.changed_customers:
            for customer_id in facts.changed_customers:
                self._drop(customer_id)
                self.todo.setdefault(customer_id, False)
            facts.changed_customers.clear()

    def follow_prices(self) -> None:
        """Take in announced prices that began or ended, and products that had to wait.

        Call it each second.
        """
        now, due = self.clock(), set()
        while self._turns and self._turns[0][0] <= now:
            due.add(heapq.heappop(self._turns)[1])
        self.facts.changed_products |= due
        self.absorb()

    def take_model(self, loaded: Loaded) -> None:
        """A champion takes over: no answer of the one before is given from here on."""
        loaded.model.bind(self.facts.products.catalogue)
        self.loaded, self._recommender = loaded, loaded.model
        self._forget_answers()

    def take_facts(self, facts: Facts, changed: set[int]) -> None:
        """Go on with facts from a newer snapshot, caught up; `changed` products differ in them.

        Answers that hold none of these stay: both tell of the same events.
        """
        self.facts = facts
        facts.changed_customers.clear()
        self._adopt_products()
        self._drop_with(changed)

    def _adopt_products(self) -> None:
        products = self.facts.products
        products.refresh(self.facts.changed_products, self.clock())
        self.facts.changed_products.clear()
        self.renderer = Renderer(products, self.currency)
        self._popular.bind(products.catalogue)
        if self._recommender is not self._popular:
            self._recommender.bind(products.catalogue)
        self._turns = []
        self._watch_prices(range(len(products.rows)))
        self._cold.clear()

    def _absorb_products(self, hurry: bool) -> None:
        facts, products = self.facts, self.facts.products
        known, now = len(products.catalogue.price), self.clock()
        changed, facts.changed_products = facts.changed_products, set()
        new = {p for p in changed if p >= known}
        grow = bool(new) and self._may_grow(hurry)
        if not grow:
            facts.changed_products = new
            changed -= new
        began = time.monotonic()
        if products.refresh(changed, now, grow=grow):
            self._popular.bind(products.catalogue)
            if self._recommender is not self._popular:
                self._recommender.bind(products.catalogue)
            self._grown_at = time.monotonic()
            self._grow_cost = self._grown_at - began
        self.renderer.forget(changed)
        self._watch_prices(changed)
        self._drop_with({p for p in changed if p < known})

    def _may_grow(self, hurry: bool) -> bool:
        rest = self._grow_cost / GROW_SHARE
        return time.monotonic() - self._grown_at >= (rest if hurry else max(GROW_SECONDS, rest))

    def _watch_prices(self, products: Iterable[int]) -> None:
        now = self.clock()
        for product in products:
            turn = self.facts.products.at(product).prices.next_change(now)
            if turn is not None:
                heapq.heappush(self._turns, (turn, product))

    def _drop(self, customer_id: str) -> None:
        self.answers.drop(customer_id)
        for answers in self._others.values():
            answers.drop(customer_id)

    def _drop_with(self, products: set[int]) -> None:
        self._cold.clear()
        if products:
            for customer_id in self.answers.drop_with(products, len(self.index)):
                self.todo.setdefault(customer_id, False)
            for answers in self._others.values():
                answers.drop_with(products, len(self.index))

    def _forget_answers(self) -> None:
        self.answers.clear()
        self._others.clear()
        self._cold.clear()

    # -- ranking -------------------------------------------------------------------------------

    def _answers(self, count: int) -> Answers:
        if count == self.count:
            return self.answers
        found = self._others.get(count)
        if found is None:
            if len(self._others) >= OTHER_LENGTHS:
                del self._others[next(iter(self._others))]
            found = self._others[count] = Answers(count, OTHER_CAPACITY)
        return found

    def _rank(self, customer_id: str, answers: Answers) -> Answer:
        state = self.facts.customers.state(customer_id)
        assert state is not None
        offers = self._offers(state, tuple(state.basket), answers.count)
        body = self.body(customer_id, offers)
        return answers.put(customer_id, body, [offer.product for offer in offers])

    def _cold_body(self, customer_id: str, count: int) -> bytes:
        rest = self._cold.get(count)
        if rest is None:
            offers = self._offers(None, (), count)
            rest = self.body(None, offers).decode().partition(",")[2]
            self._cold[count] = rest
        return f'{{"customer_id":{json.dumps(customer_id)},{rest}'.encode()

    def _offers(
        self, customer: CustomerState | None, basket: Sequence[int], count: int
    ) -> list[Recommendation]:
        self.ranked += 1
        known = len(self.facts.products.catalogue.price)
        if customer is not None and len(self.index) > known:
            customer = _within(customer, known)
            basket = [product for product in basket if product < known]
        now = self.clock()
        offers = self._recommender.recommend(customer, basket, now, count)
        kept = self._ruled(offers, basket, count)
        if len(kept) < len(offers):
            more = self._recommender.recommend(customer, basket, now, SPARE * count)
            kept = self._ruled(more, basket, count)
        return kept

    def _ruled(
        self, offers: Iterable[Recommendation], basket: Sequence[int], count: int
    ) -> list[Recommendation]:
        """The first `count` that the shop's rules allow, whatever model ranked them."""
        catalogue = self.facts.products.catalogue
        taken: dict[int, int] = {}
        kept: list[Recommendation] = []
        without = set(basket)
        for offer in offers:
            category = int(catalogue.category[offer.product])
            capped = category >= 0 and catalogue.categories[category] != UNCAPPED
            if not self._may_offer(offer.product) or offer.product in without:
                continue
            if capped and taken.get(category, 0) >= self._cap:
                continue
            taken[category] = taken.get(category, 0) + 1
            kept.append(offer)
            if len(kept) == count:
                break
        return kept

    def _may_offer(self, product: int) -> bool:
        return bool(self.facts.products.catalogue.offerable[product])

    def _recent_receipts(self) -> NDArray[np.int64]:
        rows = self.facts.products.rows
        known = len(self.facts.products.catalogue.price)
        return np.array([row.recent_receipts for row in rows[:known]], np.int64)


def _within(customer: CustomerState, known: int) -> CustomerState:
    """The customer without products that the catalogue does not hold yet."""
    return CustomerState(
        customer.customer_id,
        {p: purchase for p, purchase in customer.purchases.items() if p < known},
        {p: quantity for p, quantity in customer.basket.items() if p < known},
        [view for view in customer.views if view[0] < known],
        customer.receipts,
        customer.first_time,
        customer.last_time,
    )
