"""Features, defined once; backends turn them into their own objects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

FeatureType = Literal["int64", "float64", "string"]


@dataclass(frozen=True, slots=True)
class Feature:
    name: str
    type: FeatureType
    description: str


@dataclass(frozen=True, slots=True)
class FeatureView:
    """Features of one entity, read from a lake table with a row per entity and moment.

    A row's values hold from `event_timestamp` (UTC) on and use nothing that happened at or after
    it; `ttl` says how long they may be used. `entity` names the key column, which holds strings.
    """

    name: str
    entity: str
    table: str
    event_timestamp: str
    ttl: timedelta
    features: tuple[Feature, ...]

    @property
    def references(self) -> tuple[str, ...]:
        """All its features as `historical` takes them: "view:column"."""
        return tuple(f"{self.name}:{feature.name}" for feature in self.features)
