"""Servers as units of systemd: a template, an order for each instance, and `systemctl`.

A server outlives a daemon that is killed; the next keeper finds it and goes on with it if it was
started with the order that it would give itself. An order is a file of the runtime directory for
its owner alone (see order.py), so that nobody has to be root and nothing of systemd's is written.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from retaild.api.errors import RetaildError
from retaild.api.service import Server, write_private
from retaild.runtime.services.printed import Printed

_log = logging.getLogger(__name__)

TEMPLATE: Final = "retaild-service@"
#: Seconds that systemd may take to do as it is told, and to notice that a process has ended.
ASKED, NOTICED = 60.0, 10.0
#: Seconds for one that nobody keeps to end by itself.
STRAY_SECONDS = 20.0
#: What a server gets of the daemon's own environment: nothing that could hold a secret, and
#: neither the daemon's place in systemd nor the mark by which its children are told.
_PASSED_ON = re.compile(
    "PATH|HOME|USER|LOGNAME|LANG|LC_.*|TZ|JAVA_HOME|DO_NOT_TRACK|MALLOC_ARENA_MAX|.*_NUM_THREADS"
)
#: ExecMainCode of a process that exited; otherwise a signal ended it.
_EXITED = "1"


class UnitError(RetaildError):
    key = "service.unit"

    def __init__(self, what: str, said: str) -> None:
        super().__init__(
            f"systemd refused `systemctl {what}`: {said or 'it said nothing'}",
            hint="`journalctl -u 'retaild-service@*'` says more; see systemd/50-retaild.rules.",
        )


def orders_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the template looks for the order of an instance."""
    return Path(environment.get("RUNTIME_DIRECTORY", "/run/retaild")) / "services"


def known() -> bool:
    """Whether systemd runs here and has the template."""
    try:
        return _show(f"{TEMPLATE}any.service", "LoadState").get("LoadState") == "loaded"
    except UnitError:
        return False


@dataclass(frozen=True)
class Unit:
    """One instance of the template."""

    name: str

    def main_pid(self) -> int:
        """0 if it does not run."""
        facts = _show(self.name, "ActiveState", "MainPID")
        return int(facts["MainPID"]) if facts["ActiveState"] == "active" else 0

    def start(self, memory_mib: int) -> None:
        """Raises UnitError."""
        limit = f"{memory_mib}M" if memory_mib else "infinity"
        _systemctl("set-property", "--runtime", self.name, f"MemoryMax={limit}")
        _systemctl("start", self.name)

    def kill(self, number: str, whom: Literal["main", "all"]) -> None:
        """No error if nothing is left. No job either: while the daemon is stopped, a job of the
        server's unit would wait for the daemon's."""
        with suppress(UnitError):
            _systemctl("kill", f"--kill-whom={whom}", f"--signal={number}", self.name)

    def exit_code(self) -> int:
        """Of the main process once it has ended; what ended as it should may count as 0."""
        until = time.monotonic() + NOTICED
        while True:
            facts = _show(self.name, "ActiveState", "ExecMainCode", "ExecMainStatus")
            if facts["ActiveState"] in ("inactive", "failed") or time.monotonic() > until:
                break
            time.sleep(0.05)
        status = int(facts["ExecMainStatus"])
        return status if facts["ExecMainCode"] in ("0", _EXITED) else -status


class RunningUnit:
    """A unit whose main process is watched through its pidfd: no question to systemd a look."""

    def __init__(self, unit: Unit, order: Path, printed: Printed) -> None:
        self._unit, self._order, self._printed = unit, order, printed
        self.pid = unit.main_pid()
        self._code: int | None = None
        self._pidfd = -1
        with suppress(OSError):  # it has ended already
            self._pidfd = os.pidfd_open(self.pid) if self.pid else -1

    def poll(self) -> int | None:
        if self._code is None and self._ended(0.0):
            self._code = self._unit.exit_code()
        self._printed.pass_on()
        return self._code

    def stop(self, seconds: float) -> bool:
        late = False
        if not self._ended(0.0):
            self._unit.kill("TERM", "main")
            late = not self._ended(seconds)
        self._unit.kill("KILL", "all")  # what it has started too
        self._ended(NOTICED)
        self._unit.exit_code()
        self._printed.pass_on()
        self._order.unlink(missing_ok=True)
        return late

    def _ended(self, seconds: float) -> bool:
        """Whether its main process has, or does within `seconds`."""
        if self._pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return False
        os.close(self._pidfd)
        self._pidfd = -1
        return True


