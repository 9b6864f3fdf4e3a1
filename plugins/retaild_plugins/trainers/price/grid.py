"""Every price that may be written on a label: the exact set that the optimum is taken from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retaild_plugins.trainers.price.config import EndingBand
from retaild_plugins.trainers.price.money import Currency

Grid = NDArray[np.int64]

#: Minor units up to which allowed prices are kept in memory: 500.00.
_KEPT = 50_000


class PriceGrid:
    """Prices in minor units with allowed endings, by band."""

    def __init__(self, bands: Sequence[EndingBand], currency: Currency) -> None:
        starts = [currency.at_least(band.from_price) for band in bands]
        ends: list[int | None] = [*starts[1:], None][: len(starts)]
        self._bands = [
            (start, end, _steps(band.endings))
            for start, end, band in zip(starts, ends, bands, strict=True)
        ]
        #: Allowed prices up to _KEPT, made when first asked for; never changed after.
        self._kept: Grid | None = None

    def between(self, low: int, high: int) -> Grid:
        """Allowed prices in low..high (both included), ascending; all whole ones without bands."""
        low = max(low, 1)
        if high < low:
            return np.empty(0, np.int64)
        if not self._bands:
            return np.arange(low, high + 1)
        if high > _KEPT:
            return self._made(low, high)
        if self._kept is None:
            self._kept = self._made(1, _KEPT)
        begin, end = np.searchsorted(self._kept, (low, high + 1))
        return self._kept[begin:end]

    def _made(self, low: int, high: int) -> Grid:
        parts = []
        # Prices below the first band's start are bound by no ending.
        first = self._bands[0][0]
        if low < first:
            parts.append(np.arange(low, min(high + 1, first)))
        for start, end, steps in self._bands:
            begin, stop = max(low, start), high if end is None else min(high, end - 1)
            for modulus, rest in steps:
                parts.append(np.arange(begin + (rest - begin) % modulus, stop + 1, modulus))
        return np.unique(np.concatenate(parts))

    def holds(self, price: int) -> bool:
        return len(self.between(price, price)) == 1


def _steps(endings: Sequence[str]) -> list[tuple[int, int]]:
    """'.95' -> prices that leave 95 when divided by 100."""
    digits = [ending.replace(".", "") for ending in endings]
    return sorted({(10 ** len(text), int(text)) for text in digits})
