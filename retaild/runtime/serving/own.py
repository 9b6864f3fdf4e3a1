"""Log entries that this process wrote and has applied: the tail need not read them again."""

from __future__ import annotations

from collections.abc import Iterable

from retaild.api.bus import Entry

#: Entries remembered; the tail meets them within moments.
_KEPT = 10_000


class OwnEntries:
    """Remembers entries by their content, so that it holds for any bus and any order."""

    def __init__(self) -> None:
        self._hashes: dict[tuple[str, int, int], None] = {}

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._hashes[_identity(entry)] = None
        while len(self._hashes) > _KEPT:
            del self._hashes[next(iter(self._hashes))]

    def take(self, entry: Entry) -> bool:
        """Whether it is one of them; it is asked once and forgotten."""
        if not self._hashes:
            return False
        identity = _identity(entry)
        if identity not in self._hashes:
            return False
        del self._hashes[identity]
        return True


def _identity(entry: Entry) -> tuple[str, int, int]:
    return entry.family, len(entry.payload), hash(entry.payload)
