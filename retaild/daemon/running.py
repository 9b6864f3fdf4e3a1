"""What is in force in this daemon: configuration, settings, secrets' digests, the socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from retaild.config.active import Active
from retaild.config.documents import KeyPath
from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.daemon.proposal import Proposal
from retaild.runtime.listening import listen
from retaild.runtime.topology import Basis, PlanInstance, Secrets


@dataclass(frozen=True)
class Door:
    """The listening socket; None: the daemon keeps no server."""

    socket: socket.socket | None = None
    address: tuple[str, int] = ("", 0)

    @property
    def number(self) -> int | None:
        return None if self.socket is None else self.socket.fileno()

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()


@dataclass
class Running:
    """Changed by a reload that worked, and by nothing else."""

    data: DataDir
    workers: Mapping[str, str]
    active: Active
    settings: Settings
    door: Door = field(default_factory=Door)
    secrets: Mapping[KeyPath, str] = field(default_factory=dict)
    #: See Basis.plan_instance.
    plan_instance: PlanInstance | None = None
    _digests: Secrets = field(default_factory=Secrets)

    def open_door(self, settings: Settings) -> Door:
        """Raises PortTakenError."""
        address = (settings.api.host, settings.api.port)
        return Door(listen(*address), address) if "serve" in self.workers else Door()

    @contextmanager
    def door_for(self, settings: Settings, active: Active) -> Iterator[Door]:
        """The socket that `settings` want: a new one only for another address.

        A new one that is not taken into use is closed. Raises PortTakenError.
        """
        same = self.door.socket is None or self.door.address == (
            settings.api.host, settings.api.port,
        )  # fmt: skip
        door = self.door if same else self.open_door(settings)
        try:
            yield door
        finally:
            if door is not self.door:
                door.close()

    def basis(self, settings: Settings, proposal: Proposal, listening: int | None) -> Basis:
        """What the plans of a proposal are made from."""
        return Basis(
            settings, self.data, proposal.file, proposal.findings.plugins or {},
            self._digests.digests(proposal.active.values, Path(proposal.active.base)),
            listening, self.workers, self.plan_instance,
        )  # fmt: skip

    def take(self, active: Active, settings: Settings, proposal: Proposal, door: Door) -> None:
        """From now on this is in force."""
        self.secrets = self._digests.digests(active.values, Path(active.base))
        self.active, self.settings = active, settings
        if door is not self.door:
            self.door.close()
            self.door = door
