"""What every command has at hand: the options, the data directory, the daemon, the API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retaild.cli.exits import NoDataError
from retaild.cli.output import print_json
from retaild.config.locate import locate_config, locate_data_dir
from retaild.config.paths import DataDir

if TYPE_CHECKING:
    from retaild.api.lake import Lake
    from retaild.config.settings import Settings
    from retaild.runtime.context import Context
    from retaild.runtime.state import State


@dataclass
class Session:
    """Everything is looked up when first used: a command pays only for what it needs."""

    config: Path | None = None
    data_option: Path | None = None
    json: bool = False

    @cached_property
    def data(self) -> DataDir:
        """The data directory, which need not exist."""
        return DataDir(locate_data_dir(self.config, self.data_option))

    @cached_property
    def existing(self) -> DataDir:
        """The data directory; raises NoDataError if there is none yet."""
        if not self.data.state_db.exists():
            raise NoDataError(self.data.root)
        return self.data

    @cached_property
    def config_file(self) -> Path | None:
        return locate_config(self.config)

    @cached_property
    def settings(self) -> Settings:
        """Raises ConfigFaultsError."""
        from retaild.config.settings import load_settings

        return load_settings(self.config, self.data_option)

    @cached_property
    def state(self) -> State:
        """Raises NoDataError."""
        from retaild.runtime.state import State

        return State(self.existing.state_db)

    @cached_property
    def lake(self) -> Lake:
        """Raises NoDataError."""
        from retaild.api.lake import Lake

        return Lake(self.existing.lake)

    def context(self) -> Context:
        """For work on the data directory itself. Creates it; raises ConfigFaultsError."""
        from retaild.runtime.context import offline_context

        return offline_context(self.config, self.data_option)

    def daemon(self, command: str, **fields: Any) -> dict[str, Any]:
        """Ask the daemon; raises NotRunningError and what the daemon refuses."""
        from retaild.runtime.control import request

        return request(self.data, command, **fields)

    def is_running(self) -> bool:
        from retaild.runtime.control import is_running

        return is_running(self.data)

    def api(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Call the REST interface of the running retaild; raises its problems as errors."""
        from retaild.cli.rest_client import call, system_key

        api = self.daemon("status")["api"]
        return call(api, system_key(self.state), method, path, body, query)

    def record(self, what: str, target: str, *, before: Any = None, after: Any = None) -> None:
        """Write into the audit log what this command changed by itself, not through the API."""
        from retaild.runtime.access.audit import record

        record(self.state, self.user, what, target, via="command", before=before, after=after)

    @property
    def user(self) -> str:
        """Who gave the command, as the audit log names him."""
        from retaild.runtime.access.audit import system_user

        return system_user()

    def show(self, data: Any, for_people: Callable[[], None]) -> None:
        """Print `data` as JSON if asked to, else call `for_people`."""
        if self.json:
            print_json(data)
        else:
            for_people()
