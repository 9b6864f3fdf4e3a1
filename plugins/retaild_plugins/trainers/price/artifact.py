"""The price model on disk: one .npz of arrays and one .json of names. Numpy and stdlib only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retaild.api.errors import RetaildError

Vector = NDArray[np.float64]

FORMAT = 1
_ARRAYS = "demand.npz"
_NAMES = "demand.json"


class ArtifactError(RetaildError):
    key = "price.artifact"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} is no price model that this version can read: {why}.",
            hint="Train it again with `retaildctl job run train --argument trainer=price`.",
        )


@dataclass(frozen=True, slots=True)
class DemandTable:
    """Demand of every product that was learned; arrays have one entry per product.

    `base_units` a week at `base_price`; prices seen lie within `price_min`..`price_max`.
    `elasticity` with 90 % interval `low`..`high` and standard deviation `deviation`.
    `tested_elasticity` was learned without the weeks from `tested_from` (ISO date) on.
    """

    product_ids: list[str]
    categories: list[str]
    category: NDArray[np.int64]
    category_elasticity: Vector
    overall_elasticity: float
    elasticity: Vector
    deviation: Vector
    low: Vector
    high: Vector
    base_units: Vector
    base_price: Vector
    price_min: Vector
    price_max: Vector
    weeks: NDArray[np.int64]
    prices: NDArray[np.int64]
    tested_elasticity: Vector
    tested_category: Vector
    tested_from: str
    trained_until: str


_VECTORS = (
    "category",
    "category_elasticity",
    "elasticity",
    "deviation",
    "low",
    "high",
    "base_units",
    "base_price",
    "price_min",
    "price_max",
    "weeks",
    "prices",
    "tested_elasticity",
    "tested_category",
)


def save(table: DemandTable, folder: Path) -> Path:
    """Write the artifact into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    fields: dict[str, Any] = {name: getattr(table, name) for name in _VECTORS}
    np.savez(folder / _ARRAYS, **fields)
    names = {key: value for key, value in asdict(table).items() if key not in _VECTORS}
    (folder / _NAMES).write_text(json.dumps({"format": FORMAT, **names}), "utf-8")
    return folder


def load(folder: Path) -> DemandTable:
    """Read it back. Raises ArtifactError."""
    try:
        names = json.loads((folder / _NAMES).read_text("utf-8"))
        if names.pop("format") != FORMAT:
            raise ArtifactError(folder, "it has another format")
        with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
            return DemandTable(**names, **{name: arrays[name] for name in _VECTORS})
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(folder, str(error)) from error
