"""The embedded log against the conformance suite, killed writers and damaged disks."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retaild_plugins.buses.embedded import plugin
from retaild_plugins.buses.embedded.config import EmbeddedLogConfig
from retaild_plugins.buses.embedded.log import EmbeddedLog

from retaild.api import Entry
from retaild.pipeline.filelog import EntryTooLargeError, LogFullError
from retaild.pipeline.filelog import log as log_module
from retaild.testing.bus import BusConformance, BusFactory, entry, read_all

SMALL = EmbeddedLogConfig(segment_bytes=16 * 1024)


def opened(directory: Path, config: EmbeddedLogConfig = SMALL) -> EmbeddedLog:
    log = EmbeddedLog(config, directory)
    log.open()
    return log


def newest_segment(directory: Path) -> Path:
    return max(directory.glob("*.log"))


class TestConformance(BusConformance):
    @pytest.fixture
    def bus_factory(self, tmp_path: Path) -> BusFactory:
        return lambda: EmbeddedLog(SMALL, tmp_path)


def test_the_sample_is_a_valid_configuration() -> None:
    (spec,) = plugin.retaild_buses()
    sample = tomllib.loads((Path(plugin.__file__).parent / "sample.toml").read_text())["bus"]
    assert sample.pop("plugin") == spec.name
    spec.config.model_validate(sample)


def test_a_torn_last_record_is_cut_off_and_its_place_used_again(tmp_path: Path) -> None:
    """Power cut in the middle of a write: part of a frame lies behind the published end."""
    log = opened(tmp_path)
    log.append([entry("a"), entry("b")])
    log.close()
    with newest_segment(tmp_path).open("ab") as file:
        file.write(b"RLF1\x10\x00\x00\x00half of a frame")
    log = opened(tmp_path)
    log.append([entry("c")])
    assert [e.entry for e in read_all(log)] == [entry("a"), entry("b"), entry("c")]
    log.close()


def test_a_written_record_that_was_not_published_is_kept_whole(tmp_path: Path) -> None:
    """The writer died between the disk's answer and the marker: the entry counts, once."""
    log = opened(tmp_path)
    log.append([entry("a")])
    marker = (tmp_path / "end").read_bytes()
    log.append([entry("b")])
    log.close()
    (tmp_path / "end").write_bytes(marker)
    log = opened(tmp_path)
    assert [e.entry for e in read_all(log)] == [entry("a"), entry("b")]
    log.close()


@pytest.mark.parametrize("marker", [b"", b"\0" * 36, b"rubbish" * 6], ids=["gone", "zero", "torn"])
def test_a_lost_end_marker_is_made_again_from_the_segments(tmp_path: Path, marker: bytes) -> None:
    log = opened(tmp_path)
    for i in range(60):  # several segments
        log.append([Entry("sale", "json", 2, b"%d" % i + b" " * 1000)])
    log.close()
    (tmp_path / "end").write_bytes(marker)
    log = opened(tmp_path)
    assert (log.end().offset, log.end().rows) == (60, 120)
    assert log.append([entry("c")]).offset == 61
    log.close()


