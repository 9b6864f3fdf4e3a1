"""The configuration in force for routes and pages, and reloads by the daemon."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.active import Active, ActiveStore
from retaild.config.diff import effective, shown
from retaild.config.paths import DataDir
from retaild.config.settings import load_settings
from retaild.runtime.access.caller import current_caller
from retaild.runtime.control import request

#: Reading and checking files takes the daemon so long at most.
CHECK_SECONDS = 130.0


class NoConfigurationError(RetaildError):
    key = "config.unknown"

    def __init__(self, number: int | None) -> None:
        name = f"configuration {number}" if number else "configuration in force"
        super().__init__(f"There is no {name}.", hint="The daemon keeps the last ten.")


@dataclass(frozen=True)
class ConfigData:
    """Secrets are hidden in everything. Raises NotRunningError where the daemon is asked."""

    data: DataDir

    async def configuration(self, number: int | None = None) -> dict[str, Any]:
        """One that was in force, by default the present one, with `settings` by their paths."""
        return await asyncio.to_thread(self._configuration, number)

    def _configuration(self, number: int | None) -> dict[str, Any]:
        store = ActiveStore(self.data)
        active = store.current() if number is None else store.get(number)
        if active is None or not active.number:
            raise NoConfigurationError(number)
        path = store.path if number is None else store.file(number)
        return {**active.facts(), "settings": _settings(active, load_settings(path))}

    async def history(self) -> list[dict[str, Any]]:
        """Newest first."""
        kept = await asyncio.to_thread(ActiveStore(self.data).history)
        return [active.facts() for active in kept]

    async def diff(self) -> dict[str, Any]:
        """What a reload would do now: `faults`, `changes`, `touched`, `active`."""
        return await asyncio.to_thread(request, self.data, "config-diff", timeout=CHECK_SECONDS)

    async def reload(self) -> dict[str, Any]:
        """Begin one, in the name of who asks; it goes on by itself. Raises RefusedError if busy."""
        caller = current_caller()
        answer = await asyncio.to_thread(
            request, self.data, "reload", by=caller.who, via=caller.via
        )
        return dict(answer["reload"])

    async def last_reload(self) -> dict[str, Any] | None:
        """The one under way, or the last since the daemon was started."""
        answer = await asyncio.to_thread(request, self.data, "reload-status")
        found: dict[str, Any] | None = answer["reload"]
        return found


def _settings(active: Active, settings: Any) -> list[dict[str, Any]]:
    places = active.document().places
    return [
        {
            "path": ".".join(path),
            "value": shown(path, value),
            "file": places.get(path, ("", 0))[0],
            "line": places.get(path, ("", 0))[1],
        }
        for path, value in sorted(effective(settings).items())
    ]
