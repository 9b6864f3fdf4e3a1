"""Who runs a service's servers: its keeper, as children of its own, or systemd, as units.

A keeper knows this interface only; policy (order, back-off, quarantine) is the same for both.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal, Protocol

from retaild.api.errors import ConfigError
from retaild.api.service import Server
from retaild.runtime.services import units
from retaild.runtime.services.children import Children

Wanted = Literal["auto", "children", "systemd"]


class NoUnitError(ConfigError):
    key = "service.no_unit"

    def __init__(self) -> None:
        super().__init__(
            f"systemd does not know {units.TEMPLATE}.service.",
            hint='Install the files in systemd/, or set retaild.supervision to "auto".',
        )


class Running(Protocol):
    """A server that was started, or found running."""

    @property
    def pid(self) -> int:
        """Of its main process."""

    def poll(self) -> int | None:
        """None while it runs, then its exit code; negative: the signal that ended it.

        What it has printed is passed on to this process's own output by then.
        """

    def stop(self, seconds: float) -> bool:
        """End it by SIGTERM, after `seconds` by SIGKILL; True if that was needed."""


class Supervision(Protocol):
    """Starts servers."""

    def adopt(self, server: Server) -> Running | None:
        """The server if it runs already, started by an earlier keeper with the same order."""

    def start(self, server: Server) -> Running:
        """Raises what says that it cannot be started."""


def by_systemd(wanted: Wanted, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether servers are to be units. Raises NoUnitError.

    "auto": when our own unit started us (it alone gives us a runtime directory), and systemd knows
    the servers' template.
    """
    ours = {"INVOCATION_ID", "RUNTIME_DIRECTORY"} <= environment.keys()
    if wanted == "children" or (wanted == "auto" and not ours):
        return False
    known = units.known()
    if wanted == "systemd" and not known:
        raise NoUnitError
    return known


def supervision(
    wanted: Wanted, service: str, logs: Path, memory_mib: int, stamp: str
) -> Supervision:
    """For the servers of one service; `stamp` tells its settings from others. Raises NoUnitError.

    `memory_mib`: the limit that systemd sets for each server; children are watched by the daemon.
    """
    if by_systemd(wanted):
        return units.Units(service, units.orders_dir(), logs, memory_mib, stamp)
    return Children()


def end_strays(wanted: Wanted, services: Collection[str]) -> list[str]:
    """End servers of other services than these that a daemon before this one left as units."""
    return units.end_others(units.orders_dir(), services) if by_systemd(wanted) else []
