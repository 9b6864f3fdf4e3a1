"""Ranking metrics at a cutoff. Training and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

CUTOFF = 10
#: Keys of `summary`, without their prefix.
NAMES = (f"ndcg@{CUTOFF}", f"recall@{CUTOFF}", f"hit_rate@{CUTOFF}", f"mrr@{CUTOFF}",
         f"precision@{CUTOFF}", f"coverage@{CUTOFF}")  # fmt: skip
Slate = Sequence[int] | NDArray[np.int64]


def summary(
    slates: Iterable[Slate], truths: Iterable[NDArray[np.int32]], products: int, prefix: str = ""
) -> dict[str, float]:
    """Means over all cases with something to find.

    Gain 1 per true product, discount 1 / log2(rank + 1); the ideal holds min(CUTOFF, truth) of them
    (Järvelin & Kekäläinen 2002). Coverage: share of all `products` shown to anyone.
    """
    discount = 1.0 / np.log2(np.arange(2, CUTOFF + 2))
    ideal = np.cumsum(discount)
    rows: list[tuple[float, ...]] = []
    shown: set[int] = set()
    wanted = np.zeros(products, np.bool_)
    for slate, truth in zip(slates, truths, strict=True):
        if not len(truth):
            continue
        top = np.asarray(slate, np.int64)[:CUTOFF]
        shown.update(top.tolist())
        wanted[truth] = True
        hits = np.flatnonzero(wanted[top])
        wanted[truth] = False
        rows.append((
            float(discount[hits].sum() / ideal[min(CUTOFF, len(truth)) - 1]),
            len(hits) / len(truth),
            float(len(hits) > 0),
            1.0 / (hits[0] + 1) if len(hits) else 0.0,
            len(hits) / CUTOFF,
        ))  # fmt: skip
    means = np.mean(rows, axis=0) if rows else np.zeros(len(NAMES) - 1)
    values = [*means.tolist(), len(shown) / max(1, products)]
    return {f"{prefix}{name}": round(float(v), 6) for name, v in zip(NAMES, values, strict=True)}
