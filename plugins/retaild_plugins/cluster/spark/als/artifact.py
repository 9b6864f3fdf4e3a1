"""The artifact on disk: model.json, and factors as of two moments.

`serving` (from all sales) answers customers, `evaluated` (from before the holdout) is what the
metrics were measured with. Each folder: items.npy, users.npy, appeal.npy and ids.json.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retaild.api import RetaildError
from retaild_plugins.cluster.spark.als.blend import Blend
from retaild_plugins.cluster.spark.als.factors import Factors

FORMAT = 1


class ArtifactError(RetaildError):
    """The artifact is not one of this plugin's, or of another format."""

    key = "spark.artifact"

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(
            f"The model in {folder} cannot be used: {what}.",
            hint="Train a new version: `retaildctl job run train`.",
        )


@dataclass(slots=True)
class Learned:
    """What ALS learned from the sales before `until` (seconds UTC); a row of `items` a product.

    `appeal` is each product's share of the receipts of the last 28 days, at most 1.
    """

    until: float
    product_ids: list[str]
    names: list[str]
    customer_ids: list[str]
    items: NDArray[np.float32]
    users: NDArray[np.float32]
    appeal: NDArray[np.float32]

    def save(self, folder: Path) -> None:
        folder.mkdir()
        for name in ("items", "users", "appeal"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        ids = {"products": self.product_ids, "names": self.names, "customers": self.customer_ids}
        (folder / "ids.json").write_text(json.dumps({"until": self.until, **ids}), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Learned:
        try:
            ids = json.loads((folder / "ids.json").read_text("utf-8"))
            items, users, appeal = (
                np.load(folder / f"{name}.npy") for name in ("items", "users", "appeal")
            )
        except (OSError, ValueError) as error:
            raise ArtifactError(folder, f"it is unreadable ({error})") from error
        return cls(
            ids["until"], ids["products"], ids["names"], ids["customers"], items, users, appeal
        )

    def renumbered(self, product_ids: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Items and appeal in another numbering; zeros for products that were not known."""
        rows = {product: row for row, product in enumerate(self.product_ids)}
        found = np.array([rows.get(product, -1) for product in product_ids], np.int64)
        items = np.zeros((len(product_ids), self.items.shape[1]))
        appeal = np.zeros(len(product_ids))
        known = found >= 0
        items[known], appeal[known] = self.items[found[known]], self.appeal[found[known]]
        return items, appeal


@dataclass(frozen=True, slots=True)
class Artifact:
    folder: Path
    alpha: float
    regularisation: float
    blend: Blend

    def write(self, serving: Learned, evaluated: Learned) -> None:
        serving.save(self.folder / "serving")
        evaluated.save(self.folder / "evaluated")
        about = {
            "format": FORMAT, "alpha": self.alpha, "regularisation": self.regularisation,
            "blend": asdict(self.blend),
        }  # fmt: skip
        (self.folder / "model.json").write_text(json.dumps(about, indent=1), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Artifact:
        try:
            about = json.loads((folder / "model.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(folder, f"model.json is unreadable ({error})") from error
        if about.get("format") != FORMAT:
            raise ArtifactError(folder, "it was written by another version of this plugin")
        return cls(folder, about["alpha"], about["regularisation"], Blend(**about["blend"]))

    def learned(self, name: str) -> Learned:
        """`serving` or `evaluated`."""
        return Learned.read(self.folder / name)

    def factors(self, items: NDArray[np.float64]) -> Factors:
        return Factors(items, self.alpha, self.regularisation)
