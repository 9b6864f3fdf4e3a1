"""Job `refresh`: everything from silver to new answers, in one process.

Feast and MLflow take seconds to import: they do so in the background while the gold tables are
built. A step that fails stops those that need it; the others still run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from retaild.api.errors import RetaildError
from retaild.runtime.context import JobContext
from retaild.runtime.job_lock import JobRunningError, job_lock, work_name
from retaild.runtime.jobs import job_kind
from retaild.runtime.jobs.features import materialize_features
from retaild.runtime.jobs.train import train
from retaild.runtime.jobs.workbench import Workbench

_log = logging.getLogger(__name__)

#: Seconds between two looks whether another process has finished the same step.
_PATIENCE = 1.0


class StepsFailedError(RetaildError):
    key = "refresh.steps_failed"

    def __init__(self, failed: dict[str, str]) -> None:
        said = " ".join(f"{step}: {error}" for step, error in failed.items())
        super().__init__(
            f"{len(failed)} of the steps did not succeed. {said}",
            hint="Mend the first one; run `refresh` again.",
        )


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the chain; `weight` is its usual share of the time, `needs` other steps' names."""

    name: str
    kind: str
    work: Callable[[JobContext], dict[str, Any]]
    arguments: dict[str, str]
    needs: tuple[str, ...]
    weight: float


def run(context: JobContext) -> dict[str, Any]:
    """A result per step with its `seconds` and those of all cores together (`cpu_seconds`).

    Raises StepsFailedError after the last step if any failed.
    """
    with Workbench(context) as bench:
        bench.warm()
        return run_steps(context, steps(context, bench))


def steps(context: JobContext, bench: Workbench) -> list[Step]:
    """The chain. Prices are proposed by the champion, even if training a newer one failed.

    The base comes before the models: the server has it when it takes up a new champion, and ranks
    everyone once, while the models after that one are still trained. They are trained in the order
    of the configuration.
    """
    trainers = [_training(name, bench) for name in context.settings.trainer]
    publish = Step("publish", "publish", _job("publish"), {}, ("materialize",), 1)
    return [
        Step("gold", "gold", _job("gold"), {}, (), 3),
        Step("materialize", "materialize", _job("materialize"), {}, ("gold",), 1),
        Step("features", "features", lambda c: materialize_features(c, bench), {}, ("gold",), 2),
        *trainers,
        Step("propose-prices", "propose-prices", _job("propose-prices"), {}, ("gold",), 1),
        *([publish] if context.settings.target else []),
    ]


def _job(kind: str) -> Callable[[JobContext], dict[str, Any]]:
    return lambda context: job_kind(kind).load()(context)


def _training(name: str, bench: Workbench) -> Step:
    return Step(
        f"train {name}", "train", lambda context: train(context, bench, name),
        # Not the step `features`: training joins in time by itself, and goes on while the store
        # that serves features is away.
        {"trainer": name}, ("gold",), 6,
    )  # fmt: skip


def run_steps(context: JobContext, chain: list[Step]) -> dict[str, Any]:
    """Run the chain in order. Each step holds its own job's lock, waiting for it if need be."""
    results: dict[str, Any] = {}
    failed: dict[str, str] = {}
    total = sum(step.weight for step in chain)
    done = 0.0
    for step in chain:
        missing = [need for need in step.needs if need in failed]
        began, cpu = time.monotonic(), time.process_time()
        if missing:
            failed[step.name] = f"left out, because {' and '.join(missing)} failed."
            results[step.name] = {"left_out": failed[step.name]}
        else:
            results[step.name] = _run(step, context, done / total, step.weight / total, failed)
        results[step.name]["seconds"] = round(time.monotonic() - began, 3)
        results[step.name]["cpu_seconds"] = round(time.process_time() - cpu, 3)
        done += step.weight
    if failed:
        context.state.save_run(context.run_id, result={"steps": results})
        raise StepsFailedError(failed)
    return {"steps": results}


def _run(
    step: Step, context: JobContext, start: float, share: float, failed: dict[str, str]
) -> dict[str, Any]:
    def progress(fraction: float, text: str) -> None:
        context.progress(start + share * min(max(fraction, 0.0), 1.0), f"{step.name}: {text}")

    def wait(error: JobRunningError) -> bool:
        progress(0.0, f"waiting. {error.message}")
        return not context.stop.wait(_PATIENCE)

    progress(0.0, "starts")
    own = replace(context, progress=progress, arguments={**context.arguments, **step.arguments})
    try:
        with job_lock(context.data, work_name(step.kind, step.arguments), wait):
            return dict(step.work(own))
    except RetaildError as error:
        _log.error("%s failed: %s", step.name, error)
        failed[step.name] = str(error)
    except Exception as error:
        _log.exception("%s failed", step.name)
        failed[step.name] = f"{type(error).__name__}: {error}"
    return {"error": failed[step.name]}
