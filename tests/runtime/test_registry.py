"""The model registry: MLflow's client writes, plain sqlite reads, and both see the same."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from retaild.api.trainer import TrainingResult
from retaild.config.paths import DataDir
from retaild.runtime import registry
from retaild.runtime.registry import (
    ModelVersion,
    RegistryBusyError,
    UnknownVersionError,
    UnreadableRegistryError,
)
from retaild.runtime.registry_mlmodel import metric_key
from retaild.runtime.registry_writer import (
    MissingArtifactError,
    NoEarlierChampionError,
    RegistryWriter,
    Trained,
)
from retaild.runtime.state import State

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow still uses a loader strategy that SQLAlchemy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader")

SIGNATURE = {
    "inputs": {"customer_id": "string", "now": "float64 (seconds)", "basket": "list of products"},
    "outputs": [{"name": "score", "type": "float64"}, {"name": "ids", "type": "array<string>"}],
    "features": {"times": "float32"},
}


@pytest.fixture
def data(tmp_path: Path, new_registry: Path) -> DataDir:
    shutil.copy(new_registry, tmp_path / "mlflow.db")
    return DataDir(tmp_path)


@pytest.fixture
def state(data: DataDir) -> State:
    return State(data.state_db)


@pytest.fixture
def writer(data: DataDir, state: State) -> RegistryWriter:
    return RegistryWriter(data, state)


@pytest.fixture
def client(data: DataDir) -> MlflowClient:
    from mlflow import MlflowClient

    uri = f"sqlite:///{data.mlflow_db}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def trained(data: DataDir, ndcg: float = 0.3, trainer: str = "recommender", **more: Any) -> Trained:
    artifact = data.root / "work" / str(time.monotonic_ns())
    (artifact / "trees").mkdir(parents=True)
    (artifact / "weights.txt").write_text(f"ndcg {ndcg}")
    (artifact / "trees" / "0.txt").write_text("leaf")
    result = TrainingResult(
        artifact=artifact,
        metrics={"ndcg@10": ndcg, "recall@10": 0.25},
        baselines={"popular": {"ndcg@10": 0.1, "recall@10": 0.05}},
        split="before 2011-11-01 | after",
        primary_metric="ndcg@10",
        parameters={"leaves": 31, "rate": 0.1},
        signature=SIGNATURE,
        data_versions={"silver.sale": 17, "gold.customer_snapshot": 3},
    )
    return Trained(trainer, "recommender", "0.1.0", result, {"ndcg@10": 0.2}, seconds=4.0, **more)


def test_a_registered_version_reads_back_as_it_was_trained(
    data: DataDir, writer: RegistryWriter
) -> None:
    version = writer.register(trained(data))
    assert registry.versions(data, "recommender") == [version]
    assert replace(version, run_id="", created=0.0) == ModelVersion(
        name="recommender",
        version=1,
        artifact=data.root / "models" / "recommender" / "1",
        run_id="",
        created=0.0,
        aliases=("challenger",),
        metrics={"ndcg@10": 0.3, "recall@10": 0.25},
        baselines={"popular": {"ndcg@10": 0.1, "recall@10": 0.05}},
        champion_metrics={"ndcg@10": 0.2},
        parameters={"leaves": "31", "rate": "0.1"},
        primary_metric="ndcg@10",
        greater_is_better=True,
        split="before 2011-11-01 | after",
        data_versions={"silver.sale": 17, "gold.customer_snapshot": 3},
        plugin="recommender",
        plugin_version="0.1.0",
        outcome="",
    )
    assert (version.artifact / "weights.txt").read_text() == "ndcg 0.3"
    assert (version.artifact / "trees" / "0.txt").read_text() == "leaf"
    assert time.time() - 60 < version.created <= time.time()


def test_mlflows_own_tools_see_the_run(
    data: DataDir, writer: RegistryWriter, client: MlflowClient
) -> None:
    from mlflow.models import Model

    version = writer.register(trained(data))
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"leaves": "31", "rate": "0.1"}
    assert run.data.metrics == {
        "ndcg_at_10": 0.3,
        "recall_at_10": 0.25,
        "baseline/popular/ndcg_at_10": 0.1,
        "baseline/popular/recall_at_10": 0.05,
        "champion/ndcg_at_10": 0.2,
        "training_seconds": 4.0,
    }
    assert run.data.tags["retaild.data_versions"] == (
        '{"silver.sale": 17, "gold.customer_snapshot": 3}'
    )
    assert run.data.tags["retaild.plugin_version"] == '"0.1.0"'
    assert {f.path for f in client.list_artifacts(version.run_id, "model")} == {
        "model/MLmodel", "model/signature.json", "model/trees", "model/weights.txt",
    }  # fmt: skip
    model = Model.load(str(version.artifact))
    assert [(c.name, str(c.type)) for c in model.signature.inputs] == [
        ("customer_id", "DataType.string"), ("now", "DataType.double"), ("basket", "Any"),
    ]  # fmt: skip
    assert model.signature.outputs.input_names() == ["score", "ids"]
    assert model.flavors["retaild"]["plugin"] == "recommender"


def test_the_served_artifact_is_no_second_copy(
    data: DataDir, writer: RegistryWriter, client: MlflowClient
) -> None:
    version = writer.register(trained(data))
    stored = next(data.mlartifacts.rglob("weights.txt"))
    assert stored.samefile(version.artifact / "weights.txt")


def test_the_reader_agrees_with_mlflows_client(
    data: DataDir, writer: RegistryWriter, client: MlflowClient
) -> None:
    for ndcg in (0.30, 0.31, 0.32):
        writer.register(trained(data, ndcg))
    writer.register(trained(data, trainer="price"))
    writer.promote("recommender", 2, "better")
    client.set_registered_model_alias("recommender", "shadow", "1")
    theirs = {int(v.version): v for v in client.search_model_versions("name = 'recommender'")}
    ours = {v.version: v for v in registry.versions(data, "recommender")}
    assert ours.keys() == theirs.keys() == {1, 2, 3}
    for number, version in ours.items():
        assert version.run_id == theirs[number].run_id
        assert version.created == theirs[number].creation_timestamp / 1000
        assert version.parameters == client.get_run(version.run_id).data.params
        full = client.get_model_version("recommender", str(number))
        assert set(version.aliases) == set(full.aliases)
    assert {v.version: v.aliases for v in ours.values()} == {
        1: ("shadow",), 2: ("champion",), 3: ("challenger",),
    }  # fmt: skip
    assert registry.trainers(data) == ["price", "recommender"]


def test_an_alias_moved_by_mlflows_client_is_followed(
    data: DataDir, writer: RegistryWriter, client: MlflowClient
) -> None:
    for _ in range(2):
        writer.register(trained(data))
    assert registry.champion(data, "recommender") is None
    for number in (1, 2, 1):
        client.set_registered_model_alias("recommender", "champion", str(number))
        champion = registry.champion(data, "recommender")
        theirs = client.get_model_version_by_alias("recommender", "champion")
        assert champion is not None
        assert champion.version == int(theirs.version) == number
        assert champion.is_champion
    client.delete_registered_model_alias("recommender", "champion")
    assert registry.champion(data, "recommender") is None


def test_a_version_registered_by_another_tool_has_its_runs_metrics(
    data: DataDir, client: MlflowClient
) -> None:
    run = client.create_run(client.create_experiment("elsewhere"))
    client.log_metric(run.info.run_id, "auc", 0.75)
    client.create_registered_model("theirs")
    client.create_model_version("theirs", "/somewhere/model", run.info.run_id)
    (version,) = registry.versions(data, "theirs")
    assert version.metrics == {"auc": 0.75}
    assert version.artifact == data.root / "models" / "theirs" / "1"


def test_a_version_that_mlflow_deleted_is_gone(
    data: DataDir, writer: RegistryWriter, client: MlflowClient
) -> None:
    writer.register(trained(data))
    writer.register(trained(data))
    client.delete_model_version("recommender", "1")
    assert [v.version for v in registry.versions(data, "recommender")] == [2]


def test_promotion_is_recorded_with_reason_and_metrics(
    data: DataDir, state: State, writer: RegistryWriter
) -> None:
    writer.register(trained(data, 0.31))
    promoted = writer.promote("recommender", 1, "beats popular")
    assert promoted.aliases == ("champion",)
    assert promoted.outcome == "beats popular"
    (event,) = state.model_events("recommender")
    assert (event["version"], event["action"], event["reason"], event["metrics"]["ndcg@10"]) == (
        1, "promoted", "beats popular", 0.31,
    )  # fmt: skip


def test_a_rejected_version_stays_the_challenger(
    data: DataDir, state: State, writer: RegistryWriter
) -> None:
    writer.register(trained(data))
    writer.promote("recommender", 1, "first")
    writer.register(trained(data, 0.2))
    rejected = writer.reject("recommender", 2, "worse")
    assert (rejected.aliases, rejected.outcome) == (("challenger",), "worse")
    champion = registry.champion(data, "recommender")
    assert champion is not None
    assert champion.version == 1
    assert [e["action"] for e in state.model_events("recommender")] == ["rejected", "promoted"]


def test_rolling_back_goes_through_earlier_champions_one_by_one(
    data: DataDir, state: State, writer: RegistryWriter
) -> None:
    for number in (1, 2, 3, 4):
        writer.register(trained(data))
        if number != 3:
            writer.promote("recommender", number, "better")
        else:
            writer.reject("recommender", number, "worse")
    assert writer.rollback("recommender", "complaints").version == 2
    assert writer.rollback("recommender", "still").version == 1
    with pytest.raises(NoEarlierChampionError, match="recommender"):
        writer.rollback("recommender", "and again")
    assert registry.champion(data, "recommender").version == 1  # type: ignore[union-attr]
    writer.promote("recommender", 4, "mended")
    assert writer.rollback("recommender", "no").version == 1
    newest = state.model_events("recommender")[0]
    assert (newest["action"], newest["version"]) == ("rolled_back", 1)
    assert newest["reason"] == "Back from version 4. no"


def test_rolling_back_from_an_alias_that_another_tool_set(
    data: DataDir, writer: RegistryWriter, client: MlflowClient
) -> None:
    for _ in range(3):
        writer.register(trained(data))
    writer.promote("recommender", 1, "first")
    writer.promote("recommender", 2, "better")
    client.set_registered_model_alias("recommender", "champion", "3")
    assert writer.rollback("recommender", "not ours").version == 2


def test_what_cannot_be_served_is_not_promoted(data: DataDir, writer: RegistryWriter) -> None:
    version = writer.register(trained(data))
    with pytest.raises(UnknownVersionError, match="no version 7"):
        writer.promote("recommender", 7, "")
    shutil.rmtree(version.artifact)
    with pytest.raises(MissingArtifactError):
        writer.promote("recommender", 1, "")
    assert registry.champion(data, "recommender") is None


def test_old_artifacts_go_but_never_a_champions(data: DataDir, writer: RegistryWriter) -> None:
    for number in range(1, 7):
        writer.register(trained(data))
        if number in (1, 2):
            writer.promote("recommender", number, "better")
    assert writer.prune("recommender", keep=2) == [4, 3]
    left = {v.version for v in registry.versions(data, "recommender") if v.artifact.is_dir()}
    assert left == {1, 2, 5, 6}
    assert len(list(data.mlartifacts.rglob("weights.txt"))) == 4
    assert len(registry.versions(data, "recommender")) == 6
    assert writer.prune("recommender", keep=2) == []


def test_there_may_be_no_registry_yet(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    assert registry.champion(data, "recommender") is None
    assert registry.versions(data, "recommender") == []
    assert registry.trainers(data) == []
    sqlite3.connect(data.mlflow_db).close()
    data.mlflow_db.touch()  # MLflow is about to fill it
    assert registry.champion(data, "recommender") is None
    with pytest.raises(UnknownVersionError):
        registry.version(data, "recommender", 1)


def test_a_locked_registry_says_so_and_a_broken_one_too(
    data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BUSY_SECONDS", 0.05)
    with sqlite3.connect(data.mlflow_db, isolation_level=None) as writing:
        writing.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RegistryBusyError):
            registry.champion(data, "recommender")
        writing.execute("ROLLBACK")
    writing.close()
    assert registry.champion(data, "recommender") is None
    data.mlflow_db.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(UnreadableRegistryError, match=r"mlflow\.db"):
        registry.champion(data, "recommender")


def test_a_writer_killed_in_the_middle_does_not_keep_readers_out(
    data: DataDir, writer: RegistryWriter
) -> None:
    writer.register(trained(data))
    writer.promote("recommender", 1, "first")
    process = multiprocessing.get_context("spawn").Process(
        target=_die_in_a_transaction, args=(data.mlflow_db,)
    )
    process.start()
    process.join()
    assert data.mlflow_db.with_name("mlflow.db-journal").stat().st_size > 0
    champion = registry.champion(data, "recommender")
    assert champion is not None
    assert champion.parameters == {"leaves": "31", "rate": "0.1"}


def _die_in_a_transaction(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")  # so that changes reach the file uncommitted
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM registered_model_aliases")
    connection.execute("UPDATE params SET value = 'torn'")
    run = connection.execute("SELECT run_uuid FROM runs").fetchone()[0]
    rows = [(f"torn{n}", "x" * 5000, run) for n in range(200)]
    connection.executemany("INSERT INTO params VALUES (?, ?, ?)", rows)
    os._exit(1)


def test_reading_imports_no_mlflow_and_takes_a_moment(
    data: DataDir, writer: RegistryWriter
) -> None:
    writer.register(trained(data))
    writer.promote("recommender", 1, "first")
    code = (
        "import sys, pathlib; from retaild.runtime import registry;"
        "from retaild.config.paths import DataDir;"
        f"assert registry.champion(DataDir(pathlib.Path({str(data.root)!r})), 'recommender');"
        "print(sorted(m for m in ('mlflow', 'sqlalchemy', 'pandas', 'numpy', 'pyarrow', "
        "'retaild.runtime.state') if m in sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "key"),
    [("recall@10", "recall_at_10"), ("ms p99", "ms p99"), ("a%b", "a_b"), ("x/y:z", "x/y:z")],
)
def test_metric_names_become_what_mlflow_allows(name: str, key: str) -> None:
    assert metric_key(name) == key
