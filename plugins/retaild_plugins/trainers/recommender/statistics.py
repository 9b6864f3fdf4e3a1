"""What was learned of products and customers up to one moment: plain arrays, kept as .npz."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

#: From the feature store's view `product` (retaild.pipeline.feature_views says what each means).
STORE_COLUMNS = (
    "customers_28d", "customers_91d", "repeat_share", "avg_price_28d", "price_ratio", "trend",
    "days_since_first", "days_since_last",
)  # fmt: skip
#: Columns of `Statistics.product`, one row per product.
PRODUCT_COLUMNS = (
    "popularity",  # log(1 + receipts), each counted half after the popularity half-life
    "popularity_7d",  # log(1 + receipts of the last 7 days)
    "popularity_91d",
    "gap_days",  # typical time until the same customer buys it again
    *STORE_COLUMNS,
)
#: Columns that grow by a day every day after `Statistics.until`.
AGEING = (PRODUCT_COLUMNS.index("days_since_first"), PRODUCT_COLUMNS.index("days_since_last"))
#: Columns of `Statistics.rates`: of the customers that bought anything in the last days, the share
#: that bought this product, among those that knew it before and among those that did not.
RATE_COLUMNS = ("again_28d", "first_28d", "again_7d", "first_7d")
GAP_DAYS = PRODUCT_COLUMNS.index("gap_days")
POPULARITY = PRODUCT_COLUMNS.index("popularity")


@dataclass(frozen=True, slots=True)
class Related:
    """For each row, up to K related things: `index` (rows, K), `weight` (rows, K), 0 = none."""

    index: Ints
    weight: Floats

    def gather(self, rows: NDArray[np.int64], weights: Floats, size: int) -> NDArray[np.float64]:
        """Sum over rows of row weight x relation, per related thing; array of `size`."""
        values = self.weight[rows]
        values *= weights[:, None]
        found: NDArray[np.float64] = np.bincount(  # type: ignore[assignment]
            self.index[rows].ravel(), values.ravel(), size
        )
        return found

    def moved(self, rows: NDArray[np.int64], targets: NDArray[np.int64], size: int) -> Related:
        """The same relations under new numbers: new row i was `rows[i]` (-1: a new, empty row);
        related thing j becomes `targets[j]` (-1: it is gone)."""
        old = np.maximum(rows, 0)
        index = targets[self.index[old]]
        weight = np.where((index >= 0) & (rows >= 0)[:, None], self.weight[old], 0)
        return Related(np.maximum(index, 0).astype(np.int32), weight.astype(np.float32))


def no_relations(rows: int) -> Related:
    return Related(np.zeros((rows, 1), np.int32), np.zeros((rows, 1), np.float32))


@dataclass(frozen=True, slots=True)
class Statistics:
    """Everything the model knows besides the ranker, learned from sales before `until`.

    Products are numbered as in `product_ids`, customers as in `customer_ids` (sorted).
    """

    until: float
    product_ids: list[str]
    names: list[str]
    customer_ids: list[str]
    countries: list[str]
    #: Per customer, -1 where unknown or where the country has too few receipts of its own.
    country: Ints
    #: (products, PRODUCT_COLUMNS)
    product: Floats
    #: (products, RATE_COLUMNS)
    rates: Floats
    #: General popularity, 1 for the best seller; ranks what no other source knows.
    appeal: Floats
    #: Days that a product rests after being bought: hardly anyone buys it again sooner.
    rest_days: Floats
    #: (countries, products): decayed receipts relative to the country's best seller.
    local: Floats
    #: Products on the same receipts; of the same customers; by the latent model; on the next one.
    together: Related
    customers: Related
    latent: Related
    following: Related
    #: Product -> its strongest customers; customer -> their strongest products.
    buyers: Related
    shelves: Related

    @property
    def size(self) -> int:
        return len(self.product_ids)

    def save(self, path: Path) -> None:
        """Write `path`.npz (arrays) and `path`.json (ids and names)."""
        texts = {f.name: getattr(self, f.name) for f in fields(self)}
        arrays: dict[str, Any] = {}
        for name, value in list(texts.items()):
            if isinstance(value, np.ndarray):
                arrays[name] = texts.pop(name)
            elif isinstance(value, Related):
                arrays[f"{name}.index"], arrays[f"{name}.weight"] = value.index, value.weight
                del texts[name]
        np.savez(path.with_suffix(".npz"), **arrays)
        path.with_suffix(".json").write_text(json.dumps(texts, ensure_ascii=False), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Statistics:
        found: dict[str, Any] = json.loads(path.with_suffix(".json").read_text("utf-8"))
        with np.load(path.with_suffix(".npz")) as arrays:
            for name in arrays.files:
                field, _, part = name.partition(".")
                if not part:
                    found[field] = arrays[name]
                elif part == "index":
                    found[field] = Related(arrays[name], arrays[f"{field}.weight"])
        return cls(**found)

    def renumbered(self, product_ids: list[str]) -> Statistics:
        """The same knowledge with products numbered as in `product_ids`; unknown ones are empty."""
        known = {product_id: number for number, product_id in enumerate(self.product_ids)}
        rows = np.array([known.get(p, -1) for p in product_ids], np.int64)
        targets = np.full(self.size, -1, np.int64)
        targets[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        size, missing, old = len(product_ids), rows < 0, np.maximum(rows, 0)
        people = np.arange(len(self.customer_ids))
        same = people if len(people) else np.zeros(1, np.int64)
        moved = {
            name: getattr(self, name).moved(rows, targets, size)
            for name in ("together", "customers", "latent", "following")
        }
        return replace(
            self,
            product_ids=product_ids,
            names=[self.names[r] if r >= 0 else p for r, p in zip(rows, product_ids, strict=True)],
            product=np.where(missing[:, None], np.float32(np.nan), self.product[old]),
            appeal=np.where(missing, np.float32(0), self.appeal[old]),
            rates=np.where(missing[:, None], np.float32(np.nan), self.rates[old]),
            rest_days=np.where(missing, np.float32(0), self.rest_days[old]),
            local=np.where(missing, np.float32(0), self.local[:, old]),
            buyers=self.buyers.moved(rows, same, len(same)),
            shelves=self.shelves.moved(same, targets, size),
            **moved,
        )
