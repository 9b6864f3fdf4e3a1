"""What holds for every managed service, and a way to run one in a test."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from retaild.api import BuildContext, Service, ServiceSpec
from retaild.api.service import password_file
from retaild.runtime.isolation.family import Table
from retaild.runtime.services.keeper import FOUND_SECONDS, Keeper

#: A machine that many tests share is slow.
PATIENCE = 180.0


@contextmanager
def running(spec: ServiceSpec, config: Any, context: BuildContext) -> Iterator[Keeper]:
    """The service's servers, answering; they are stopped at the end.

    Its software must be installed in `context.software_dir`.
    """
    service: Service = spec.build(config, context)
    keeper = Keeper(service)
    until = time.monotonic() + PATIENCE
    try:
        keeper.start(lambda: time.monotonic() > until)
        assert time.monotonic() < until, f"{spec.name} does not answer after {PATIENCE:g} s"
        yield keeper
    finally:
        keeper.stop()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def with_free_ports(spec: ServiceSpec, **settings: object) -> Any:
    """The settings of its plugin, each port that they name a free one."""
    fields = spec.config.model_fields.items()
    names = [name for name, field in fields if any(_ends_at_65535(m) for m in field.metadata)]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    return spec.config.model_validate({**ports, **settings})


def _ends_at_65535(constraint: object) -> bool:
    return getattr(constraint, "le", None) == 65_535


def family_of(keeper: Keeper) -> set[int]:
    """Pids of its servers and of all that they started."""
    table = Table()
    return {one.pid for pid in keeper.pids.values() for one in table.members(pid) if not one.ended}


def watch_for_ever(keeper: Keeper) -> None:
    """As the host does, until a server ends. Raises what the keeper raises."""
    while True:
        keeper.watch()
        time.sleep(0.05)


def answers_within(service: Service, seconds: float) -> bool:
    """Whether it does; asked again and again."""
    from retaild.api import TransientError

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(TransientError):
            service.probe()
            return True
        time.sleep(0.1)
    return False


class ServiceConformance:
    """Subclass it, and give `spec`, `config` (with free ports) and `context` as fixtures."""

    def test_it_starts_answers_and_stops_and_starts_again(
        self, spec: ServiceSpec, config: Any, context: BuildContext
    ) -> None:
        """Also found running: systemd keeps its servers while the daemon is started again."""
        for _ in range(2):
            with running(spec, config, context) as keeper:
                figures = keeper.watch_now()
                assert figures["answers"] == "yes"
                assert all(isinstance(value, float | int | str) for value in figures.values())
                pids = list(keeper.pids.values())
                finder: Service = spec.build(config, context)
                finder.open()
                assert answers_within(finder, FOUND_SECONDS)
                assert list(keeper.pids.values()) == pids
            finder.close()
            assert not any(Path(f"/proc/{pid}").exists() for pid in pids)

    def test_it_listens_on_loopback_only(
        self, spec: ServiceSpec, config: Any, context: BuildContext
    ) -> None:
        import psutil

        with running(spec, config, context) as keeper:
            family = family_of(keeper)
            found = psutil.net_connections("inet")
            listening = [c for c in found if c.pid in family and c.status == psutil.CONN_LISTEN]
        assert listening
        assert {c.laddr.ip for c in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}

    def test_its_password_is_on_no_command_line_and_in_no_environment(
        self, spec: ServiceSpec, config: Any, context: BuildContext
    ) -> None:
        service: Service = spec.build(config, context)
        try:
            service.open()
            secret = password_file(context.state_dir)
            if not secret.exists():
                return
            assert secret.stat().st_mode & 0o077 == 0
            password = secret.read_text("utf-8").strip()
            for server in service.servers():
                assert password not in " ".join(server.command)
                assert password not in " ".join(server.environment.values())
        finally:
            service.close()

    def test_a_probe_of_what_does_not_run_says_so(
        self, spec: ServiceSpec, config: Any, context: BuildContext
    ) -> None:
        import pytest

        from retaild.api import TransientError

        service: Service = spec.build(config, context)
        service.open()
        try:
            with pytest.raises(TransientError):
                service.probe()
        finally:
            service.close()
