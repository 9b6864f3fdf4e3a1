"""The stream processor on a real Flink and a real Kafka, by the suite for all, and its faults."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import pytest
from retaild_plugins.cluster.flink import job_code
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

from retaild.api import Bus, Entry, Lake, StreamProcessor, TransientError
from retaild.pipeline.streams import carried_offset
from retaild.testing.memory_bus import MemoryBus
from retaild.testing.stream import (
    NINE,
    OpenStream,
    StreamConformance,
    carry,
    entry,
    hours,
    rows,
    sale,
)

from .conftest import Cluster

#: Entries of a replay, and sales of each.
ENTRIES, SALES = 400, 50
PATIENCE = 180.0


class TestFlinkConforms(StreamConformance):
    @pytest.fixture
    def bus(self, cluster: Cluster, tmp_path: Path) -> Bus:
        return cluster.bus(tmp_path / "log")

    @pytest.fixture
    def open_stream(self, cluster: Cluster) -> OpenStream:
        return cluster.stream


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def bus(cluster: Cluster, tmp_path: Path) -> Bus:
    return cluster.bus(tmp_path / "log")


def embedded(lake: Path, bus: Bus, cluster: Cluster) -> EmbeddedProcessor:
    context = cluster.context("stream", lake.parent / "embedded", lake)
    processor = EmbeddedProcessor(EmbeddedStreamConfig(), context)
    processor.open(bus)
    return processor


def test_a_log_that_is_not_on_kafka_is_refused(cluster: Cluster, lake: Lake) -> None:
    from retaild_plugins.cluster.flink.processor import NoTopicError

    with pytest.raises(NoTopicError, match="not on Kafka"):
        cluster.stream(lake.root, MemoryBus())


def test_engines_carry_on_where_the_other_stopped(
    cluster: Cluster, lake: Lake, bus: Bus, tmp_path: Path
) -> None:
    """Late, repeated and broken events, three changes of engine; as if embedded alone had run."""
    batches = [
        [entry(sale("a"), sale("b", NINE.replace(hour=11)))],
        [entry(sale("a"), sale("c")), Entry("sale", "json", 1, b"{")],
        [entry(sale("c"), sale("d", NINE.replace(day=3)), codec="arrow")],
        [entry(sale("e", NINE.replace(month=11))), entry(sale("d"))],
    ]
    alone = Lake(tmp_path / "alone" / "lake")
    for number, batch in enumerate(batches):
        bus.append(batch)
        stream: StreamProcessor = (
            cluster.stream(lake.root, bus) if number % 2 else embedded(lake.root, bus, cluster)
        )
        with closing(stream):
            carry(stream, bus)
    with closing(embedded(alone.root, bus, cluster)) as stream:
        carry(stream, bus)
    assert lake.names() == alone.names()
    for name in alone.names():
        columns = lake.dataset(name).schema.names
        assert columns == alone.dataset(name).schema.names
        assert lake.dataset(name).schema.types == alone.dataset(name).schema.types
        assert rows(lake, name, *columns) == rows(alone, name, *columns)
    assert len(rows(lake, "silver.sale", "event_id")) == 5


# -- faults ----------------------------------------------------------------------------------------


def replay(bus: Bus) -> None:
    """ENTRIES x SALES sales, every tenth sent twice."""
    for number in range(ENTRIES):
        write(bus, number)


def write(bus: Bus, number: int) -> None:
    own = [f"{number}-{i}" for i in range(SALES)]
    repeated = [f"{number - 1}-{i}" for i in range(0, SALES, 10)] if number else []
    bus.append([entry(*[sale(name, receipt_id=name) for name in [*own, *repeated]])])


def check(lake: Lake, entries: int = ENTRIES) -> None:
    total = entries * SALES
    found = [name for (name,) in rows(lake, "silver.sale", "event_id")]
    assert len(found) == len(set(found)) == total
    bronze = rows(lake, "bronze.sale", "event_id")
    assert len(bronze) == total + (entries - 1) * (SALES // 10)
    assert hours(lake) == [("main", 9, total, total, f"{total}.000", f"{total}.0000")]


def persist(stream: StreamProcessor, bus: Bus, each: Callable[[int], None]) -> None:
    """As the stream worker does: what fails for now is tried again."""
    until = time.monotonic() + PATIENCE
    offset = -1
    while offset < bus.end().offset:
        assert time.monotonic() < until, f"it stands still at {offset} of {bus.end().offset}"
        try:
            offset = stream.step().offset
        except TransientError:
            time.sleep(0.5)
        each(offset)


@pytest.mark.parametrize("victim", ["taskmanager", "jobmanager"])
def test_a_killed_server_loses_and_doubles_nothing(
    cluster: Cluster, lake: Lake, bus: Bus, victim: str
) -> None:
    writer = threading.Thread(target=replay, args=(bus,))
    killed = False

    def kill(offset: int) -> None:
        nonlocal killed
        if not killed and offset > 20:
            killed = True
            os.kill(cluster.keeper.pids[victim], signal.SIGKILL)

    with closing(cluster.stream(lake.root, bus)) as stream:
        writer.start()
        persist(stream, bus, kill)
        writer.join()
        persist(stream, bus, kill)
    assert killed
    check(lake)


#: With less, what is written and not committed yet would be removed too.
RETENTION_HOURS = 48


def test_tables_may_be_compacted_and_vacuumed_meanwhile(
    cluster: Cluster, lake: Lake, bus: Bus
) -> None:
    writer = threading.Thread(target=replay, args=(bus,))
    done = threading.Event()
    compacted: list[str] = []

    def compact() -> None:
        while not done.wait(0.3):
            for name in ("bronze.sale", "silver.sale", "silver.sale_window_hour"):
                if lake.exists(name):
                    lake.compact(name, RETENTION_HOURS)
                    compacted.append(name)

    keeper = threading.Thread(target=compact)
    with closing(cluster.stream(lake.root, bus)) as stream:
        writer.start()
        keeper.start()
        persist(stream, bus, lambda _: None)
        writer.join()
        persist(stream, bus, lambda _: None)
        done.set()
        keeper.join()
    assert len(compacted) > 3
    # Nobody writes now: whatever the tables no longer name may go.
    for name in set(compacted):
        lake.compact(name, 0)
    check(lake)


@dataclass
class Writer:
    """Somebody who writes without pause until he is told to end; then he knows how much it was."""

    bus: Bus
    entries: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self.ended.set()
        self._thread.join()

    def _write(self) -> None:
        while not self.ended.is_set():
            write(self.bus, self.entries)
            self.entries += 1
            time.sleep(0.005)


def killed_in_the_middle(cluster: Cluster, lake: Lake, bus: Bus) -> str:
    """A worker that is killed when it has carried something and has not all; the id of its job."""
    topic = cluster.open_buses[-1].topic()
    command = [
        sys.executable, str(Path(__file__).with_name("_killed_stream.py")), str(lake.root.parent),
        str(cluster.software_dir), str(cluster.root), topic.bootstrap_servers, topic.name,
        cluster.config().url,
    ]  # fmt: skip
    before = carried_offset(lake)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            job = process.stdout.readline().strip()
            until = time.monotonic() + PATIENCE
            while carried_offset(lake) == before:
                assert time.monotonic() < until, "the worker carries nothing"
                time.sleep(0.02)
        finally:
            process.kill()
    assert before < carried_offset(lake) < bus.end().offset
    return job


def test_a_killed_worker_finds_its_job_again(cluster: Cluster, lake: Lake, bus: Bus) -> None:
    """kill -9 three times in the middle; the job goes on and is handed in once."""
    with Writer(bus) as writer:
        jobs = {killed_in_the_middle(cluster, lake, bus) for _ in range(3)}
        (job,) = jobs
        assert own_jobs(cluster, lake)[job] in RUNS
        writer.end()
        with closing(cluster.stream(lake.root, bus)) as stream:
            persist(stream, bus, lambda _: None)
            assert stream.job == job
    check(lake, writer.entries)


def test_an_upgrade_ends_the_old_job_and_hands_in_a_new_one(
    cluster: Cluster, lake: Lake, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is killed, its job goes on; the next worker's code decodes otherwise."""
    with Writer(bus) as writer:
        old = killed_in_the_middle(cluster, lake, bus)
        assert own_jobs(cluster, lake)[old] in RUNS
        monkeypatch.setattr(job_code, "fingerprint", lambda: "the next version")
        start = carried_offset(lake)
        with closing(cluster.stream(lake.root, bus)) as stream:
            until = time.monotonic() + PATIENCE
            while stream.job is None:
                assert time.monotonic() < until
                stream.step()
            new = stream.job
            states = own_jobs(cluster, lake)
            assert new != old
            assert states[old] == "CANCELED"
            assert states[new] in RUNS
            # What it carried of the old job's files meanwhile would be read again, not lost.
            assert job_start(cluster, new) == start
            writer.end()
            persist(stream, bus, lambda _: None)
            assert stream.job == new
    check(lake, writer.entries)


#: Flink's states of a job that reads or will.
RUNS = ("CREATED", "RUNNING", "RESTARTING")


def own_jobs(cluster: Cluster, lake: Lake) -> dict[str, str]:
    """Flink's own word: job -> state, of all that this lake has had."""
    jobs = httpx.get(f"{cluster.config().url}/jobs/overview").json()["jobs"]
    lake_id = hashlib.sha256(str(lake.root.resolve()).encode()).hexdigest()[:12]
    return {job["jid"]: job["state"] for job in jobs if lake_id in job["name"]}


def job_start(cluster: Cluster, job: str) -> int:
    """The log offset that its name says."""
    name = httpx.get(f"{cluster.config().url}/jobs/{job}").json()["name"]
    return int(name.split(":")[2])
