"""Job `train`: train a model, judge it against champion and baselines, promote it or not."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retaild.api.errors import ConfigError
from retaild.api.gate import Gate, Verdict
from retaild.api.trainer import Trainer, TrainingContext, TrainingResult
from retaild.runtime import registry
from retaild.runtime.backup.locks import may_remove_files
from retaild.runtime.context import JobContext
from retaild.runtime.job_lock import job_lock, work_name
from retaild.runtime.jobs import WrongArgumentError
from retaild.runtime.jobs.workbench import Workbench
from retaild.runtime.registry import ModelVersion
from retaild.runtime.registry_writer import Trained

_log = logging.getLogger(__name__)


class UnknownTrainerError(ConfigError):
    key = "trainer.unknown"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(
            f"No trainer {name!r} is configured.", hint=f"There are: {', '.join(known) or 'none'}."
        )


def run(context: JobContext) -> dict[str, Any]:
    """Train `trainer`, or all of them; a result per trainer."""
    with Workbench(context) as bench:
        if "trainer" in context.arguments:
            name = context.arguments["trainer"]
            return {name: train(context, bench, name)}
        return _train_all(context, bench)


def _train_all(context: JobContext, bench: Workbench) -> dict[str, Any]:
    """One after another, each holding the lock of its own training."""
    results = {}
    names = sorted(context.settings.trainer)
    for done, name in enumerate(names):
        with job_lock(context.data, work_name("train", {"trainer": name})):
            part = _share(context, done, len(names), f"{name}: ")
            results[name] = train(part, bench, name)
    return results


def train(context: JobContext, bench: Workbench, name: str) -> dict[str, Any]:
    """Train one; the figures, and whether it became champion and why."""
    if name not in context.settings.trainer:
        raise UnknownTrainerError(name, sorted(context.settings.trainer))
    trainer: Trainer = context.build("trainer", name)
    began = time.monotonic()
    with _workdir(context, name) as workdir:
        surroundings = _surroundings(context, bench, workdir / "artifact")
        result = trainer.train(surroundings)
        trained_in = time.monotonic() - began
        context.progress(0.85, "comparing it with the champion")
        champion = registry.champion(context.data, name)
        opponent, remark = _champion_metrics(
            trainer, champion, result, replace(surroundings, workdir=workdir / "evaluation")
        )
        context.progress(0.92, "logging it to MLflow")
        version = _register(context, bench, name, result, opponent, trained_in)
    verdict = _judge(context, result, opponent)
    reason = " ".join(filter(None, (verdict.reason, remark)))
    decide = bench.registry().promote if verdict.passed else bench.registry().reject
    decide(name, version.version, reason)
    with may_remove_files(context.data) as may:
        if may:
            bench.registry().prune(name)
    context.progress(1.0, reason)
    return {
        "version": version.version,
        "promoted": verdict.passed,
        "reason": reason,
        "primary_metric": result.primary_metric,
        "metrics": result.metrics,
        "baselines": result.baselines,
        "champion": {"version": champion.version, "metrics": opponent} if champion else None,
        "split": result.split,
        "seconds": round(trained_in, 3),
    }


def _surroundings(context: JobContext, bench: Workbench, workdir: Path) -> TrainingContext:
    workdir.mkdir()
    return TrainingContext(
        lake=context.lake(),
        features=bench.features(),
        workdir=workdir,
        threads=int(os.environ.get("OMP_NUM_THREADS", "0")) or len(os.sched_getaffinity(0)),
        seed=_argument(context, "seed", int, "a whole number") or 7,
        as_of=_argument(context, "as_of", _moment, "a moment such as 2011-11-01T00:00"),
        progress=lambda fraction, text: context.progress(0.85 * fraction, text),
    )


def _argument(context: JobContext, name: str, read: Callable[[str], Any], wanted: str) -> Any:
    text = context.arguments.get(name)
    if text is None:
        return None
    try:
        return read(text)
    except ValueError:
        raise WrongArgumentError("train", name, text, wanted) from None


def _moment(text: str) -> datetime:
    """ISO 8601; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _champion_metrics(
    trainer: Trainer,
    champion: ModelVersion | None,
    result: TrainingResult,
    surroundings: TrainingContext,
) -> tuple[dict[str, float] | None, str]:
    """The champion's metrics on the challenger's split; None, and why, if it has none."""
    if champion is None:
        return None, "It is the first version."
    if champion.split == result.split and champion.metrics:
        return champion.metrics, ""
    surroundings.workdir.mkdir()
    try:
        return trainer.evaluate(champion.artifact, surroundings), ""
    except Exception as error:  # an old artifact may be gone or of another format
        _log.exception("champion version %d cannot be evaluated", champion.version)
        return None, f"Champion version {champion.version} could not be evaluated ({error})."


def _register(
    context: JobContext,
    bench: Workbench,
    name: str,
    result: TrainingResult,
    opponent: dict[str, float] | None,
    seconds: float,
) -> ModelVersion:
    plugin = context.settings.trainer[name].plugin
    version = context.plugins.facts("trainer", plugin).version
    trained = Trained(name, plugin, version, result, opponent, seconds)
    return bench.registry().register(trained)


def _judge(
    context: JobContext, result: TrainingResult, opponent: dict[str, float] | None
) -> Verdict:
    """All gates must pass. Without any, a person decides; a gate that fails lets nothing pass."""
    if not context.settings.gate:
        return Verdict(False, "No gate is configured, so a person has to promote it.")
    verdicts = []
    for name in context.settings.gate:
        try:
            gate: Gate = context.build("gate", name)
            verdicts.append(gate.judge(result, opponent))
        except Exception as error:
            _log.exception("gate %s", name)
            verdicts.append(Verdict(False, f"Gate {name!r} failed: {error}"))
    stopped = [verdict for verdict in verdicts if not verdict.passed]
    decisive = stopped or verdicts
    return Verdict(not stopped, " ".join(verdict.reason for verdict in decisive))


@contextmanager
def _workdir(context: JobContext, name: str) -> Iterator[Path]:
    """An empty directory on the data's own file system; what a killed run left goes first."""
    root = context.data.state_dir("trainer", name) / "work"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _share(context: JobContext, done: int, total: int, prefix: str) -> JobContext:
    """The context for one of `total` equal parts of the job."""
    return replace(
        context,
        progress=lambda fraction, text: context.progress((done + fraction) / total, prefix + text),
    )
