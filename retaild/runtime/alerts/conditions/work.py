"""Jobs that failed, models that were refused or taken back, checks of the data that failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retaild.runtime.alerts.conditions.condition import Facts, Finding, Sure
from retaild.runtime.jobs import JOBS
from retaild.runtime.state import Row


@dataclass
class FailedJobs(Sure):
    """A job's last run failed, or its last two were killed; its next success ends it."""

    source: str = "job"

    def look(self, facts: Facts) -> Iterator[Finding]:
        for job in sorted({*facts.settings.job, *JOBS}):
            runs = facts.state.rows(
                "SELECT id, state, error, trigger FROM job_run WHERE job = ? "
                "AND state IN ('succeeded', 'failed', 'killed') ORDER BY id DESC LIMIT 2",
                [job],
            )
            if runs and _failed(runs):
                last = runs[0]
                yield Finding(
                    f"job.{job}.failed",
                    "error",
                    f"Job {job} failed: {last['error'] or 'it gave no reason.'}"[:900],
                    f"See `retaildctl job log {last['id']}`; run it again with "
                    f"`retaildctl job run {job}`.",
                    {"run": str(last["id"]), "started by": last["trigger"]},
                )


def _failed(runs: list[Row]) -> bool:
    """Newest first. A stop of the daemon kills what runs: once may be that, twice is not."""
    return runs[0]["state"] == "failed" or [r["state"] for r in runs] == ["killed", "killed"]


@dataclass
class Models(Sure):
    """What happened to each trainer's versions since its last promotion."""

    source: str = "model"

    def look(self, facts: Facts) -> Iterator[Finding]:
        for trainer in facts.settings.trainer:
            since = []
            for event in facts.state.model_events(trainer, limit=50):
                if event["action"] == "promoted":
                    break
                since.append(event)
            if since and since[0]["action"] == "rejected":
                yield self._finding(since[0], "refused", "did not pass its gates")
            demoted = [event for event in since if event["action"] == "rolled_back"]
            if demoted:
                yield self._finding(demoted[0], "demoted", "is champion again: the newer was not")

    def _finding(self, event: Row, what: str, words: str) -> Finding:
        name = event["trainer"]
        return Finding(
            f"model.{name}.{what}",
            "info" if what == "refused" else "warning",
            f"Version {event['version']} of {name} {words}. {event['reason']}".strip()[:900],
            f"See `retaildctl model compare {name}`.",
            {"version": str(event["version"])},
        )


@dataclass
class Quality(Sure):
    """Checks of the data that failed when they were last made."""

    source: str = "quality"

    def look(self, facts: Facts) -> Iterator[Finding]:
        for row in facts.state.rows("SELECT * FROM quality WHERE passed = 0 LIMIT 500"):
            table, check = row["table_name"], row["check_name"]
            yield Finding(
                f"quality.{table}.{check}",
                "warning",
                f"The data of {table} does not pass the check {check}: {row['detail']}"[:900],
                "See the admin page's data quality; a broken export can often be sent again.",
            )
