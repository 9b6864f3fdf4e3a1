"""Errors of plugin loading."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.api.errors import ConfigError, RetaildError


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


class PluginRefusedError(RetaildError):
    """A distribution that cannot be installed, and why."""

    key = "plugin.refused"

    def __init__(self, distribution: str, version: str, reason: str, hint: str = "") -> None:
        super().__init__(
            f"{distribution} {version} is not installed: {reason}.",
            hint=hint or "Nothing has changed. Tell its author.",
        )


class PluginNotInstalledError(RetaildError):
    key = "plugin.not_found"

    def __init__(self, distribution: str, hint: str = "") -> None:
        super().__init__(
            f"{distribution} has not been installed with `retaildctl plugin install`.", hint=hint
        )


class PluginInUseError(RetaildError):
    key = "plugin.in_use"

    def __init__(self, distribution: str, instances: Sequence[str]) -> None:
        tables = ", ".join(f"[{name}]" for name in instances)
        super().__init__(
            f"{distribution} is in use by {tables}.",
            hint="Take that out of the configuration and reload, or remove it with --force.",
        )
