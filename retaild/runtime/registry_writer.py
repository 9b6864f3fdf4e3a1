"""Changes to the model registry, through MLflow's own client on sqlite.

For jobs: importing MLflow takes seconds. Runs, versions and aliases are MLflow's, so its own tools
see all of it; the served artifact is an immutable directory `models/<trainer>/<version>` whose
files are hard links to the run's, so it costs no second copy.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from retaild.api.errors import RetaildError
from retaild.api.trainer import TrainingResult
from retaild.config.paths import DataDir
from retaild.runtime import registry
from retaild.runtime.registry import CHALLENGER, CHAMPION, TAG_PREFIX, ModelVersion
from retaild.runtime.registry_mlmodel import metric_key, write_mlmodel
from retaild.runtime.state import State

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Artifacts of older versions are removed, but never an aliased one's nor those of the newest
#: `KEEP_CHAMPIONS` champions: a roll-back has somewhere to go.
KEEP_VERSIONS = 20
KEEP_CHAMPIONS = 5

_BATCH = 100  # MLflow takes at most so many parameters at once
_VALUE_LENGTH = 6000
#: Where a run keeps its model, below its artifacts.
_ARTIFACT = "model"


class MissingArtifactError(RetaildError):
    key = "registry.missing_artifact"

    def __init__(self, trainer: str, version: int, path: Path) -> None:
        super().__init__(
            f"Version {version} of {trainer!r} cannot be served: {path} is gone.",
            hint="Retention removes old versions. Choose another, or train anew.",
        )


class NoEarlierChampionError(RetaildError):
    key = "registry.no_earlier_champion"

    def __init__(self, trainer: str) -> None:
        super().__init__(
            f"Model {trainer!r} has no earlier champion to go back to.",
            hint=f"Choose a version: `retaildctl model promote {trainer} VERSION`.",
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training: who trained, what came out, and the champion on the same split."""

    trainer: str
    plugin: str
    plugin_version: str
    result: TrainingResult
    champion_metrics: Mapping[str, float] | None = None
    seconds: float = 0.0


