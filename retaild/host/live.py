"""The plugins as they are now, for a process that goes on while others are installed."""

from __future__ import annotations

from retaild.config.paths import DataDir
from retaild.host.installed import installed_mark
from retaild.host.registry import PluginRegistry


class LivePlugins:
    """For showing them. What a process has built stays as it was when it began.

    What pip put beside the host is seen as of each `plugin install`, upgrade or removal, and at a
    start.
    """

    def __init__(self, data: DataDir, own: PluginRegistry) -> None:
        self._data = data
        self._now, self._mark = own, installed_mark(data)

    def now(self) -> PluginRegistry:
        """Costs a look at a file's time; after a change, what `PluginRegistry.load` costs."""
        mark = installed_mark(self._data)
        if mark != self._mark:
            self._now, self._mark = PluginRegistry.load(self._data), mark
        return self._now
