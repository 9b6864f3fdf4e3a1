"""Job `refresh`: everything from silver to new answers, in one process.

Feast and MLflow take seconds to import: they do so in the background while the gold tables are
built. A step that fails stops those that need it; the others still run. One that has too little
data in a shop that never had more waits for it: that is no failure.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from retaild.api.errors import MissingDataError, RetaildError
from retaild.api.lake import NoTableError
from retaild.runtime import registry
from retaild.runtime.context import JobContext
from retaild.runtime.job_lock import JobRunningError, job_lock, work_name
from retaild.runtime.jobs import job_kind
from retaild.runtime.jobs.features import materialize_features
from retaild.runtime.jobs.train import train
from retaild.runtime.jobs.workbench import Workbench
from retaild.runtime.pricing.desk import price_trainer
from retaild.runtime.pricing.errors import NoPriceTrainerError

_log = logging.getLogger(__name__)

#: Seconds between two looks whether another process has finished the same step.
_PATIENCE = 1.0
#: What a step says that has not enough to work on.
_MISSING = (MissingDataError, NoTableError)


class StepsFailedError(RetaildError):
    key = "refresh.steps_failed"

    def __init__(self, failed: dict[str, str]) -> None:
        said = " ".join(f"{step}: {error}" for step, error in failed.items())
        super().__init__(
            f"{len(failed)} of the steps did not succeed. {said}",
            hint="Mend the first one; run `refresh` again.",
        )


def _always(_context: JobContext) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the chain; `weight` is its usual share of the time, `needs` other steps' names.

    `had`: whether the shop had once what the step works on. If not, that it lacks is no fault.
    """

    name: str
    kind: str
    work: Callable[[JobContext], dict[str, Any]]
    arguments: dict[str, str]
    needs: tuple[str, ...]
    weight: float
    had: Callable[[JobContext], bool] = _always


def run(context: JobContext) -> dict[str, Any]:
    """A result per step with its `seconds` and those of all cores together (`cpu_seconds`).

    `waits_for`, where a new shop has too little data for a step: step -> what it waits for. Raises
    StepsFailedError after the last step if any failed.
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
    features = Step(
        "features", "features", lambda c: materialize_features(c, bench), {}, ("gold",), 2, _trained
    )
    # Without a price model in service, whyever, there is nothing to propose.
    propose = Step("propose-prices", "propose-prices", _job("propose-prices"), {}, ("gold",), 1,
                   lambda _: False)  # fmt: skip
    publish = Step("publish", "publish", _job("publish"), {}, ("materialize",), 1, _trained)
    return [
        Step("gold", "gold", _job("gold"), {}, (), 3, _built),
        Step("materialize", "materialize", _job("materialize"), {}, ("gold",), 1),
        features,
        *trainers,
        *([propose] if _prices(context) else []),
        *([publish] if context.settings.target else []),
    ]


def _built(context: JobContext) -> bool:
    return any(name.startswith("gold.") for name in context.lake().names()) or _trained(context)


def _trained(context: JobContext) -> bool:
    return any(registry.versions(context.data, name) for name in context.settings.trainer)


def _prices(context: JobContext) -> bool:
    try:
        return bool(price_trainer(context))
    except NoPriceTrainerError:
        return False


def _job(kind: str) -> Callable[[JobContext], dict[str, Any]]:
    return lambda context: job_kind(kind).load()(context)


def _training(name: str, bench: Workbench) -> Step:
    return Step(
        f"train {name}", "train", lambda context: train(context, bench, name),
        # Not the step `features`: training joins in time by itself, and goes on while the store
        # that serves features is away.
        {"trainer": name}, ("gold",), 6,
        lambda context: bool(registry.versions(context.data, name)),
    )  # fmt: skip


def run_steps(context: JobContext, chain: list[Step]) -> dict[str, Any]:
    """Run the chain in order. Each step holds its own job's lock, waiting for it if need be."""
    results: dict[str, Any] = {}
    failed: dict[str, str] = {}
    waits: dict[str, str] = {}
    total = sum(step.weight for step in chain)
    done = 0.0
    for step in chain:
        missing = [need for need in step.needs if need in failed]
        unready = [need for need in step.needs if "waiting" in results.get(need, {})]
        began, cpu = time.monotonic(), time.process_time()
        if missing:
            failed[step.name] = f"left out, because {' and '.join(missing)} failed."
            results[step.name] = {"left_out": failed[step.name]}
        elif unready:
            results[step.name] = {"waiting": f"for {' and '.join(unready)}."}
        else:
            share = (done / total, step.weight / total)
            results[step.name] = _run(step, context, share, failed, waits)
        results[step.name]["seconds"] = round(time.monotonic() - began, 3)
        results[step.name]["cpu_seconds"] = round(time.process_time() - cpu, 3)
        done += step.weight
    result = {"steps": results, **({"waits_for": waits} if waits else {})}
    if failed:
        context.state.save_run(context.run_id, result=result)
        raise StepsFailedError(failed)
    return result


def _run(
    step: Step,
    context: JobContext,
    shares: tuple[float, float],
    failed: dict[str, str],
    waits: dict[str, str],
) -> dict[str, Any]:
    """Its result. `shares`: how much of the whole is done before it, and how much it is."""
    start, share = shares

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
        if isinstance(error, _MISSING) and not step.had(context):
            _log.info("%s waits for data: %s", step.name, error)
            waits[step.name] = str(error)
            return {"waiting": waits[step.name]}
        _log.error("%s failed: %s", step.name, error)
        failed[step.name] = str(error)
    except Exception as error:
        _log.exception("%s failed", step.name)
        failed[step.name] = f"{type(error).__name__}: {error}"
    return {"error": failed[step.name]}
