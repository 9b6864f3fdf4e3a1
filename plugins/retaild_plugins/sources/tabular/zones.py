"""From a shop's clock to UTC.

Clocks that go back show an hour twice: a time in it is taken as the first (summer time). Clocks
that go forward skip an hour: a time in it is read as if they had not been set yet, so it comes out
an hour later. Both are what Python's `fold=0` means (PEP 495).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

_DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


class Zone:
    """Offsets of one IANA zone, looked up per day and kept."""

    def __init__(self, name: str) -> None:
        self._zone = ZoneInfo(name)
        #: Day since 1970 -> offset in microseconds; None: it changes during the day.
        self._days: dict[int, int | None] = {}

    def to_utc(self, local: NDArray[np.int64]) -> NDArray[np.int64]:
        """Microseconds since 1970 on the shop's clock -> microseconds since 1970 in UTC."""
        if local.size == 0:
            return local
        days = local // _DAY
        first = int(days.min())
        span = int(days.max()) - first + 1
        if span > 4 * len(days) + 1000:
            return self._sparse(local, days)
        seen = np.flatnonzero(np.bincount(days - first, minlength=span)) + first
        table = np.zeros(span, np.int64)
        changing = np.zeros(span, bool)
        for day in seen.tolist():
            offset = self._offset_of_day(day)
            table[day - first] = offset or 0
            changing[day - first] = offset is None
        utc: NDArray[np.int64] = local - table[days - first]
        odd = np.flatnonzero(changing[days - first])
        if odd.size:
            utc[odd] = self._each(local[odd])
        return utc

    def _sparse(self, local: NDArray[np.int64], days: NDArray[np.int64]) -> NDArray[np.int64]:
        distinct, where = np.unique(days, return_inverse=True)
        offsets = [self._offset_of_day(day) for day in distinct.tolist()]
        table = np.array([offset or 0 for offset in offsets], np.int64)
        changing = np.array([offset is None for offset in offsets], bool)
        utc: NDArray[np.int64] = local - table[where]
        odd = np.flatnonzero(changing[where])
        utc[odd] = self._each(local[odd])
        return utc

    def _each(self, local: NDArray[np.int64]) -> NDArray[np.int64]:
        distinct, where = np.unique(local, return_inverse=True)
        offsets = np.array([self._offset(moment) for moment in distinct.tolist()], np.int64)
        moved: NDArray[np.int64] = local - offsets[where]
        return moved

    def _offset_of_day(self, day: int) -> int | None:
        if day not in self._days:
            begin, end = self._offset(day * _DAY), self._offset((day + 1) * _DAY)
            self._days[day] = begin if begin == end else None
        return self._days[day]

    def _offset(self, local: int) -> int:
        moment = (_EPOCH + timedelta(microseconds=local)).replace(tzinfo=self._zone)
        offset = moment.utcoffset()
        assert offset is not None
        return offset // _MICROSECOND
