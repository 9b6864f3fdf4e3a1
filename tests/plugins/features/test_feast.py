"""The Feast backend: conformance, and what is Feast's own."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from retaild_plugins.features.feast import plugin

from retaild.api import BuildContext, FeatureBackend, FeatureBackendSpec, Lake
from retaild.testing.features import (
    CUSTOMER,
    CUSTOMER_ROWS,
    MONDAY,
    NEXT_MONDAY,
    PRODUCT,
    TTL,
    BackendFactory,
    FeatureBackendConformance,
    customer_rows,
)

# ibis still calls a method of DuckDB that DuckDB has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")


def _spec() -> FeatureBackendSpec:
    (spec,) = plugin.retaild_feature_backends()
    return spec


def _make(lake: Lake, root: Path) -> FeatureBackend:
    spec = _spec()
    context = BuildContext(instance="features", state_dir=root, lake_dir=lake.root, threads=2)
    backend: FeatureBackend = spec.build(spec.config(), context)
    return backend


class TestFeast(FeatureBackendConformance):
    @pytest.fixture
    def make(self) -> BackendFactory:
        return _make


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.overwrite(CUSTOMER.table, customer_rows(CUSTOMER_ROWS))
    return lake


@pytest.fixture
def backend(lake: Lake, tmp_path: Path) -> Iterator[FeatureBackend]:
    backend = _make(lake, tmp_path / "features")
    backend.open()
    yield backend
    backend.close()


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _online(root: Path, names: list[str], customers: list[str]) -> dict[str, list[object]]:
    """Read as any Feast client would, from the files alone."""
    import feast

    store = feast.FeatureStore(
        config=feast.RepoConfig(
            project="retaild",
            provider="local",
            registry={"registry_type": "sql", "path": f"sqlite:///{root}/registry.db"},
            online_store={"type": "sqlite", "path": str(root / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    rows = [{"customer_id": customer} for customer in customers]
    values: dict[str, list[object]] = store.get_online_features(
        features=[f"customer:{name}" for name in names], entity_rows=rows
    ).to_dict()
    store.registry.write_engine.dispose()
    store.registry.read_engine.dispose()
    return values


def test_other_feast_clients_read_what_was_materialized(
    backend: FeatureBackend, tmp_path: Path
) -> None:
    backend.apply([CUSTOMER])
    backend.materialize(NEXT_MONDAY)
    found = _online(tmp_path / "features", ["receipts", "gap", "segment"], ["ann", "bob", "carl"])
    assert found["receipts"] == [3, 7, None]
    assert found["gap"] == [2.5, 4.0, None]
    assert found["segment"] == ["regular", None, None]


@pytest.mark.usefixtures("new_york")
def test_the_time_zone_of_the_box_does_not_matter(backend: FeatureBackend, tmp_path: Path) -> None:
    backend.apply([CUSTOMER])
    # An hour before ann's second row: read as New York's time it would be four hours after it.
    assert backend.materialize(NEXT_MONDAY - timedelta(hours=1)) == {"customer": 2}
    assert _online(tmp_path / "features", ["receipts"], ["ann"])["receipts"] == [1]
    # An hour after bob's row has expired.
    assert backend.materialize(MONDAY + TTL + timedelta(hours=1)) == {"customer": 1}


def test_views_that_are_gone_leave_feasts_registry(backend: FeatureBackend, tmp_path: Path) -> None:
    import feast

    backend.apply([CUSTOMER, PRODUCT])
    backend.apply([PRODUCT])
    registry = {"registry_type": "sql", "path": f"sqlite:///{tmp_path}/features/registry.db"}
    config = feast.RepoConfig(
        project="retaild", provider="local", registry=registry,
        entity_key_serialization_version=3,
    )  # fmt: skip
    store = feast.FeatureStore(config=config)
    assert [view.name for view in store.list_feature_views()] == ["product"]
    assert [source.name for source in store.list_data_sources()] == ["product_source"]
    service = store.get_feature_service("retaild")
    assert [p.name for p in service.feature_view_projections] == ["product"]
    store.registry.write_engine.dispose()
    store.registry.read_engine.dispose()


def test_listing_the_plugin_imports_no_library() -> None:
    code = (
        "import sys; from retaild_plugins.features.feast import plugin;"
        "plugin.retaild_feature_backends();"
        "print([m for m in ('feast', 'pyarrow', 'pandas', 'duckdb') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert ran.stdout.strip() == "[]"


def test_importing_feast_changes_nothing_for_others(tmp_path: Path) -> None:
    """Left alone it makes a directory in /tmp, which stays if the job is killed."""
    code = (
        "import os, typeguard, warnings;"
        "before = typeguard.typechecked, list(warnings.filters);"
        "from retaild_plugins.features.feast.library import import_feast; import_feast();"
        "print(before == (typeguard.typechecked, list(warnings.filters)));"
        "print([n for n in os.environ if n.startswith('PROMETHEUS')], flush=True);"
        "os._exit(0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join(sys.path), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert ran.stdout.split("\n") == ["True", "[]", ""]
    assert list(tmp_path.iterdir()) == []


def test_the_sample_is_a_valid_configuration() -> None:
    folder = Path(plugin.__file__).parent
    text = (folder / "sample.toml").read_text("utf-8")
    sample = tomllib.loads(text)["features"]
    assert sample.pop("plugin") == _spec().name
    _spec().config.model_validate(sample)
    assert text in (folder / "README.md").read_text("utf-8")
