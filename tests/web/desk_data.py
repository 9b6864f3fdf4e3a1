"""The admin part of the pages' test data: workers, jobs, models, refused rows, in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from retaild.api.errors import RetaildError
from retaild.web.views import (
    STARTING,
    DeadLetter,
    DeadLetterPage,
    Job,
    JobRun,
    LakeTable,
    LogLine,
    LogPage,
    Model,
    ModelVersion,
    NotFoundError,
    Notice,
    Plugin,
    QualityCheck,
    Sample,
    Shop,
    SourceRow,
    Status,
    Worker,
)
from tests.web import shop_data
from tests.web.access_data import FakeAccess
from tests.web.alerts_data import FakeAlerts
from tests.web.backups_data import FakeBackups
from tests.web.config_data import FakeConfig
from tests.web.doctor_data import FakeDoctor
from tests.web.instances_data import FakeInstances
from tests.web.services_data import FakeServices

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'


@dataclass
class ShopPages(shop_data.PricePages):
    """All three pages. `empty`: a fresh installation; `ready` False: the server still loads."""

    ready: bool = True
    worker_down: bool = False
    runs: list[JobRun] = field(default_factory=list)
    champion: int = 3
    alerts: FakeAlerts = field(default_factory=FakeAlerts)
    doctor: FakeDoctor = field(default_factory=FakeDoctor)
    config: FakeConfig = field(default_factory=FakeConfig)
    instances: FakeInstances = field(default_factory=FakeInstances)
    services: FakeServices = field(default_factory=FakeServices)
    backups: FakeBackups = field(default_factory=FakeBackups)
    access: FakeAccess = field(default_factory=FakeAccess)

    def __post_init__(self) -> None:
        super().__post_init__()
        now = time.time()
        self.doctor.well = self.empty
        self.alerts.well = self.empty
        self.instances.none = self.empty
        self.services.none = self.empty
        self.backups.none = self.empty
        if self.empty:
            self.model = None
            return
        for number, (job, state, took) in enumerate(
            [
                ("gold", "succeeded", 3.1),
                ("features", "succeeded", 9.4),
                ("train", "failed", 1.2),
                ("train", "succeeded", 21.7),
                ("materialize", "succeeded", 2.2),
                ("compact", "running", 8),
            ],
            start=1,
        ):
            begin = now - 700 + number * 100
            failed = state == "failed"
            self.runs.insert(
                0,
                JobRun(
                    id=number,
                    job=job,
                    kind=job,
                    state=state,
                    trigger="schedule",
                    requested=begin,
                    started=begin,
                    finished=None if state == "running" else begin + took,
                    progress=0.42 if state == "running" else 1.0,
                    text="silver.sale",
                    result={"rows": 4070} if state == "succeeded" else None,
                    error="Too little data: 3 weeks of sales, 8 are needed." if failed else None,
                ),
            )

    def shop(self) -> Shop:
        return shop_data.SHOP

    async def health(self) -> tuple[str, str]:
        if not self.ready:
            return "warn", STARTING
        return ("warn", "stream is down") if self.worker_down else ("good", "all well")

    async def suggested_customers(self) -> Any:
        return [] if self.empty else await super().suggested_customers()

    async def status(self) -> Status:
        now = time.time()
        workers = [
            Worker(
                name=name,
                kind=name,
                pid=4000 + n,
                state="running",
                since=now - 86000,
                beat=now - 1,
                restarts=0,
                last_error=None,
                figures={"memory": 90e6 + n * 4e7},
                alive=True,
            )
            for n, name in enumerate(("ingest", "serve", "stream"))
        ]
        notices = []
        if self.worker_down:
            workers[2].update(
                state="backoff",
                pid=None,
                restarts=4,
                alive=False,
                last_error="disk full while committing silver.sale",
            )
            notices = [
                Notice(
                    level="bad",
                    text="Worker stream is down: new events wait in the log.",
                    href="/admin/logs?file=stream",
                )
            ]
        samples = (
            []
            if self.empty
            else [
                Sample(
                    at=now - 120 + 2 * n,
                    events=40 + 30 * ((n * 7) % 11) / 11,
                    lag=(n * 13) % 60,
                    requests=300 + 90 * ((n * 5) % 7) / 7,
                )
                for n in range(60)
            ]
        )
        return Status(
            ready=True, reason="", workers=workers, notices=notices, samples=samples, figures={}
        )

    async def plugins(self) -> list[Plugin]:
        rows = [
            ("tabular", "source", "CSV, TSV, Parquet and JSON lines", ["tills"]),
            ("embedded", "bus", "A durable log in files", ["bus"]),
            ("recommender", "trainer", "Candidates and a LightGBM ranker", ["recommender"]),
        ]
        found = [
            Plugin(
                name=n, kind=k, summary=s, version="0.1.0", state="loaded", instances=i, fault=None
            )
            for n, k, s, i in rows
        ]
        if self.worker_down:
            found.append(
                Plugin(
                    name="poslog",
                    kind="source",
                    summary="",
                    version="",
                    state="fault",
                    instances=[],
                    fault="No module named 'lxml'.",
                )
            )
        return found

    async def sources(self) -> list[SourceRow]:
        if self.empty:
            return []
        return [
            SourceRow(
                instance="tills",
                plugin="tabular",
                state="watching",
                accepted=541_909,
                dead=3,
                refused_cards=1,
                last_event=time.time() - 40,
                last_error=None,
                position={"file": "online_retail.parquet", "row": 541909},
            )
        ]

    async def jobs(self) -> list[Job]:
        names = {
            "refresh": "every day 03:00",
            "gold": "",
            "train": "",
            "propose-prices": "",
            "compact": "every hour",
            "quality": "every 6 hours",
        }
        last = {run["job"]: run for run in reversed(self.runs)}
        return [
            Job(
                name=n,
                kind=n,
                summary=f"What {n} does, in a sentence.",
                schedule=s,
                enabled=True,
                next_run=time.time() + 5000 if s else None,
                last_run=last.get(n),
            )
            for n, s in names.items()
        ]

    async def job_runs(self, job: str, limit: int) -> list[JobRun]:
        return [run for run in self.runs if not job or run["job"] == job][:limit]

    async def job_run(self, run_id: int) -> tuple[JobRun, list[str]]:
        for run in self.runs:
            if run["id"] == run_id:
                return run, [f"reading silver.sale {HOSTILE}", "done"]
        raise NotFoundError("run", str(run_id))

    async def run_job(self, name: str) -> int:
        if any(r["job"] == name and r["state"] == "running" for r in self.runs):
            raise RetaildError(f"Job {name} runs already.", hint="Wait until it has finished.")
        number, now = len(self.runs) + 1, time.time()
        self.runs.insert(
            0,
            JobRun(
                id=number,
                job=name,
                kind=name,
                state="running",
                trigger="pages",
                requested=now,
                started=now,
                finished=None,
                progress=0.1,
                text="beginning",
                result=None,
                error=None,
            ),
        )
        return number

    async def models(self) -> list[Model]:
        if self.empty:
            return [
                Model(
                    name="recommender",
                    produces="recommender",
                    primary_metric="ndcg_at_10",
                    greater_is_better=True,
                    versions=[],
                    baselines={},
                    events=[],
                )
            ]
        versions = [
            ModelVersion(
                version=v,
                role="champion" if v == self.champion else "challenger" if v == 4 else "",
                created=1763870000.0 + v * 3600,
                run_id=f"r{v}",
                data_versions={"silver.sale": 40 + v},
                metrics={
                    "ndcg_at_10": 0.21 + 0.012 * v,
                    "recall_at_10": 0.17 + 0.01 * v,
                    "hit_rate_at_10": 0.5 + 0.01 * v,
                },
            )
            for v in (4, 3, 2, 1)
        ]
        events = [
            {
                "at": 1763880000.0,
                "trainer": "recommender",
                "version": 3,
                "action": "promoted",
                "reason": "0.2460 beats 0.2340 of version 2.",
                "metrics": {},
            },
            {
                "at": 1763876000.0,
                "trainer": "recommender",
                "version": 2,
                "action": "promoted",
                "reason": "The first to beat the baselines.",
                "metrics": {},
            },
        ]
        base = {
            "popular": {"ndcg_at_10": 0.061, "recall_at_10": 0.05, "hit_rate_at_10": 0.22},
            "personal_frequency": {
                "ndcg_at_10": 0.183,
                "recall_at_10": 0.15,
                "hit_rate_at_10": 0.44,
            },
        }
        price = ModelVersion(
            version=1,
            role="champion",
            created=1763870000.0,
            run_id="p1",
            data_versions={},
            metrics={"deviance": 4.21, "mae": 2.9},
        )
        return [
            Model(
                name="recommender",
                produces="recommender",
                primary_metric="ndcg_at_10",
                greater_is_better=True,
                versions=versions,
                baselines=base,
                events=events,
            ),
            Model(
                name="price",
                produces="price",
                primary_metric="deviance",
                greater_is_better=False,
                versions=[price],
                baselines={"last_weeks_mean": {"deviance": 5.02, "mae": 3.3}},
                events=[],
            ),
        ]

    async def promote(self, name: str, version: int) -> None:
        self.champion = version

    async def rollback(self, name: str) -> None:
        self.champion = 2

    def _letters(self) -> list[DeadLetter]:
        raws = [
            (b"536365;85123A;six;2.55\n", "number", "Quantity 'six' is no number."),
            (HOSTILE.encode(), "columns", "The row has 1 column, the mapping names 8."),
            (
                b"536370;22728;24;3.75;card ************1111\x00\xff\n",
                "card_number",
                "The row held a payment card number, which is never stored.",
            ),
        ]
        return (
            []
            if self.empty
            else [
                DeadLetter(
                    event_id=f"dl-{n}",
                    event_time=1763870000.0,
                    source="tills",
                    target="sale",
                    place=f"tills.csv row {n}",
                    reason_key=key,
                    reason=reason,
                    raw=raw,
                    format="csv",
                    replayed_at=None,
                    outcome=None,
                )
                for n, (raw, key, reason) in enumerate(raws, 1)
            ]
        )

    async def dead_letters(
        self, *, source: str, reason: str, limit: int, offset: int
    ) -> DeadLetterPage:
        rows = [
            d
            for d in self._letters()
            if (not source or d["source"] == source) and (not reason or d["reason_key"] == reason)
        ]
        return DeadLetterPage(
            dead_letters=rows[offset : offset + limit],
            total=len(rows),
            reasons={"number": 1, "columns": 1, "card_number": 1},
            sources=["tills"],
        )

    async def dead_letter(self, event_id: str) -> DeadLetter:
        for letter in self._letters():
            if letter["event_id"] == event_id:
                return letter
        raise NotFoundError("dead letter", event_id)

    async def replay(self, event_ids: Sequence[str]) -> tuple[int, int]:
        return len(event_ids), 0

    async def quality(self) -> list[QualityCheck]:
        if self.empty:
            return []
        return [
            QualityCheck(
                at=time.time() - 600, table="silver.sale", check=c, passed=p, value=v, detail=d
            )
            for c, p, v, d in [
                ("no_future_times", False, 2.0, "2 lines are dated after now."),
                ("unique_event_id", True, 0.0, "No event id occurs twice in 541,909 rows."),
                ("known_products", True, 0.998, "99.8 % of lines name a known product."),
            ]
        ]

    async def lake_tables(self) -> list[LakeTable]:
        rows = [("bronze.sale", 541_909), ("gold.product", 4070), ("silver.sale", 541_909)]
        return (
            []
            if self.empty
            else [
                LakeTable(
                    name=n, rows=r, files=9, bytes=r * 41, version=40, updated=time.time() - 90
                )
                for n, r in rows
            ]
        )

    async def logs(self, file: str, level: str, lines: int) -> LogPage:
        rows = (
            []
            if self.empty
            else [
                LogLine(
                    time=time.time() - 60 + n,
                    level="error" if n == 7 else "info",
                    text=f"line {n} {HOSTILE}",
                )
                for n in range(30)
            ]
        )
        rows = [r for r in rows if not level or r["level"] == level]
        return LogPage(files=["daemon", "ingest", "serve", "stream"], lines=rows)
