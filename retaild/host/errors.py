"""Errors of plugin loading."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api.errors import ConfigError


class UnknownPluginError(ConfigError):
    key = "plugin.unknown"

    def __init__(self, kind: str, name: str, hint: str) -> None:
        super().__init__(f"There is no {kind} plugin {name!r}.", hint=hint)


class InvalidPluginConfigError(ConfigError):
    """The plugin's own settings are wrong; `reasons` has a sentence for each."""

    key = "plugin.config"

    def __init__(self, kind: str, instance: str, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(
            f"The settings of {kind} {instance!r} are wrong: {' '.join(reasons)}",
            hint="`retaildctl check` shows the lines.",
        )