class RegistryWriter:
    """One per job. Nothing is imported or opened before the first call."""

    def __init__(self, data: DataDir, state: State) -> None:
        self._data = data
        self._state = state
        self._opened: MlflowClient | None = None

    def open(self) -> None:
        """Import MLflow and make its file if it is missing: some seconds, the first time."""
        self._client()

    def register(self, trained: Trained) -> ModelVersion:
        """Log a run, register its model as the next version and call it the challenger."""
        client, name = self._client(), trained.trainer
        run_id = self._log_run(client, trained)
        source = self._store_artifact(client, trained, run_id)
        _ensure_model(client, name)
        created = client.create_model_version(
            name, str(source), run_id, tags=_version_tags(trained), await_creation_for=0
        )
        number = int(created.version)
        _publish(source, registry.artifact_directory(self._data, name, number))
        client.set_registered_model_alias(name, CHALLENGER, str(number))
        return registry.version(self._data, name, number)

    def promote(self, trainer: str, number: int, reason: str) -> ModelVersion:
        """Make a version the champion; the server follows within a second.

        Raises UnknownVersionError, MissingArtifactError.
        """
        return self._enthrone(trainer, number, "promoted", reason)

    def rollback(self, trainer: str, reason: str) -> ModelVersion:
        """Make the champion before this one champion again; raises NoEarlierChampionError."""
        current = registry.champion(self._data, trainer)
        number = current.version if current else 0
        for earlier in reversed(self._former_champions(trainer)):
            servable = registry.artifact_directory(self._data, trainer, earlier).is_dir()
            if earlier != number and servable:
                text = f"Back from version {number}. {reason}".strip()
                return self._enthrone(trainer, earlier, "rolled_back", text)
        raise NoEarlierChampionError(trainer)

    def reject(self, trainer: str, number: int, reason: str) -> ModelVersion:
        """Record that a version did not pass; it stays the challenger until the next one."""
        found = registry.version(self._data, trainer, number)
        self._tag(trainer, number, "outcome", reason)
        self._state.add_model_event(trainer, number, "rejected", reason, found.metrics)
        return registry.version(self._data, trainer, number)

    def prune(self, trainer: str, keep: int = KEEP_VERSIONS) -> list[int]:
        """Remove old versions' artifacts (their figures stay); the versions it removed."""
        found = registry.versions(self._data, trainer)
        kept = {v.version for v in found[:keep]} | {v.version for v in found if v.aliases}
        kept |= set(self._former_champions(trainer)[-KEEP_CHAMPIONS:])
        gone = [v for v in found if v.version not in kept and v.artifact.is_dir()]
        for old in gone:
            shutil.rmtree(old.artifact)
            run = self._client().get_run(old.run_id)
            shutil.rmtree(_local(run.info.artifact_uri) / _ARTIFACT, ignore_errors=True)
        return [v.version for v in gone]

    # -- inside ----------------------------------------------------------------------------------

    def _client(self) -> MlflowClient:
        if self._opened is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            os.environ.setdefault("DO_NOT_TRACK", "true")
            from mlflow import MlflowClient

            for noisy in ("mlflow", "alembic"):
                logging.getLogger(noisy).setLevel(logging.WARNING)
            uri = f"sqlite:///{self._data.mlflow_db}"
            with _locked(self._data.run / "mlflow.lock"):  # two jobs may both find no file
                self._opened = MlflowClient(tracking_uri=uri, registry_uri=uri)
                self._opened.search_registered_models(max_results=1)
        return self._opened

    def _log_run(self, client: MlflowClient, trained: Trained) -> str:
        from mlflow.entities import Metric, Param, RunTag

        experiment = self._experiment(client, trained.trainer)
        now = int(time.time() * 1000)
        run = client.create_run(
            experiment,
            run_name=f"{trained.trainer} {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}",
            start_time=now - int(trained.seconds * 1000),
        )
        run_id = str(run.info.run_id)
        metrics = [Metric(key, value, now, 0) for key, value in _all_metrics(trained).items()]
        parameters = [
            Param(metric_key(key), str(value)[:_VALUE_LENGTH])
            for key, value in trained.result.parameters.items()
        ]
        tags = [RunTag(key, value[:_VALUE_LENGTH]) for key, value in _version_tags(trained).items()]
        client.log_batch(run_id, metrics=metrics, tags=tags)
        for start in range(0, len(parameters), _BATCH):
            client.log_batch(run_id, params=parameters[start : start + _BATCH])
        return run_id

    def _experiment(self, client: MlflowClient, trainer: str) -> str:
        found = client.get_experiment_by_name(trainer)
        if found is not None:
            return str(found.experiment_id)
        place = self._data.mlartifacts.absolute() / trainer
        return str(client.create_experiment(trainer, artifact_location=place.as_uri()))

    def _store_artifact(self, client: MlflowClient, trained: Trained, run_id: str) -> Path:
        """Copy the artifact below the run, as an MLflow model with its signature."""
        client.log_artifacts(run_id, str(trained.result.artifact), _ARTIFACT)
        client.set_terminated(run_id)
        place = _local(client.get_run(run_id).info.artifact_uri) / _ARTIFACT
        write_mlmodel(place, run_id, trained)
        return place

    def _enthrone(self, trainer: str, number: int, action: str, reason: str) -> ModelVersion:
        found = registry.version(self._data, trainer, number)
        if not found.artifact.is_dir():
            raise MissingArtifactError(trainer, number, found.artifact)
        client = self._client()
        client.set_registered_model_alias(trainer, CHAMPION, str(number))
        if CHALLENGER in found.aliases:
            client.delete_registered_model_alias(trainer, CHALLENGER)
        self._tag(trainer, number, "outcome", reason)
        self._state.add_model_event(trainer, number, action, reason, found.metrics)
        return registry.version(self._data, trainer, number)

    def _tag(self, trainer: str, number: int, key: str, value: Any) -> None:
        self._client().set_model_version_tag(
            trainer, str(number), TAG_PREFIX + key, json.dumps(value)
        )

    def _former_champions(self, trainer: str) -> list[int]:
        """Versions that were champion and were not rolled back from, the latest last."""
        stack: list[int] = []
        for event in reversed(self._state.model_events(trainer, limit=10_000)):
            number = int(event["version"])
            if event["action"] == "promoted":
                stack = [v for v in stack if v != number] + [number]
            elif event["action"] == "rolled_back" and number in stack:
                stack = stack[: stack.index(number) + 1]
        return stack


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version_tags(trained: Trained) -> dict[str, str]:
    """What `registry.ModelVersion` reads back, exactly; MLflow's own fields cannot hold it all."""
    result = trained.result
    values = {
        "metrics": result.metrics,
        "baselines": result.baselines,
        "champion_metrics": dict(trained.champion_metrics or {}),
        "primary_metric": result.primary_metric,
        "greater_is_better": result.greater_is_better,
        "split": result.split,
        "data_versions": result.data_versions,
        "plugin": trained.plugin,
        "plugin_version": trained.plugin_version,
    }
    return {TAG_PREFIX + key: json.dumps(value) for key, value in values.items()}


def _all_metrics(trained: Trained) -> dict[str, float]:
    """For MLflow's own pages: the challenger's, each baseline's and the champion's figures."""
    groups: dict[str, Mapping[str, float]] = {
        "": trained.result.metrics,
        **{f"baseline/{name}/": values for name, values in trained.result.baselines.items()},
        "champion/": trained.champion_metrics or {},
    }
    flat = {prefix + name: v for prefix, values in groups.items() for name, v in values.items()}
    return {metric_key(name): float(value) for name, value in flat.items()} | {
        "training_seconds": trained.seconds
    }


def _publish(source: Path, target: Path) -> None:
    """Show `source` at `target`, whole or not at all, and safe from a power cut."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, draft, copy_function=_link)
    for path in (*draft.rglob("*"), draft):
        _sync(path)
    draft.rename(target)
    _sync(target.parent)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
    return target


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _local(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file:") else Path(uri)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
