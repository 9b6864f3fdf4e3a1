"""The access desk for commands: also where no daemon runs, and before anybody can sign in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from retaild.host.lifecycle import closing_always
from retaild.runtime.access.desk import AccessDesk
from retaild.runtime.access.errors import IdentityDownError, NoAbilityError
from retaild.runtime.access.identity import IdentityClient
from retaild.runtime.context import Context


@dataclass(frozen=True)
class _Here(IdentityClient):
    """The provider in this process, opened for each call: its own process does not run."""

    context: Context | None = None

    def ask(self, call: str, **arguments: Any) -> Any:
        with suppress(IdentityDownError):
            return super().ask(call, **arguments)
        assert self.context is not None
        plugin = self.context.settings.identity.plugin
        spec = self.context.plugins.spec("identity", plugin)
        if not getattr(spec, "directory", False):
            raise NoAbilityError(plugin, "users of its own")
        with closing_always(self.context.build("identity", "identity"), plugin) as provider:
            provider.open()
            method: Callable[..., Any] = getattr(provider, call)
            given = {
                name: frozenset(value) if name == "roles" and value is not None else value
                for name, value in arguments.items()
            }
            return method(**given)


def command_desk(context: Context) -> AccessDesk:
    """Raises what is wrong with the configuration."""
    desk = AccessDesk(context.settings, context.data, context.state)
    desk.identity = _Here(context.data, context=context)
    return desk
