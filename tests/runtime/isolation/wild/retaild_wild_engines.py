"""A stranger's plugins of the kinds that work in the host's workers and jobs: they misbehave when
a file tells them how, `<instance>.how` in their folder, and behave when it is gone.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from retaild_wild import segfaults, spins

from retaild.api import (
    AlertSinkSpec,
    BuildContext,
    BusSpec,
    Config,
    DeployTargetSpec,
    Entry,
    LogEnd,
    StreamProcessorSpec,
    TrainerSpec,
    TrainingContext,
    TrainingResult,
    hookimpl,
)
from retaild.api.errors import RetaildError, TransientError
from retaild.api.recommender import Catalogue, Recommendation


class FolderConfig(Config):
    folder: Path


class Told:
    """`obey()` does what the file says now."""

    def __init__(self, config: FolderConfig, context: BuildContext) -> None:
        self._folder, self._name = config.folder, context.instance
        self.kept: list[bytes] = []

    def note(self, what: str, text: str) -> None:
        with (self._folder / f"{self._name}.{what}").open("a") as file:
            file.write(f"{text}\n")

    def obey(self) -> None:
        try:
            how = (self._folder / f"{self._name}.how").read_text()
        except FileNotFoundError:
            return
        print(f"{self._name} {how}", flush=True)
        HOW[how](self)


def raises(_: Any) -> None:
    raise RuntimeError("the engine speaks Klingon")


def is_away(_: Any) -> None:
    raise TransientError("The engine is away.", hint="Wait.")


def complains(_: Any) -> None:
    raise RetaildError("The engine's licence has expired.", hint="Renew it.")


def exits(_: Any) -> None:
    os._exit(0)


def hangs(_: Any) -> None:
    time.sleep(600)


def hangs_in_c(_: Any) -> None:
    """With the interpreter's lock held: no thread of the process runs any more."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def leaks(told: Told) -> None:
    """Some more with every call, and goes on working."""
    told.kept.append(b"x" * (96 << 20))


def hoards(told: Told) -> None:
    """All in one call."""
    while True:
        told.kept.append(b"x" * (32 << 20))


def forks(told: Told) -> None:
    """Children in sessions of their own that ignore every polite signal."""
    for _ in range(12):
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            while True:
                time.sleep(600)
        told.note("children", str(pid))
    time.sleep(600)


HOW: dict[str, Callable[[Any], None]] = {
    one.__name__: one
    for one in (
        raises, is_away, complains, exits, segfaults, hangs, hangs_in_c, spins, leaks, hoards,
        forks,
    )
}  # fmt: skip


class WildStream(Told):
    """Carries as the embedded one does."""

    def __init__(self, config: FolderConfig, context: BuildContext) -> None:
        from retaild.pipeline.carry.carrier import Carrier

        super().__init__(config, context)
        self._carrier = Carrier(context, 10_000)
        self._bus: Any = None

    def open(self, bus: Any) -> Any:
        self._bus = bus
        return self._carrier.open(bus)

    def step(self) -> Any:
        self.obey()
        return self._carrier.step(self._read)

    def _read(self, offset: int) -> Any:
        from retaild.pipeline.carry.carrier import Piece
        from retaild.pipeline.entries import decode

        entries = self._bus.read(offset, 10_000)
        if not entries:
            return None
        last = entries[-1]
        return Piece(decode(entries), last.offset + 1, last.rows_before + last.entry.rows)

    def close(self) -> None:
        self._carrier.close()


class WildBus(Told):
    """A log in files that misbehaves in the ingest worker alone."""

    def __init__(self, config: FolderConfig, context: BuildContext) -> None:
        from retaild.pipeline.filelog import FileLog

        super().__init__(config, context)
        self._log = FileLog(context.state_dir)

    def append(self, entries: Sequence[Entry]) -> LogEnd:
        if "ingest" in sys.argv:
            self.obey()
        return self._log.append(entries)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class Model:
    """Offers whatever there is, in the order of the catalogue."""

    def bind(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def recommend(self, customer: Any, basket: Any, now: float, count: int) -> Any:
        offerable = self._catalogue.offerable
        found = [n for n in range(len(offerable)) if offerable[n] and n not in basket]
        return [Recommendation(n, 1.0, "It is there.", "wild") for n in found[:count]]

    def similar(self, product: int, count: int) -> Any:
        return []


class WildTrainer(Told):
    def train(self, context: TrainingContext) -> TrainingResult:
        self.note("began", str(os.getpid()))
        self.obey()
        (context.workdir / "model").write_text("whatever there is")
        return TrainingResult(
            context.workdir, {"luck": 1.0}, {"none": {"luck": 0.5}}, "today", "luck"
        )

    def evaluate(self, artifact: Path, context: TrainingContext) -> dict[str, float]:
        return {"luck": 1.0}

    def load(self, artifact: Path) -> Model:
        return Model()


class WildTarget(Told):
    def open(self) -> None:
        self.note("began", str(os.getpid()))

    def publish(self, dataset: str, records: Iterable[Any]) -> int:
        self.obey()
        count = 0
        for record in records:
            self.note(dataset, record.id)
            count += 1
        return count

    def close(self) -> None:
        """There is nothing to let go of."""


class NotebookSink(Told):
    """Writes down what it is told."""

    def open(self) -> None:
        """There is nothing to open."""

    def send(self, notification: Any) -> None:
        keys = [alert.key for alert in notification.alerts]
        said = {"action": notification.action, "summary": notification.summary, "keys": keys}
        self.note("told", json.dumps(said))

    def close(self) -> None:
        """There is nothing to let go of."""


@hookimpl
def retaild_stream_processors() -> Sequence[StreamProcessorSpec]:
    steps = frozenset({"Map", "Filter", "Dedup", "Window", "Emit"})
    return [
        StreamProcessorSpec(
            name="wild-stream", summary="A test.", config=FolderConfig, build=WildStream,
            supports=steps,
        )
    ]  # fmt: skip


@hookimpl
def retaild_buses() -> Sequence[BusSpec]:
    return [BusSpec(name="wild-bus", summary="A test.", config=FolderConfig, build=WildBus)]


@hookimpl
def retaild_trainers() -> Sequence[TrainerSpec]:
    return [
        TrainerSpec(name="wild-trainer", summary="A test.", config=FolderConfig, build=WildTrainer)
    ]


@hookimpl
def retaild_deploy_targets() -> Sequence[DeployTargetSpec]:
    return [
        DeployTargetSpec(
            name="wild-target", summary="A test.", config=FolderConfig, build=WildTarget
        )
    ]


@hookimpl
def retaild_alert_sinks() -> Sequence[AlertSinkSpec]:
    return [
        AlertSinkSpec(name="notebook", summary="A test.", config=FolderConfig, build=NotebookSink)
    ]
