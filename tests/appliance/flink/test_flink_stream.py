"""The stream processor on a real Flink and a real Kafka, by the suite for all, and its faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from retaild_plugins.cluster.flink import job_code
from retaild_plugins.cluster.flink.processor import FlinkProcessor
from retaild_plugins.cluster.flink.rest import FlinkRest
from retaild_plugins.streams.embedded.config import EmbeddedStreamConfig
from retaild_plugins.streams.embedded.processor import EmbeddedProcessor

from retaild.api import Bus, Entry, Lake, StreamProcessor, TransientError
from retaild.events import Sale
from retaild.pipeline.streams import carried_offset
from retaild.testing.memory_bus import MemoryBus
from retaild.testing.stream import (
    HOUR,
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


# -- windows ---------------------------------------------------------------------------------------


def test_windows_of_ordinary_traffic_are_flinks(cluster: Cluster, lake: Lake, bus: Bus) -> None:
    """Two shops, three hours, batch after batch; a repeat and a return are ordinary, too."""
    with closing(cluster.stream(lake.root, bus)) as stream:
        for number, hour in enumerate((0, 0, 1, 1, 2, 1)):
            at = NINE + hour * HOUR + timedelta(minutes=number)
            batch = [
                sale(f"a{number}", at, receipt_id=f"R{number // 2}", quantity="2.5"),
                sale(f"b{number}", at, receipt_id=f"R{number // 2}", unit_price="0.25"),
                sale(f"c{number}", at, store="north", quantity="-1", line_type="return"),
            ]
            bus.append([entry(*batch), entry(batch[0], codec="arrow")])
            carry(stream, bus)
        counts = stream.windows
    assert hours(lake) == [
        ("main", 9, 1, 4, "7.000", "5.5000"),
        ("main", 10, 2, 6, "10.500", "8.2500"),
        ("main", 11, 1, 2, "3.500", "2.7500"),
        ("north", 9, 1, 2, "-2.000", "-2.0000"),
        ("north", 10, 1, 3, "-3.000", "-3.0000"),
        ("north", 11, 1, 1, "-1.000", "-1.0000"),
    ]
    assert (counts.given, counts.computed) == (12, 0)


def test_windows_that_flink_cannot_know_are_mended_from_the_tables(
    cluster: Cluster, lake: Lake, bus: Bus
) -> None:
    """(given, computed) after each batch."""
    told: list[tuple[int, int]] = []

    def carried(stream: FlinkProcessor, *batch: Sale) -> None:
        before = stream.windows
        bus.append([entry(*batch)])
        carry(stream, bus)
        now = stream.windows
        told.append((now.given - before.given, now.computed - before.computed))

    with closing(cluster.stream(lake.root, bus)) as stream:
        carried(stream, sale("a"), sale("b", NINE + HOUR))
        # The same event in another hour: silver has it, for Flink it is a new one there.
        carried(stream, sale("a", NINE + HOUR), sale("c", NINE + HOUR))
        carried(stream, sale("d", NINE + 40 * 24 * HOUR))
        time.sleep(1.0)  # Flink's watermark follows
        # Flink's window of nine o'clock has ended, with its allowed lateness.
        carried(stream, sale("e", NINE))
    with closing(cluster.stream(lake.root, bus)) as stream:  # a new job knows no rows of before
        carried(stream, sale("f", NINE + 40 * 24 * HOUR), sale("g", NINE + 41 * 24 * HOUR))
        carried(stream, sale("h", NINE + 41 * 24 * HOUR))
    assert told == [(2, 0), (0, 1), (1, 0), (0, 1), (1, 1), (1, 0)]
    assert hours(lake) == [
        ("main", 9, 1, 2, "2.000", "2.0000"),
        ("main", 10, 1, 2, "2.000", "2.0000"),
        ("main", 9 + 40 * 24, 1, 2, "2.000", "2.0000"),
        ("main", 9 + 41 * 24, 1, 2, "2.000", "2.0000"),
    ]


def traffic(bus: Bus, numbers: range) -> None:
    """Of ten hours of two shops, with repeats, returns, bad rows, and what comes days late."""
    for number in numbers:
        at = NINE + number * timedelta(minutes=2)
        batch = [
            sale(
                f"{number}-{i}", at + i * timedelta(seconds=7), receipt_id=f"{number}-{i // 3}",
                store="north" if i % 3 else "main", unit_price=f"{i}.37",
                quantity="-1" if i % 7 == 6 else "1.5",
                line_type="return" if i % 7 == 6 else "sale",
            )
            for i in range(20)
        ]  # fmt: skip
        if number % 10 == 9:
            batch.append(sale(f"{number - 9}-0", at, store="north"))
        if number % 40 == 39:
            batch.append(sale(f"late-{number}", NINE - 3 * 24 * HOUR))
        bus.append([entry(*batch)])
        if number % 50 == 49:
            bus.append([Entry("sale", "json", 1, b"{")])
        time.sleep(0.02)


def test_windows_over_a_killed_taskmanager_are_those_of_the_embedded_processor(
    cluster: Cluster, lake: Lake, bus: Bus, tmp_path: Path
) -> None:
    writer = threading.Thread(target=traffic, args=(bus, range(150, 300)))
    given: list[int] = []

    with closing(cluster.stream(lake.root, bus)) as stream:

        def kill(_: int) -> None:
            if not given and bus.end().offset > 230:
                given.append(stream.windows.given)
                os.kill(cluster.keeper.pids["taskmanager"], signal.SIGKILL)

        traffic(bus, range(150))
        persist(stream, bus, lambda _: None)
        writer.start()
        persist(stream, bus, kill)
        writer.join()
        persist(stream, bus, kill)
        counts = stream.windows
    assert 0 < given[0] < counts.given
    assert counts.computed > 0
    alone = Lake(tmp_path / "alone" / "lake")
    with closing(embedded(alone.root, bus, cluster)) as stream:
        carry(stream, bus)
    for name in ("silver.sale", "silver.sale_window_hour", "bronze.sale", "silver.dead_letter"):
        columns = [c for c in alone.dataset(name).schema.names if c != "ingested_at"]
        assert rows(lake, name, *columns) == rows(alone, name, *columns)
    # Ten hours and the late one of two days before, by hand: 300 entries of 20, seven of them late.
    found = hours(lake)
    assert sum(lines for _, _, _, lines, _, _ in found) == 300 * 20 + 7
    assert [(store, hour) for store, hour, *_ in found if hour < 9] == [("main", 9 - 72)]


# -- faults ----------------------------------------------------------------------------------------


def replay(bus: Bus) -> None:
    """ENTRIES x SALES sales, every tenth sent twice."""
    for number in range(ENTRIES):
        own = [f"{number}-{i}" for i in range(SALES)]
        repeated = [f"{number - 1}-{i}" for i in range(0, SALES, 10)] if number else []
        bus.append([entry(*[sale(name, receipt_id=name) for name in [*own, *repeated]])])


def check(lake: Lake) -> None:
    total = ENTRIES * SALES
    found = [name for (name,) in rows(lake, "silver.sale", "event_id")]
    assert len(found) == len(set(found)) == total
    bronze = rows(lake, "bronze.sale", "event_id")
    assert len(bronze) == total + (ENTRIES - 1) * (SALES // 10)
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


def test_an_upgrade_ends_the_old_job(
    cluster: Cluster, lake: Lake, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was killed left its job; the new version's replaces it from the lake's offset
    on."""
    bus.append([entry(sale("a"))])
    with (
        closing(cluster.stream(lake.root, bus)) as old,
        closing(FlinkRest(cluster.config().url)) as rest,
    ):
        carry(old, bus)  # and is never heard of again
        before = old.job
        assert before is not None
        assert rest.state(before) == "RUNNING"
        monkeypatch.setattr(job_code, "fingerprint", lambda: "of another version")
        bus.append([entry(sale("b"), sale("a"))])
        with closing(cluster.stream(lake.root, bus)) as new:
            carry(new, bus)
            assert new.job != before
            assert list(rest.jobs()) == [new.job]
        assert rest.state(before) == "CANCELED"
    assert rows(lake, "silver.sale", "event_id", "_offset") == [("a", 0), ("b", 1)]
    assert hours(lake) == [("main", 9, 1, 2, "2.000", "2.0000")]


def test_a_killed_worker_finds_its_job_again(
    cluster: Cluster, lake: Lake, bus: Bus, tmp_path: Path
) -> None:
    """kill -9 three times in the middle; the job goes on and is handed in once."""
    topic = cluster.open_buses[-1].topic()
    writer = threading.Thread(target=replay, args=(bus,))
    writer.start()
    command = [
        sys.executable, str(Path(__file__).with_name("_killed_stream.py")), str(tmp_path),
        str(cluster.software_dir), str(cluster.root), topic.bootstrap_servers, topic.name,
        cluster.config().url,
    ]  # fmt: skip
    jobs = set()
    for _ in range(3):
        before = carried_offset(lake)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            jobs.add(process.stdout.readline().strip())
            until = time.monotonic() + PATIENCE
            while carried_offset(lake) == before and time.monotonic() < until:
                time.sleep(0.02)
            process.kill()
        if carried_offset(lake) == bus.end().offset and not writer.is_alive():
            break
    assert len(jobs) == 1
    writer.join()
    with closing(cluster.stream(lake.root, bus)) as stream:
        persist(stream, bus, lambda _: None)
    check(lake)
