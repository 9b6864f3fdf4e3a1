"""64-bit keys of texts, the same in Python, numpy and DuckDB (`md5_number_lower`).

Membership of an event id among all events ever taken is asked on the hot path; eight bytes an id
keep that question in memory. Two of a hundred million ids share a key with probability 3e-4.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MASK = (1 << 64) - 1
#: Odd multipliers (from SplitMix64 and xxHash64) that keep a tuple's places apart.
_CUSTOMER = 0x9E3779B97F4A7C15
_PRODUCT = 0xC2B2AE3D27D4EB4F


def key(text: str) -> int:
    """What DuckDB's `md5_number_lower(text)` gives."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little")


#: For ids that come again: customers, products, the receipts of the moment.
known_key = lru_cache(maxsize=100_000)(key)


def receipt_key(customer: int, receipt: int) -> int:
    """Key of (customer, receipt) from the keys of both."""
    return (customer * _CUSTOMER + receipt) & _MASK


def line_key(customer: int, receipt: int, product: int) -> int:
    """Key of (customer, receipt, product) from the keys of the three."""
    return (customer * _CUSTOMER + receipt + product * _PRODUCT) & _MASK


def receipt_keys(customer: NDArray[np.uint64], receipt: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`receipt_key` of many; wraps at 64 bits as it does."""
    return customer * np.uint64(_CUSTOMER) + receipt


def line_keys(
    customer: NDArray[np.uint64], receipt: NDArray[np.uint64], product: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """`line_key` of many."""
    return receipt_keys(customer, receipt) + product * np.uint64(_PRODUCT)


class KeySet:
    """Keys of a snapshot (sorted, usually memory-mapped) and those added since."""

    __slots__ = ("_base", "_live", "_size")

    def __init__(self, base: NDArray[np.uint64]) -> None:
        self._base = base
        self._size = len(base)
        self._live: set[int] = set()

    def __contains__(self, value: int) -> bool:
        return value in self._live or self._in_base(value)

    def __len__(self) -> int:
        return len(self._base) + len(self._live)

    def add(self, value: int) -> bool:
        """Add it; False if it was there."""
        live = self._live
        if value in live or (self._size and self._in_base(value)):
            return False
        live.add(value)
        return True

    def let_go(self) -> bool:
        """Forget some hundred of the keys added; False if there are none."""
        live = self._live
        for _ in range(min(len(live), 500)):
            live.pop()
        return bool(live)

    def _in_base(self, value: int) -> bool:
        if not self._size:
            return False
        place = int(self._base.searchsorted(np.uint64(value)))
        return place < self._size and int(self._base[place]) == value
