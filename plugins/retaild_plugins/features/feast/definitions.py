"""Our feature views as Feast's objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from retaild.pipeline.features import FeatureView

#: The feature service that holds all features: what a model may ask for.
SERVICE = "retaild"


def feast_objects(views: Sequence[FeatureView], path: Callable[[FeatureView], Path]) -> list[Any]:
    """Entities, views with their file sources, and the one service. Feast must be imported."""
    from feast import Entity, FeatureService, ValueType

    entities = {
        view.entity: Entity(name=view.entity, join_keys=[view.entity], value_type=ValueType.STRING)
        for view in views
    }
    defined = [_view(view, entities[view.entity], path(view)) for view in views]
    service = FeatureService(name=SERVICE, features=defined) if defined else None
    return [*entities.values(), *defined, *([service] if service else [])]


def _view(view: FeatureView, entity: Any, path: Path) -> Any:
    from feast import FeatureView as FeastView
    from feast import Field, FileSource
    from feast.data_format import ParquetFormat
    from feast.types import Float64, Int64, String

    types: dict[str, Any] = {"int64": Int64, "float64": Float64, "string": String}
    source = FileSource(
        name=f"{view.name}_source",
        path=str(path),
        file_format=ParquetFormat(),
        timestamp_field=view.event_timestamp,
        description=f"Copy of {view.table}.",
    )
    return FeastView(
        name=view.name,
        entities=[entity],
        ttl=view.ttl,
        schema=[
            Field(name=view.entity, dtype=String),
            *(Field(name=f.name, dtype=types[f.type], description=f.description)
              for f in view.features),
        ],
        source=source,
        online=True,
    )  # fmt: skip


def gone(store: Any, kept: Sequence[Any]) -> list[Any]:
    """Registered objects that are no longer defined, dependants first."""
    names = {(type(item).__name__, item.name) for item in kept}
    sources = {item.batch_source.name for item in kept if hasattr(item, "batch_source")}
    registered = [
        *store.list_feature_services(),
        *store.list_feature_views(),
        *(entity for entity in store.list_entities() if entity.name != "__dummy"),
    ]
    lost = [item for item in registered if (type(item).__name__, item.name) not in names]
    return lost + [s for s in store.list_data_sources() if s.name not in sources]
