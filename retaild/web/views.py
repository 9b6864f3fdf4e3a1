"""What the pages show, and where they get it from.

The dictionaries have the shapes of the REST API's JSON, so a page and a client see the same thing.
A `When` is ISO 8601 text, seconds since the epoch, or an aware datetime; an `Amount` is a number or
a decimal as text. Both become words in `formatting`, nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Protocol, TypedDict

from retaild.api.errors import RetaildError
from retaild.web.accessview import AccessData

When = str | float | datetime | None
Amount = Decimal | float | str | None
Figures = Mapping[str, Any]


#: What `health` says while the server still reads its state.
STARTING = "starting"


class NotFoundError(RetaildError):
    """The page's subject does not exist."""

    key = "page.not_found"

    def __init__(self, what: str, name: str, *, hint: str = "") -> None:
        super().__init__(f"There is no {what} {name!r}.", hint=hint)


class NotReadyError(RetaildError):
    """The server cannot answer yet: its state is loading, or nothing was learned so far."""

    key = "page.not_ready"

    def __init__(self) -> None:
        super().__init__(
            "The server is still reading its state.",
            hint="It takes some seconds after a start; this page tries again by itself.",
        )


@dataclass(frozen=True, slots=True)
class Shop:
    """The shop as configured. `assumptions` are sentences on what the data lacks and who chose."""

    store: str
    currency: str
    timezone: str
    version: str
    assumptions: tuple[str, ...] = ()


class CustomerHit(TypedDict):
    customer_id: str
    country: str | None
    receipts: int
    last_time: When


class Suggestion(CustomerHit):
    """`kind` says why this customer is a good one to start with: frequent, recent, new."""

    kind: str


class Item(TypedDict, total=False):
    product_id: str
    name: str
    category: str | None
    quantity: Amount
    price: Amount
    image_url: str | None


class Line(TypedDict):
    time: When
    receipt_id: str
    product_id: str
    name: str
    quantity: Amount
    unit_price: Amount
    amount: Amount


class Customer(TypedDict):
    customer_id: str
    country: str | None
    receipts: int
    revenue: Amount
    first_time: When
    last_time: When
    basket: list[Item]
    history: list[Line]
    favourites: list[dict[str, Any]]


class Recommendation(TypedDict, total=False):
    product_id: str
    name: str
    category: str | None
    price: Amount
    currency: str
    image_url: str | None
    score: float
    reason: str
    source: str
    rank: int


class Slate(TypedDict, total=False):
    """`model_version` None: no recommender is champion yet."""

    customer_id: str | None
    model_version: int | str | None
    generated_at: When
    recommendations: list[Recommendation]


class Product(TypedDict, total=False):
    product_id: str
    name: str
    category: str | None
    price: Amount
    currency: str
    image_url: str | None
    unit_cost: Amount
    cost_source: str | None
    on_hand: Amount
    stock_source: str | None
    units_28d: Amount
    excluded: bool


class PricePoint(TypedDict):
    """An expected week at one price; units in pieces, money in the shop's currency."""

    price: Amount
    units: float
    units_low: float
    units_high: float
    revenue: float
    margin: float | None


class Binding(TypedDict):
    rule: str
    sentence: str
    cost_per_week: float


class Demand(TypedDict):
    """As `retaild.api.pricing.Demand`; `low` and `high` bound the 90 % interval."""

    elasticity: float
    standard_error: float
    low: float
    high: float
    base_units: float
    base_price: float
    category: str
    category_elasticity: float
    weeks: int
    prices: int


class Proposal(TypedDict, total=False):
    id: str
    product_id: str
    name: str
    category: str | None
    state: str
    created: When
    current: PricePoint
    proposed: PricePoint
    demand: Demand
    reason: str
    binding: list[Binding]
    cost_source: str | None
    stock_source: str | None
    decided_at: When
    decided_by: str | None
    comment: str | None


class ProposalPage(TypedDict):
    proposals: list[Proposal]
    total: int


class PricingSummary(TypedDict):
    """`margin_change` is money a week over all open proposals, None where costs are unknown;
    `assumed_cost_share` is 0..1 of the priced products."""

    open: int
    margin_change: float | None
    products: int
    assumed_cost_share: float | None
    model_version: int | str | None


class LedgerRow(TypedDict, total=False):
    valid_from: When
    valid_to: When
    price: Amount
    kind: str
    reason: str | None
    approved_by: str | None


class PriceHistory(TypedDict):
    ledger: list[LedgerRow]
    lowest_30_days: Amount


class PriceDetail(TypedDict):
    """`demand` None: the model has not learned this product. `proposal`: its open one."""

    product: Product
    demand: Demand | None
    proposal: Proposal | None
    curve: list[PricePoint]
    history: PriceHistory


