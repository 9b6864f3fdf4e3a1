"""The champion models: which they are, and loading them beside the running server."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retaild.api.errors import RetaildError

_log = logging.getLogger(__name__)
#: Seconds before a version that could not be loaded is tried again.
RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Champion:
    """What the registry says: a trainer instance's champion version and its artifact."""

    trainer: str
    version: int
    artifact: Path


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory."""

    champion: Champion
    model: Any
    seconds: float


class Follower:
    """Follows one trainer's champion. `poll` runs in a thread: it may read files for a while."""

    def __init__(
        self, find: Callable[[], Champion | None], load: Callable[[Champion], Any]
    ) -> None:
        self._find = find
        self._load = load
        self._failed: tuple[Champion, float] | None = None
        self.error: str | None = None

    def poll(self, current: Champion | None) -> Loaded | None:
        """The champion, loaded, if it is another than `current`; else None."""
        try:
            champion = self._find()
        except RetaildError as error:
            self.error = str(error)
            return None
        if champion is None or champion == current or self._failed_lately(champion):
            return None
        began = time.perf_counter()
        try:
            model = self._load(champion)
        except Exception as error:  # a plugin may fail in any way; the old model goes on
            self._failed = (champion, time.monotonic())
            self.error = f"{champion.trainer} {champion.version} cannot be loaded: {error!r}"
            _log.exception("cannot load %s version %s", champion.trainer, champion.version)
            return None
        self.error = None
        return Loaded(champion, model, time.perf_counter() - began)

    def _failed_lately(self, champion: Champion) -> bool:
        if self._failed is None or self._failed[0] != champion:
            return False
        return time.monotonic() - self._failed[1] < RETRY_SECONDS