@dataclass(frozen=True)
class Units:
    """The servers of one service. `logs` is the daemon's directory of logs."""

    service: str
    orders: Path
    logs: Path
    memory_mib: int = 0
    stamp: str = ""

    def adopt(self, server: Server) -> RunningUnit | None:
        """One that runs with another order is stopped. Raises UnitError."""
        unit, order = self._unit(server)
        if not unit.main_pid():
            return None
        running = RunningUnit(unit, order, Printed(self._log(server)))
        if _read(order) == self._order(server):
            return running
        _log.info("%s runs with other settings: it is started anew", server.name)
        running.stop(server.stop_seconds)
        return None

    def start(self, server: Server) -> RunningUnit:
        """Raises UnitError, OSError."""
        unit, order = self._unit(server)
        self.orders.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(order, self._order(server))
        printed = Printed(self._log(server))
        printed.pass_on()  # the last words of the one before
        unit.start(self.memory_mib)
        return RunningUnit(unit, order, printed)

    def _unit(self, server: Server) -> tuple[Unit, Path]:
        name = f"{_plain(self.service)}:{_plain(server.name)}"
        return Unit(f"{TEMPLATE}{name}.service"), self.orders / f"{name}.json"

    def _log(self, server: Server) -> Path:
        return self.logs / f"service.{_plain(self.service)}.{_plain(server.name)}.out"

    def _order(self, server: Server) -> str:
        passed = {key: text for key, text in os.environ.items() if _PASSED_ON.fullmatch(key)}
        return json.dumps(
            {
                "command": server.command,
                "environment": {**passed, **server.environment},
                "directory": str(server.directory) if server.directory else None,
                "log": str(self._log(server).absolute()),
                "stamp": self.stamp,
            },
            sort_keys=True,
        )


def end_others(orders: Path, services: Collection[str]) -> list[str]:
    """End every unit with an order of another service; the names of those that ran."""
    kept = {_plain(name) for name in services}
    return [
        unit.name
        for order in sorted(orders.glob("*.json"))
        if order.stem.partition(":")[0] not in kept
        for unit in _ended(order)
    ]


def _ended(order: Path) -> Iterator[Unit]:
    unit = Unit(f"{TEMPLATE}{order.stem}.service")
    try:
        log = Path(json.loads(_read(order))["log"])
    except (ValueError, KeyError):
        log = order.with_suffix(".out")
    if unit.main_pid():
        RunningUnit(unit, order, Printed(log)).stop(STRAY_SECONDS)
        yield unit
    order.unlink(missing_ok=True)


def _plain(name: str) -> str:
    """As a part of a unit's name, and of a file's; two names are never the same there."""
    return "".join(
        letter if re.fullmatch("[A-Za-z0-9.-]", letter) else f"_{letter.encode().hex()}"
        for letter in name
    )


def _read(order: Path) -> str:
    try:
        return order.read_text("utf-8")
    except OSError:
        return ""


def _show(unit: str, *properties: str) -> dict[str, str]:
    said = _systemctl("show", f"--property={','.join(properties)}", unit)
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def _systemctl(*arguments: str) -> str:
    """What it printed. Raises UnitError."""
    command = ("systemctl", "--no-pager", "--no-ask-password", *arguments)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ASKED,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnitError(" ".join(arguments), str(error)) from error
    if done.returncode:
        raise UnitError(" ".join(arguments), done.stderr.strip())
    return done.stdout
