"""Kind `feature backend`: registers features, joins them point-in-time, materialises them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from retaild.api.base import Spec

if TYPE_CHECKING:
    import pyarrow as pa

    from retaild.pipeline.features import FeatureView


class FeatureBackend(Protocol):
    def open(self) -> None: ...

    def apply(self, views: Sequence[FeatureView]) -> None:
        """Register the definitions; removes those that are gone."""

    def historical(self, entities: pa.Table, features: Sequence[str]) -> pa.Table:
        """Join features as they were known at each row's `event_timestamp` (UTC), never later.

        `entities` has the entity columns and `event_timestamp`; `features` are "view:column". The
        result has a row per input row, in input order: its columns, then one "view__column" per
        feature, null where nothing was known or the view's TTL has passed.
        """

    def materialize(self, until: datetime) -> dict[str, int]:
        """Make the newest values as of `until` servable; rows per view."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureBackendSpec(Spec):
    """Registers a feature backend. `build` returns a FeatureBackend."""