def test_offsets_are_not_given_out_again_when_the_disk_loses_confirmed_bytes(
    tmp_path: Path,
) -> None:
    """A reader may have committed offset 3 already; the next entry must come after it."""
    log = opened(tmp_path)
    log.append([entry(t) for t in "abc"])
    log.close()
    segment = newest_segment(tmp_path)
    os.truncate(segment, segment.stat().st_size // 2)
    log = opened(tmp_path)
    log.append([entry("d")])
    assert [(e.offset, e.entry) for e in read_all(log)] == [(0, entry("a")), (3, entry("d"))]
    assert [e.offset for e in read_all(log, 1)] == [3]
    log.close()


def test_a_flipped_bit_costs_one_entry_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened(tmp_path)
    log.append([entry("a"), entry("b"), entry("c")])
    log.close()
    segment = newest_segment(tmp_path)
    data = bytearray(segment.read_bytes())
    data[data.index(b'"b"') + 1] ^= 1
    segment.write_bytes(data)
    log = opened(tmp_path)
    assert [(e.offset, e.entry) for e in read_all(log)] == [(0, entry("a")), (2, entry("c"))]
    assert [e.offset for e in log.read(1)] == [2]
    assert "entries 1 to 1 cannot be read" in caplog.text
    assert segment.with_name(f"{segment.name}.damaged").read_bytes() == data
    log.append([entry("d")])
    assert [e.offset for e in read_all(log)] == [0, 2, 3]
    log.close()


def test_an_entry_over_the_limit_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(EntryTooLargeError, match="70000 rows"):
        log.append([entry("a"), Entry("sale", "json", 70_000, b"{}")])
    assert log.end().offset == 0
    log.close()


def test_a_full_disk_refuses_the_event_and_keeps_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file-size limit stands in for the full disk: pwrite writes a part, then fails."""
    log = opened(tmp_path)
    log.append([entry("a")])
    real_pwrite = os.pwrite

    def short_then_full(descriptor: int, data: memoryview, position: int) -> int:
        if position > 200:
            raise OSError(28, "No space left on device")
        return real_pwrite(descriptor, data[:150], position)

    monkeypatch.setattr(log_module.os, "pwrite", short_then_full)
    with pytest.raises(LogFullError, match="full"):
        log.append([Entry("sale", "json", 1, b" " * 1000)])
    monkeypatch.undo()
    log.append([entry("b")])
    assert [e.entry for e in read_all(log)] == [entry("a"), entry("b")]
    log.close()


def test_a_full_disk_at_the_start_of_a_segment_loses_nothing_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path, EmbeddedLogConfig(segment_bytes=1024))
    log.append([Entry("sale", "json", 1, b" " * 2000)])  # the next one opens a segment

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_module.os, "pwrite", full)
    with pytest.raises(LogFullError):
        log.append([entry("a")])
    monkeypatch.undo()
    log.append([entry("b")])
    log.close()
    log = opened(tmp_path)
    assert [e.entry for e in read_all(log)][1:] == [entry("b")]
    log.close()


WRITER = """
import sys
from pathlib import Path
from retaild.api import Entry
from retaild_plugins.buses.embedded.config import EmbeddedLogConfig
from retaild_plugins.buses.embedded.log import EmbeddedLog
log = EmbeddedLog(EmbeddedLogConfig(segment_bytes=8192), Path(sys.argv[1])); log.open()
i = 0
while True:
    log.append([Entry("sale", "json", 1, b"%s-%d" % (sys.argv[2].encode(), i)) for i in (i, i + 1)])
    i += 2
    print(i, flush=True)
"""


def test_killed_writers_lose_nothing_they_had_acknowledged(tmp_path: Path) -> None:
    """Two processes write side by side; each is killed with SIGKILL, 10 times over."""
    acknowledged: dict[str, int] = {}
    for kill in range(10):
        writers = {f"{kill}{w}": _writer(tmp_path, f"{kill}{w}") for w in "xy"}
        for name, process in writers.items():
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.Random(kill).random() * 0.03)
            process.send_signal(signal.SIGKILL)
            lines = process.stdout.read().split()
            acknowledged[name] = int(lines[-1]) if lines else 2
            process.stdout.close()
            process.wait()
    log = opened(tmp_path)
    found = read_all(log)
    log.close()
    assert [e.offset for e in found] == list(range(len(found)))
    payloads = [e.entry.payload.decode() for e in found]
    assert len(set(payloads)) == len(payloads)
    for name, count in acknowledged.items():
        assert {f"{name}-{i}" for i in range(count)} <= set(payloads)


def _writer(directory: Path, name: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), name],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_garbage_ends_the_file_the_log_opens_with_a_prefix(data: st.DataObject) -> None:
    """Cut or overwrite the end of the last segment at any place: never a wrong entry."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        log = opened(directory)
        texts = data.draw(st.lists(st.binary(max_size=300), min_size=1, max_size=20))
        entries = [Entry("sale", "json", 1, text) for text in texts]
        log.append(entries)
        log.close()
        segment = newest_segment(directory)
        whole = segment.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        segment.write_bytes(whole[:cut] + data.draw(st.binary(max_size=64)))
        (directory / "end").unlink()
        log = opened(directory)
        found = [e.entry for e in read_all(log)]
        log.append([entry("after")])
        assert [e.entry for e in read_all(log)] == [*found, entry("after")]
        assert found == entries[: len(found)]
        log.close()