class WhatIf(TypedDict):
    current: PricePoint
    chosen: PricePoint
    broken: list[Binding]


class Worker(TypedDict, total=False):
    """As the state's rows; `alive` False: no sign of life for longer than it should take."""

    name: str
    kind: str
    pid: int | None
    state: str
    since: When
    beat: When
    restarts: int
    last_error: str | None
    figures: Figures
    alive: bool


class Plugin(TypedDict, total=False):
    name: str
    kind: str
    summary: str
    version: str
    state: str
    instances: list[str]
    fault: str | None


class Notice(TypedDict):
    """Something a person should know: `level` is bad, warn or info; `href` leads to the place."""

    level: str
    text: str
    href: str


class Sample(TypedDict):
    """Whole-shop figures at one moment: events a second, rows not yet in the lake, requests/s."""

    at: float
    events: float
    lag: float
    requests: float


class Status(TypedDict, total=False):
    ready: bool
    reason: str
    workers: list[Worker]
    notices: list[Notice]
    samples: list[Sample]
    figures: Figures


class JobRun(TypedDict, total=False):
    id: int
    job: str
    kind: str
    state: str
    trigger: str
    requested: When
    started: When
    finished: When
    progress: float | None
    text: str | None
    result: Any
    error: str | None


class Job(TypedDict, total=False):
    name: str
    kind: str
    summary: str
    schedule: str
    next_run: When
    enabled: bool
    last_run: JobRun | None


class ModelVersion(TypedDict, total=False):
    """`role` is champion, challenger or empty."""

    version: int
    role: str
    created: When
    run_id: str
    metrics: Mapping[str, float]
    data_versions: Mapping[str, int]


class Model(TypedDict, total=False):
    """A trainer's versions, newest first. Metrics of `baselines` were measured on the champion's
    split; `events` are decisions, newest first."""

    name: str
    produces: str
    primary_metric: str
    greater_is_better: bool
    versions: list[ModelVersion]
    baselines: Mapping[str, Mapping[str, float]]
    events: list[dict[str, Any]]


class DeadLetter(TypedDict, total=False):
    event_id: str
    event_time: When
    source: str
    target: str
    place: str
    reason_key: str
    reason: str
    #: In a single letter only, not in lists.
    raw: bytes
    format: str
    replayed_at: When
    outcome: str | None


class DeadLetterPage(TypedDict):
    """`reasons` counts all letters by reason_key, `sources` lists the sources that have any."""

    dead_letters: list[DeadLetter]
    total: int
    reasons: Mapping[str, int]
    sources: list[str]


class QualityCheck(TypedDict):
    at: When
    table: str
    check: str
    passed: bool
    value: float | None
    detail: str


class LakeTable(TypedDict, total=False):
    name: str
    rows: int | None
    files: int | None
    bytes: int | None
    version: int
    updated: When


class SourceRow(TypedDict, total=False):
    instance: str
    plugin: str
    state: str
    accepted: int
    dead: int
    refused_cards: int
    last_event: When
    last_error: str | None
    position: Figures | None


class LogLine(TypedDict):
    time: When
    level: str
    text: str


class LogPage(TypedDict):
    """`files` names the logs there are; `lines` are the last of the chosen one, oldest first, and
    none without a choice."""

    files: list[str]
    lines: list[LogLine]


BasketAction = Literal["basket_add", "basket_remove"]
Decision = Literal["approved", "rejected"]


class RecommendationData(Protocol):
    async def suggested_customers(self) -> list[Suggestion]: ...

    async def find_customers(self, query: str, limit: int) -> list[CustomerHit]: ...

    async def customer(self, customer_id: str) -> Customer:
        """Raises NotFoundError."""

    async def recommendations(self, customer_id: str, count: int) -> Slate: ...

    async def basket_recommendations(
        self, product_ids: Sequence[str], customer_id: str | None, count: int
    ) -> Slate:
        """What goes with the basket; with an empty basket, what is popular now."""

    async def similar(self, product_id: str, count: int) -> list[Recommendation]: ...

    async def product(self, product_id: str) -> Product:
        """Raises NotFoundError."""

    async def search_products(self, query: str, limit: int) -> list[Product]: ...

    async def change_basket(self, customer_id: str, product_id: str, action: BasketAction) -> None:
        """Sends the event and returns when the customer's state shows it (or after 0.5 s)."""


class PricingData(Protocol):
    async def pricing_summary(self) -> PricingSummary: ...

    async def proposals(
        self, *, state: str, query: str, sort: str, limit: int, offset: int
    ) -> ProposalPage:
        """`sort` is one of `pricing.SORTS`; a leading minus reverses it."""

    async def price_detail(self, product_id: str) -> PriceDetail:
        """Raises NotFoundError."""

    async def what_if(self, product_id: str, price: float) -> WhatIf | None:
        """None where the model has not learned the product."""

    async def decide(self, proposal_id: str, decision: Decision, comment: str) -> bool:
        """False if the proposal was not open any more."""


