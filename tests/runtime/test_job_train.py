"""Training jobs through the real Feast and the real MLflow, with a trainer that learns nothing."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from retaild_plugins.features.feast import plugin as feast_plugin
from retaild_plugins.gates.quality import plugin as quality_plugin

from retaild.api import Lake, TrainerSpec, TrainingContext, TrainingResult
from retaild.api.errors import MissingDataError
from retaild.api.gate import GateSpec
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.host.registry import PluginRegistry, Registered
from retaild.pipeline.feature_views import FEATURE_VIEWS
from retaild.runtime import registry
from retaild.runtime.context import JobContext
from retaild.runtime.job import JobStopped
from retaild.runtime.job_lock import JobRunningError, job_lock
from retaild.runtime.jobs import MissingArgumentError, WrongArgumentError, features, refresh, train
from retaild.runtime.jobs.features import NoSnapshotsError
from retaild.runtime.jobs.promote import promote, rollback
from retaild.runtime.jobs.refresh import Step, StepsFailedError, run_steps
from retaild.runtime.jobs.train import UnknownTrainerError
from retaild.runtime.jobs.workbench import Workbench
from retaild.runtime.state import State

pytestmark = [
    # MLflow still uses a loader strategy that SQLAlchemy has deprecated,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader"),
    # and ibis a method of DuckDB.
    pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning"),
]

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass
class Toy:
    """A trainer whose quality is what the test says; its artifact remembers it."""

    quality: float = 0.5
    split: str = "January"
    fails: Exception | None = None
    #: What an old artifact is worth on a new split, as a share of what it was.
    decay: float = 1.0
    seen: list[TrainingContext] = field(default_factory=list)
    evaluated: list[Path] = field(default_factory=list)

    def train(self, context: TrainingContext) -> TrainingResult:
        self.seen.append(context)
        asked = pa.table({
            "customer_id": ["ann"],
            "event_timestamp": pa.array([MONDAY], pa.timestamp("us", tz="UTC")),
        })  # fmt: skip
        joined = context.features.historical(asked, ["customer:receipts"])
        context.progress(0.5, "learning")
        if self.fails is not None:
            raise self.fails
        (context.workdir / "model.json").write_text(json.dumps({"quality": self.quality}))
        return TrainingResult(
            artifact=context.workdir,
            metrics={"quality": self.quality},
            baselines={"popular": {"quality": 0.2}},
            split=self.split,
            primary_metric="quality",
            parameters={"receipts": joined["customer__receipts"][0].as_py()},
            data_versions={"gold.customer_snapshot": 0},
        )

    def evaluate(self, artifact: Path, context: TrainingContext) -> dict[str, float]:
        self.evaluated.append(artifact)
        assert context.workdir.is_dir()
        quality = json.loads((artifact / "model.json").read_text())["quality"]
        return {"quality": quality * self.decay}

    def load(self, artifact: Path) -> Any:
        return artifact


class BrokenGate:
    def judge(self, *_: Any) -> Any:
        raise RuntimeError("the gate is stuck")


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def plugins(toy: Toy) -> PluginRegistry:
    found = PluginRegistry()

    def add(kind: str, spec: Any) -> None:
        found.registered[kind, spec.name] = Registered(kind, spec, "test", "test", "1", "test")

    add("features", feast_plugin.retaild_feature_backends()[0])
    add("gate", quality_plugin.retaild_gates()[0])
    add("gate", GateSpec(name="broken", summary="Fails.", build=lambda *_: BrokenGate()))
    add("trainer", TrainerSpec(name="toy", summary="Toy.", version="9.9", build=lambda *_: toy))
    return found


def settings(**more: Any) -> Settings:
    toys = {"toy": {}, "recommender": {"enabled": False}, "price": {"enabled": False}}
    return Settings.model_validate({"trainer": toys, **more})


@pytest.fixture
def context(tmp_path: Path, new_registry: Path, plugins: PluginRegistry) -> JobContext:
    data = DataDir(tmp_path)
    shutil.copy(new_registry, data.mlflow_db)
    add_snapshots(Lake(data.lake))
    state = State(data.state_db)
    run_id = state.request_run("train", "train", {}, "test")
    assert run_id is not None
    stop = threading.Event()
    return JobContext("train", settings(), data, plugins, state, stop, run_id)


def add_snapshots(lake: Lake, moment: datetime = MONDAY) -> None:
    """A row for ann in each table of the feature views: every figure is 4."""
    types = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
    for view in FEATURE_VIEWS:
        columns: dict[str, Any] = {
            view.entity: pa.array(["ann"]),
            view.event_timestamp: pa.array([moment], pa.timestamp("us", tz="UTC")),
        }
        columns |= {f.name: pa.array([4], types[f.type]) for f in view.features}
        lake.overwrite(view.table, pa.table(columns))


@pytest.fixture
def bench(context: JobContext) -> Iterator[Workbench]:
    with Workbench(context) as bench:
        yield bench


def champion(context: JobContext) -> int | None:
    found = registry.champion(context.data, "toy")
    return found.version if found else None


def test_the_first_version_becomes_champion(
    context: JobContext, bench: Workbench, toy: Toy
) -> None:
    result = train.train(context, bench, "toy")
    assert (result["version"], result["promoted"]) == (1, True)
    assert result["reason"] == "quality 0.5 beats popular 0.2 (+150.0%). It is the first version."
    version = registry.champion(context.data, "toy")
    assert version is not None
    assert (version.metrics, version.plugin, version.plugin_version) == (
        {"quality": 0.5}, "toy", "9.9",
    )  # fmt: skip
    # The feature came through Feast from gold.
    assert version.parameters == {"receipts": "4"}
    assert json.loads((version.artifact / "model.json").read_text()) == {"quality": 0.5}
    assert context.state.model_events("toy")[0]["action"] == "promoted"
    assert not toy.seen[0].workdir.exists()


def test_on_the_same_split_the_champions_own_figures_count(
    context: JobContext, bench: Workbench, toy: Toy
) -> None:
    train.train(context, bench, "toy")
    toy.quality = 0.501
    result = train.train(context, bench, "toy")
    assert not result["promoted"]
    assert "does not beat the champion (0.5, +0.2%) by 0.5%" in result["reason"]
    assert result["champion"] == {"version": 1, "metrics": {"quality": 0.5}}
    assert toy.evaluated == []
    assert champion(context) == 1
    assert registry.version(context.data, "toy", 2).outcome == result["reason"]
    toy.quality = 0.6
    assert train.train(context, bench, "toy")["promoted"]
    assert champion(context) == 3


def test_on_a_new_split_the_champion_is_measured_anew(
    context: JobContext, bench: Workbench, toy: Toy
) -> None:
    train.train(context, bench, "toy")
    toy.split, toy.decay, toy.quality = "February", 0.8, 0.45
    result = train.train(context, bench, "toy")
    assert toy.evaluated == [context.data.models / "toy" / "1"]
    assert result["champion"]["metrics"] == {"quality": pytest.approx(0.4)}
    assert result["promoted"]
    logged = registry.version(context.data, "toy", 2)
    assert logged.champion_metrics == {"quality": pytest.approx(0.4)}


def test_a_champion_that_cannot_be_measured_is_replaced_and_that_is_said(
    context: JobContext, bench: Workbench, toy: Toy
) -> None:
    train.train(context, bench, "toy")
    shutil.rmtree(context.data.models / "toy" / "1")
    toy.split, toy.quality = "February", 0.3
    result = train.train(context, bench, "toy")
    assert result["promoted"]
    assert "Champion version 1 could not be evaluated" in result["reason"]


def test_all_gates_must_pass_and_one_that_breaks_does_not(
    context: JobContext, bench: Workbench, toy: Toy
) -> None:
    strict = {"plugin": "quality", "minimum": {"customers": 10}}
    two = replace(context, settings=settings(gate={"strict": strict}))
    result = train.train(two, bench, "toy")
    assert (result["promoted"], champion(context)) == (False, None)
    assert "customers was not measured; at least 10 is needed." in result["reason"]
    broken = replace(context, settings=settings(gate={"broken": {}}))
    result = train.train(broken, bench, "toy")
    assert (result["promoted"], champion(context)) == (False, None)
    assert result["reason"].startswith("Gate 'broken' failed: the gate is stuck")


def test_without_a_gate_a_person_decides(context: JobContext, bench: Workbench) -> None:
    none = replace(context, settings=settings(gate={"quality": {"enabled": False}}))
    result = train.train(none, bench, "toy")
    assert (result["promoted"], champion(context)) == (False, None)
    assert "a person has to promote it" in result["reason"]
    chosen = replace(context, arguments={"trainer": "toy", "version": "1", "reason": "I like it"})
    assert promote(chosen) == {"trainer": "toy", "champion": 1}
    assert champion(context) == 1


def test_a_failed_training_leaves_nothing_behind(
    context: JobContext, bench: Workbench, toy: Toy
) -> None:
    toy.fails = MissingDataError("There are 3 receipts.")
    with pytest.raises(MissingDataError):
        train.train(context, bench, "toy")
    assert registry.versions(context.data, "toy") == []
    assert not toy.seen[0].workdir.exists()


def test_arguments_reach_the_trainer(context: JobContext, bench: Workbench, toy: Toy) -> None:
    told = {"seed": "3", "as_of": "2011-11-01T12:00:00+01:00"}
    train.train(replace(context, arguments=told), bench, "toy")
    assert (toy.seen[0].seed, toy.seen[0].as_of) == (3, datetime(2011, 11, 1, 11, tzinfo=UTC))
    train.train(context, bench, "toy")
    assert (toy.seen[1].seed, toy.seen[1].as_of) == (7, None)
    for wrong in ({"seed": "many"}, {"as_of": "yesterday"}):
        with pytest.raises(WrongArgumentError, match="is not a"):
            train.train(replace(context, arguments=wrong), bench, "toy")


def test_the_job_trains_the_named_one_or_all(context: JobContext) -> None:
    assert set(train.run(replace(context, arguments={"trainer": "toy"}))) == {"toy"}
    assert train.run(context)["toy"]["version"] == 2
    with job_lock(context.data, "train-toy"), pytest.raises(JobRunningError):
        train.run(context)
    with pytest.raises(UnknownTrainerError, match="There are: toy"):
        train.run(replace(context, arguments={"trainer": "typo"}))


def test_a_person_can_go_back(context: JobContext, bench: Workbench, toy: Toy) -> None:
    train.train(context, bench, "toy")
    toy.quality = 0.9
    train.train(context, bench, "toy")
    assert rollback(replace(context, arguments={"trainer": "toy"}))["champion"] == 1
    with pytest.raises(MissingArgumentError, match="'version'"):
        promote(replace(context, arguments={"trainer": "toy"}))
    with pytest.raises(WrongArgumentError):
        promote(replace(context, arguments={"trainer": "toy", "version": "two"}))


def test_features_are_materialized_as_of_the_newest_snapshot(context: JobContext) -> None:
    newest = MONDAY + timedelta(days=3, hours=5)
    add_snapshots(context.lake(), newest)
    result = features.run(context)
    assert result == {"as_of": newest.isoformat(), "rows": {"customer": 1, "product": 1}}
    shutil.rmtree(context.data.lake)
    with pytest.raises(NoSnapshotsError):
        features.run(context)


def test_the_chain_is_in_order_and_trains_every_trainer(
    context: JobContext, bench: Workbench
) -> None:
    chain = {step.name: step.needs for step in refresh.steps(context, bench)}
    assert chain == {
        "gold": (),
        "materialize": ("gold",),
        "features": ("gold",),
        "train toy": ("gold",),
    }
    # With the base there first, everyone is ranked once by a new champion.
    assert list(chain).index("materialize") < list(chain).index("train toy")


def test_prices_are_proposed_where_a_trainer_makes_a_price_model(
    context: JobContext, plugins: PluginRegistry, toy: Toy
) -> None:
    spec = TrainerSpec(name="price", summary="P.", produces="price", build=lambda *_: toy)
    plugins.registered["trainer", "price"] = Registered("trainer", spec, "test", "test", "1", "t")
    own = Settings.model_validate({"trainer": {"price": {}, "recommender": {"enabled": False}}})
    with Workbench(replace(context, settings=own)) as bench:
        chain = [step.name for step in refresh.steps(replace(context, settings=own), bench)]
    assert chain[-1] == "propose-prices"


def test_trainers_follow_the_order_of_the_configuration(
    context: JobContext, bench: Workbench
) -> None:
    toy = context.settings.trainer["toy"]
    settings = context.settings.model_copy(update={"trainer": {"b": toy, "a": toy}})
    chain = [step.name for step in refresh.steps(replace(context, settings=settings), bench)]
    assert [name for name in chain if name.startswith("train")] == ["train b", "train a"]


def test_a_failed_step_stops_only_what_needs_it(context: JobContext) -> None:
    done: list[str] = []
    said: list[tuple[float, str]] = []

    def step(name: str, *needs: str, fails: Exception | None = None) -> Step:
        def work(own: JobContext) -> dict[str, Any]:
            own.progress(0.5, "half")
            if fails:
                raise fails
            done.append(name)
            return {"rows": 1}

        return Step(name, name, work, {}, needs, 1)

    chain = [
        step("gold"),
        step("features", "gold", fails=ValueError("no disk")),
        step("train", "features"),
        step("judge", "train"),
        step("materialize", "gold"),
    ]
    told = replace(context, progress=lambda fraction, text: said.append((fraction, text)))
    with pytest.raises(StepsFailedError, match="features: ValueError: no disk"):
        run_steps(told, chain)
    assert done == ["gold", "materialize"]
    run = context.state.run(context.run_id)
    assert run is not None
    steps = run["result"]["steps"]
    assert list(steps) == ["gold", "features", "train", "judge", "materialize"]
    assert steps["features"]["error"] == "ValueError: no disk"
    assert steps["train"]["left_out"] == "left out, because features failed."
    assert steps["judge"]["left_out"] == "left out, because train failed."
    assert all(step["seconds"] >= 0 for step in steps.values())
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions)
    assert (0.9, "materialize: half") in [(round(f, 9), text) for f, text in said]


def waiting(name: str, *needs: str, had: bool = False) -> Step:
    """A step of a shop that has too little data for it, and once had more if `had`."""

    def work(_: JobContext) -> dict[str, Any]:
        raise MissingDataError(f"No {name} yet.", hint="Wait.")

    return Step(name, name, work, {}, needs, 1, lambda _: had)


def test_a_new_shop_waits_for_its_data_and_that_is_no_failure(context: JobContext) -> None:
    done = Step("quick", "quick", lambda _: {"rows": 1}, {}, (), 1)
    after = Step("after", "after", lambda _: pytest.fail("it ran"), {}, ("sales",), 1)
    result = run_steps(context, [waiting("sales"), done, after])
    assert result["waits_for"] == {"sales": "No sales yet. Wait."}
    assert result["steps"]["quick"]["rows"] == 1
    assert result["steps"]["after"]["waiting"] == "for sales."


def test_a_table_that_is_not_there_yet_is_waited_for_too(context: JobContext) -> None:
    lacking = Step(
        "train", "train", lambda c: {"rows": c.lake().version("silver.sale")}, {}, (), 1,
        lambda _: False,
    )  # fmt: skip
    assert "silver.sale" in run_steps(context, [lacking])["waits_for"]["train"]


def test_data_that_was_there_and_is_gone_is_a_failure(context: JobContext) -> None:
    chain = [waiting("old", had=True), waiting("new")]
    with pytest.raises(StepsFailedError, match=r"1 of the steps did not succeed\. old: No old yet"):
        run_steps(context, chain)
    run = context.state.run(context.run_id)
    assert run is not None
    assert run["result"]["waits_for"] == {"new": "No new yet. Wait."}


def test_what_the_shop_had_is_seen_in_what_it_made(context: JobContext, bench: Workbench) -> None:
    chain = {step.name: step for step in refresh.steps(context, bench)}
    # There are gold tables in this shop, and no model yet.
    assert chain["gold"].had(context)
    assert not chain["features"].had(context)
    assert not chain["train toy"].had(context)
    train.train(context, bench, "toy")
    assert chain["train toy"].had(context)
    shutil.rmtree(context.data.lake)
    assert chain["gold"].had(context)
    assert chain["features"].had(context)


def test_being_told_to_stop_stops_the_chain(context: JobContext) -> None:
    def stopped(_: JobContext) -> dict[str, Any]:
        raise JobStopped

    later = Step("later", "later", lambda _: pytest.fail("it went on"), {}, (), 1)
    with pytest.raises(JobStopped):
        run_steps(context, [Step("first", "first", stopped, {}, (), 1), later])


def test_a_step_waits_for_the_same_job_of_another_process(
    context: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "_PATIENCE", 0.01)
    said: list[str] = []
    other = job_lock(context.data, "gold")
    other.__enter__()

    def progress(_: float, text: str) -> None:
        said.append(text)
        if len(said) == 5:
            other.__exit__(None, None, None)

    chain = [Step("gold", "gold", lambda _: {"rows": 1}, {}, (), 1)]
    result = run_steps(replace(context, progress=progress), chain)
    assert result["steps"]["gold"]["rows"] == 1
    assert "waiting. Job 'gold' is already running" in said[1]


def test_what_cannot_be_opened_fails_whoever_asks_for_it(context: JobContext) -> None:
    class Unopenable:
        def open(self) -> None:
            raise OSError("no disk")

        def close(self) -> None: ...

    context.plugins.registered.clear()
    spec = replace(feast_plugin.retaild_feature_backends()[0], build=lambda *_: Unopenable())
    registered = Registered("features", spec, "test", "test", "1", "test")
    context.plugins.registered["features", "feast"] = registered
    with Workbench(context) as bench:
        bench.warm()
        for _ in range(2):
            with pytest.raises(OSError, match="no disk"):
                bench.features()
        bench.registry()
