"""The feature backend on Feast."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from retaild.api import BuildContext, Lake
from retaild.api.broken_files import set_aside_if_broken
from retaild.pipeline.features import FeatureView
from retaild_plugins.features.feast.config import FeastConfig
from retaild_plugins.features.feast.definitions import feast_objects, gone
from retaild_plugins.features.feast.errors import NotAppliedError, UnknownFeatureError
from retaild_plugins.features.feast.export import TYPES, Export
from retaild_plugins.features.feast.library import import_feast
from retaild_plugins.features.feast.online import online_store, told
from retaild_plugins.features.feast.pairs import distinct_pairs

_log = logging.getLogger(__name__)
_ROW = "_row"
_REGISTRY, _ONLINE = "registry.db", "online.db"


class FeastBackend:
    """Keeps registry, Parquet copies and, unless Redis has it, online store in its state directory.

    Not thread-safe. `historical` and `materialize` see the gold tables as they are when called.
    """

    def __init__(self, config: FeastConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        self._threads = context.threads
        self._root = context.state_dir
        self._export = Export(Lake(context.lake_dir), context.state_dir / "offline")
        self._views: dict[str, FeatureView] = {}
        self._store: Any = None
        self._engine: Any = None

    def open(self) -> None:
        """Imports Feast: some seconds, the first time in a process."""
        online = online_store(self._config, self._context, self._root / _ONLINE)
        feast = import_feast(online["type"])
        import ibis

        self._root.mkdir(parents=True, exist_ok=True)
        for name in (_REGISTRY, _ONLINE):
            set_aside_if_broken(self._root / name, "The gold tables have all that was in it.")
        # Feast joins through ibis' default connection. It computes in UTC, whatever the box does.
        self._engine = ibis.duckdb.connect(
            threads=self._threads,
            memory_limit=f"{self._config.memory_mib}MiB",
            temp_directory=str(self._root / "tmp"),
            autoinstall_known_extensions=False,
        )
        ibis.set_backend(self._engine)
        self._store = feast.FeatureStore(
            config=feast.RepoConfig(
                project=self._config.project,
                provider="local",
                registry={"registry_type": "sql", "path": f"sqlite:///{self._root / _REGISTRY}"},
                offline_store={"type": "duckdb"},
                online_store=online,
                entity_key_serialization_version=3,
            )
        )

    def apply(self, views: Sequence[FeatureView]) -> None:
        store = self._opened()
        for view in views:
            self._export.refresh(view)  # Feast looks at the file when a view is registered
        objects = feast_objects(views, self._export.path)
        lost = gone(store, objects)
        with _quiet(), told(self._config):
            store.apply(objects, objects_to_delete=lost, partial=not lost)
        self._views = {view.name: view for view in views}

    def historical(self, entities: pa.Table, features: Sequence[str]) -> pa.Table:
        """The columns of `entities`, then one "view__column" per feature in the order asked for.

        Feast joins only the different (entity, moment) pairs: the candidates of one customer at
        one moment share their customer's features, so there are far fewer pairs than rows.
        """
        store = self._opened()
        found: dict[str, Any] = {}
        for view, names in self._by_view(features).items():
            self._export.refresh(view)
            pairs, rows = distinct_pairs(entities, view.entity)
            values = _join(store, view, names, pairs)
            for name in names:
                found[f"{view.name}:{name}"] = values[name].combine_chunks().take(rows)
        result = entities
        for reference in features:
            result = result.append_column(reference.replace(":", "__"), found[reference])
        return result

    def materialize(self, until: datetime) -> dict[str, int]:
        store, moment = self._opened(), until.astimezone(UTC)
        if not self._views:
            raise NotAppliedError
        rows = {}
        for view in self._views.values():
            self._export.refresh(view)
            start = moment - view.ttl
            with _quiet(), told(self._config):
                store.materialize(start, moment, feature_views=[view.name])
            rows[view.name] = self._count(view, start, moment)
        return rows

    def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.registry.write_engine.dispose()
            store.registry.read_engine.dispose()
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.disconnect()

    def _opened(self) -> Any:
        if self._store is None:
            raise RuntimeError("open() the backend first")
        return self._store

    def _by_view(self, references: Sequence[str]) -> dict[FeatureView, list[str]]:
        if not self._views:
            raise NotAppliedError
        known = {r: view for view in self._views.values() for r in view.references}
        wanted: dict[FeatureView, list[str]] = {}
        for reference in dict.fromkeys(references):
            if reference not in known:
                raise UnknownFeatureError(reference, list(known))
            wanted.setdefault(known[reference], []).append(reference.partition(":")[2])
        return wanted

    def _count(self, view: FeatureView, start: datetime, end: datetime) -> int:
        """Entities with a row in [start, end]: what was made servable."""
        moment = ds.field(view.event_timestamp)
        within = (moment >= pa.scalar(start)) & (moment <= pa.scalar(end))
        rows = ds.dataset(self._export.path(view)).to_table(columns=[view.entity], filter=within)
        return int(pc.count_distinct(rows[view.entity]).as_py())


def _join(store: Any, view: FeatureView, names: list[str], pairs: pa.Table) -> pa.Table:
    """The view's columns for each pair, in their order."""
    types = {feature.name: TYPES[feature.type] for feature in view.features}
    schema = pa.schema([(name, types[name]) for name in names])
    if not len(pairs):
        return schema.empty_table()
    numbered = pairs.append_column(_ROW, pa.array(range(len(pairs)), pa.int64()))
    with _quiet():
        job = store.get_historical_features(
            entity_df=numbered.to_pandas(), features=[f"{view.name}:{name}" for name in names]
        )
        joined = job.to_arrow()
    return joined.sort_by(_ROW).select(names).cast(schema)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Feast prints coloured progress; in a log it is noise."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    finally:
        if said.getvalue():
            _log.debug("feast: %s", " ".join(said.getvalue().split()))