class AdminData(Protocol):
    async def status(self) -> Status: ...

    async def plugins(self) -> list[Plugin]: ...

    async def sources(self) -> list[SourceRow]: ...

    async def jobs(self) -> list[Job]: ...

    async def job_runs(self, job: str, limit: int) -> list[JobRun]: ...

    async def job_run(self, run_id: int) -> tuple[JobRun, list[str]]:
        """The run and the last lines of its log. Raises NotFoundError."""

    async def run_job(self, name: str) -> int:
        """Starts a run and returns its id. Raises RetaildError if it runs already."""

    async def models(self) -> list[Model]: ...

    async def promote(self, name: str, version: int) -> None:
        """Returns when it is done. Raises RetaildError where it is not."""

    async def rollback(self, name: str) -> None: ...

    async def dead_letters(
        self, *, source: str, reason: str, limit: int, offset: int
    ) -> DeadLetterPage: ...

    async def dead_letter(self, event_id: str) -> DeadLetter:
        """Raises NotFoundError."""

    async def replay(self, event_ids: Sequence[str]) -> tuple[int, int]:
        """(accepted now, still refused). Raises RetaildError where it cannot be tried."""

    async def quality(self) -> list[QualityCheck]: ...

    async def lake_tables(self) -> list[LakeTable]: ...

    async def logs(self, file: str, level: str, lines: int) -> LogPage: ...


class AlertsData(Protocol):
    """Dictionaries as the REST routes under /alerts have them. Raises RetaildError."""

    async def alerts(self, history: int = 0) -> list[dict[str, Any]]:
        """Those open, the most severe first; or the last `history` that are over."""

    async def acknowledge(self, number: int) -> dict[str, Any]: ...

    async def silences(self) -> list[dict[str, Any]]: ...

    async def silence(
        self, key: str, source: str, severity: str, seconds: float, comment: str
    ) -> int: ...

    async def unsilence(self, number: int) -> None: ...

    async def sinks(self) -> list[dict[str, Any]]: ...

    async def messages(self, sink: str = "", limit: int = 50) -> list[dict[str, Any]]:
        """The newest first."""


class DoctorData(Protocol):
    """May take seconds; raises RetaildError."""

    async def findings(self) -> dict[str, Any]:
        """`at` (seconds, UTC) and `findings`, worst first; see `retaild.runtime.doctor`."""

    async def fix(self, finding: str) -> dict[str, Any]:
        """`done` in words, `failed`."""


class ConfigData(Protocol):
    """Secrets are hidden in everything. Raises RetaildError where there is no daemon."""

    async def configuration(self, number: int | None = None) -> dict[str, Any]:
        """`number`, `at`, `why`, `by`, `main`, `sha256`; `settings`: path, value, file, line."""

    async def history(self) -> list[dict[str, Any]]: ...

    async def diff(self) -> dict[str, Any]:
        """`faults`, `changes`, `touched`."""

    async def reload(self) -> dict[str, Any]:
        """Begin one."""

    async def last_reload(self) -> dict[str, Any] | None: ...


class ServicesData(Protocol):
    async def services(self) -> dict[str, Any]:
        """As `GET /services`: `services` and `parts`."""


class InstancesData(Protocol):
    """Dictionaries as the REST routes under /instances have them. Raises RetaildError."""

    async def instances(self) -> list[dict[str, Any]]:
        """Those that are held first."""

    async def change(
        self, action: str, kind: str, name: str, reason: str = ""
    ) -> dict[str, Any]: ...


class BackupsData(Protocol):
    """Dictionaries as the REST routes under /backups have them. Raises RetaildError."""

    async def backups(self) -> dict[str, Any]:
        """`directory`, and `backups`, newest first."""

    async def runs(self, limit: int) -> list[dict[str, Any]]:
        """Of the job `backup`, newest first."""

    async def take(self) -> int:
        """The run's id."""

    async def verify(self, name: str) -> int:
        """The run's id."""


class PageData(RecommendationData, PricingData, AdminData, Protocol):
    """All that the pages ask. May raise NotReadyError anywhere."""

    @property
    def alerts(self) -> AlertsData: ...

    @property
    def doctor(self) -> DoctorData: ...

    @property
    def config(self) -> ConfigData: ...

    @property
    def instances(self) -> InstancesData: ...

    @property
    def services(self) -> ServicesData: ...

    @property
    def backups(self) -> BackupsData: ...

    @property
    def access(self) -> AccessData: ...

    def shop(self) -> Shop: ...

    async def health(self) -> tuple[str, str]:
        """(good | warn | bad, a few words) for the mark in the header; quick, never raises.

        While the words are STARTING, pages that need the engine answer 503 and try again.
        """
