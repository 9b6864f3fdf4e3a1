"""A stranger's plugin: a source that counts, one that misbehaves when told to, a sink that hangs.

Told by files: `<instance>.go` in the folder begins it, `<instance>.mended` ends it. Whatever it
does, its events are numbered: none may be missing in the log, and none may be there twice.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from retaild.api import (
    AlertSinkSpec,
    BuildContext,
    Config,
    SourceBatch,
    SourceSpec,
    hookimpl,
)

#: A test number that its publisher gives to everyone.
CARD = "4111111111111111"
#: Events before the trouble, and in all.
BEFORE, TOTAL = 5, 20
RUBBISH = b"\x1b[2J\x1b[31mERROR retaild.daemon: all is lost\x07\xff\xfe\x00\r\xe2\x80\xae"


class WildConfig(Config):
    folder: Path
    how: str = ""
    password: SecretStr | None = None


def stock(source: str, ids: Sequence[str], on_hand: float = 1) -> Any:
    import pyarrow as pa

    from retaild.events import arrow_schema

    now = datetime.now(UTC)
    rows = [
        {"event_id": f"{source}-{one}", "event_time": now, "source": source, "store": "main",
         "product_id": one, "on_hand": on_hand}
        for one in ids
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=arrow_schema("stock"))


class Steady:
    """An event on every poll. Notes the seconds between two events that are durable."""

    def __init__(self, config: WildConfig, context: BuildContext) -> None:
        self._name, self._at = context.instance, 0
        self._gaps = config.folder / f"{context.instance}.gaps"
        self._last: float | None = None

    def open(self, position: Any) -> None:
        self._at = position["at"] if position else 0
        self._file = self._gaps.open("a", buffering=1)

    def poll(self) -> SourceBatch:
        time.sleep(0.02)
        self._at += 1
        return SourceBatch("stock", stock(self._name, [f"{self._at}"]), {"at": self._at})

    def confirmed(self, position: Any) -> None:
        now = time.monotonic()
        if self._last is not None:
            self._file.write(f"{now} {now - self._last}\n")
        self._last = now

    def close(self) -> None:
        """The file goes with the process."""


class Wild:
    def __init__(self, config: WildConfig, context: BuildContext) -> None:
        self.folder, self.name = config.folder, context.instance
        self.password = config.password
        self._misbehave = HOW[config.how]
        self.at = 0

    def open(self, position: Any) -> None:
        self.at = position["at"] if position else 0

    def told(self, what: str) -> bool:
        return (self.folder / f"{self.name}.{what}").exists()

    def poll(self) -> SourceBatch | None:
        if self.at == BEFORE and not self.told("mended"):
            return self._misbehave(self) if self.told("go") else None
        if self.at == TOTAL:
            return None
        return self.next()

    def next(self) -> SourceBatch:
        self.at += 1
        return SourceBatch("stock", stock(self.name, [f"{self.at}"]), {"at": self.at})

    def close(self) -> None:
        """There is nothing to let go of."""


def raises(wild: Wild) -> None:
    print("I looked at the till")
    raise RuntimeError("the till speaks Klingon")


def speaks_of_a_card(wild: Wild) -> None:
    print(f"I use {wild.password!r}", flush=True)
    raise RuntimeError(f"no room for the card {CARD}")


def exits(wild: Wild) -> None:
    sys.stderr.write("good bye\n")
    sys.stderr.flush()
    os._exit(0)


def raises_system_exit(wild: Wild) -> None:
    sys.exit("enough")


def segfaults(wild: Wild) -> None:
    ctypes.string_at(8)


def hangs(wild: Wild) -> None:
    time.sleep(600)


def spins(wild: Wild) -> None:
    while True:
        pass


def burns(wild: Wild) -> None:
    """More cores than one."""
    for _ in range(3):
        if os.fork() == 0:
            spins(wild)
    spins(wild)


def hangs_in_c(wild: Wild) -> None:
    """With the interpreter's lock held: no thread of the process runs any more."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def ignores_sigterm(wild: Wild) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(0.01)


def leaks(wild: Wild) -> None:
    kept = []
    while True:
        kept.append(b"x" * (4 << 20))
        time.sleep(0.01)


def imports_the_world(wild: Wild) -> None:
    import duckdb
    import lightgbm
    import mlflow
    import pandas
    import scipy.stats
    import sklearn.ensemble

    kept = [duckdb, lightgbm, mlflow, pandas, scipy.stats, sklearn.ensemble, b"x" * (80 << 20)]
    while kept:
        time.sleep(1)


def floods_the_log(wild: Wild) -> None:
    """Megabytes without a line's end, binary, with escapes: faster than anything may print."""
    while True:
        os.write(1, RUBBISH * 2000)
        os.write(2, os.urandom(4096).replace(b"\n", b"?"))


def forks(wild: Wild) -> None:
    """Children in sessions of their own that ignore every polite signal."""
    for _ in range(40):
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            while True:
                time.sleep(600)
        with (wild.folder / f"{wild.name}.children").open("a") as file:
            file.write(f"{pid}\n")
    time.sleep(600)


def closes_everything(wild: Wild) -> SourceBatch:
    os.closerange(0, 4096)
    return wild.next()


def breaks_its_credit(wild: Wild) -> None:
    """Sends what it was not asked for, through the host's own connection."""
    import gc

    link = next(one for one in gc.get_objects() if type(one).__name__ == "Link")
    batch = SourceBatch("stock", stock(wild.name, ["stolen"]), {"at": BEFORE})
    while True:
        link.send(batch, lambda: None)


def floods_its_queue(wild: Wild) -> SourceBatch:
    """As many events as are taken, without getting on."""
    ids = [f"flood-{number}" for number in range(5000)]
    return SourceBatch("stock", stock(wild.name, ids), {"at": BEFORE})


HOW: dict[str, Callable[[Wild], Any]] = {
    one.__name__: one
    for one in (
        raises, speaks_of_a_card, exits, raises_system_exit, segfaults, hangs, spins, burns,
        hangs_in_c, ignores_sigterm, leaks, imports_the_world, floods_the_log, forks,
        closes_everything, breaks_its_credit, floods_its_queue,
    )
}  # fmt: skip


class HangingSink:
    """Hangs in `send` until it is mended; then it writes down what it was given."""

    def __init__(self, config: WildConfig, context: BuildContext) -> None:
        self._folder, self._name = config.folder, context.instance

    def open(self) -> None:
        """There is nothing to open."""

    def send(self, notification: Any) -> None:
        with (self._folder / f"{self._name}.tried").open("a") as file:
            file.write(f"{notification.id} {os.getpid()}\n")
        if not (self._folder / f"{self._name}.mended").exists():
            time.sleep(600)
        with (self._folder / f"{self._name}.sent").open("a") as file:
            file.write(f"{notification.id} {notification.group}\n")

    def close(self) -> None:
        """There is nothing to let go of."""


@hookimpl
def retaild_sources() -> Sequence[SourceSpec]:
    def spec(name: str, build: Any, **more: Any) -> SourceSpec:
        return SourceSpec(
            name=name, summary="A test.", config=WildConfig, build=build, families=("stock",),
            **more,
        )  # fmt: skip

    return [spec("steady", Steady), spec("wild", Wild, read_ahead=8)]


@hookimpl
def retaild_alert_sinks() -> Sequence[AlertSinkSpec]:
    return [AlertSinkSpec(name="hanging", summary="A test.", config=WildConfig, build=HangingSink)]
