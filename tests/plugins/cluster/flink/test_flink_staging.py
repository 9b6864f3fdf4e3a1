"""What lies between Flink and the lake: files in the order of the log, taken once. No Flink."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from retaild_plugins.cluster.flink import plugin, staging
from retaild_plugins.cluster.flink.config import FlinkServiceConfig, FlinkStreamConfig
from retaild_plugins.cluster.flink.staged import (
    COLUMN,
    Staged,
    StagedWindows,
    packed,
    packed_windows,
    unpacked,
)
from retaild_plugins.cluster.flink.staging import GapError, Staging

from retaild.api import Entry, LogEntry
from retaild.pipeline.carry.carrier import Piece
from retaild.pipeline.entries import decode
from retaild.pipeline.streams import OFFSET, stream_pipelines
from retaild.pipeline.window_values import WindowValue
from retaild.testing.stream import entry, sale


def logged(first: int, *entries: Entry) -> list[LogEntry]:
    return [LogEntry(first + n, 10 * (first + n), 1e9 + n, e) for n, e in enumerate(entries)]


def stage(folder: Path, number: int, *pieces: list[LogEntry]) -> Path:
    path = folder / f"part-0f7e-0-{number}"
    pq.write_table(pa.table({COLUMN: pa.array([packed(p) for p in pieces], pa.binary())}), path)
    return path


def offsets(piece: Piece | None) -> list[int]:
    assert piece is not None
    return list(piece.batch.tables["sale"][OFFSET].to_pylist())


def test_events_and_letters_come_through_unchanged() -> None:
    entries = logged(
        7, entry(sale("a"), sale("b", quantity="0.333")), Entry("sale", "json", 1, b"\xff{"),
        entry(sale("c"), codec="arrow"), Entry("weather", "json", 1, b"{}"),
    )  # fmt: skip
    staged, expected = unpacked(packed(entries)), decode(entries)
    assert isinstance(staged, Staged)
    assert (staged.first, staged.until, staged.rows) == (7, 11, 101)
    assert staged.batch.tables == expected.tables
    assert staged.batch.letters == expected.letters
    assert len(expected.letters) == 2


VALUE = WindowValue(("main",), -3_600_000_000, 3, 2**64 - 1, ("1", None, "-0.5000"))


def test_a_windows_value_comes_through_unchanged() -> None:
    assert unpacked(packed_windows("sale", [VALUE, VALUE])) == StagedWindows("sale", [VALUE, VALUE])


def test_windows_come_with_the_rows_of_their_file(tmp_path: Path) -> None:
    other = WindowValue(("north",), 0, 1, 7, ("1", "1", "1"))
    for number, value in enumerate([VALUE, other]):
        contents = [packed(logged(number, entry(sale("a")))), packed_windows("sale", [value])]
        table = pa.table({COLUMN: pa.array(contents, pa.binary())})
        pq.write_table(table, tmp_path / f"part-0f7e-0-{number}")
    files = Staging(tmp_path, 0)
    first, second = files.take(0, 1), files.take(1, 1)
    assert first is not None
    assert second is not None
    assert (offsets(first), first.windows) == ([0], {"sale": [VALUE]})
    assert (offsets(second), second.windows) == ([1], {"sale": [other]})


def test_files_are_taken_in_the_order_of_the_log(tmp_path: Path) -> None:
    for number in (10, 9, 2):  # by number, not by name
        stage(tmp_path, number, logged(number, entry(sale(f"e{number}"))))
    stage(tmp_path, 3, *[logged(n, entry(sale(f"e{n}"))) for n in range(3, 9)])
    (tmp_path / ".part-0f7e-0-11.inprogress").write_bytes(b"not yet")
    files = Staging(tmp_path, 2)
    piece = files.take(2, 1_000)
    assert offsets(piece) == list(range(2, 11))
    assert piece is not None
    assert piece.until == 11
    assert files.take(11, 1_000) is None


def test_about_as_many_rows_as_asked_for(tmp_path: Path) -> None:
    for number in range(4):
        stage(tmp_path, number, logged(number, entry(sale("a"), sale("b"))))
    files = Staging(tmp_path, 0)
    assert offsets(files.take(0, 3)) == [0, 0, 1, 1]
    assert offsets(files.take(2, 3)) == [2, 2, 3, 3]


def test_what_the_lake_has_is_left_out(tmp_path: Path) -> None:
    """A job that was handed in anew reads from the last whole commit on."""
    stage(tmp_path, 0, logged(0, entry(sale("a")), entry(sale("b")), Entry("sale", "json", 1, b"{"),
                              entry(sale("c"))))  # fmt: skip
    piece = Staging(tmp_path, 0).take(3, 1_000)
    assert offsets(piece) == [3]
    assert piece is not None
    assert piece.batch.letters == []


def test_files_are_removed_once_all_tables_have_them(tmp_path: Path) -> None:
    first = stage(tmp_path, 0, logged(0, entry(sale("a")), entry(sale("b"))))
    second = stage(tmp_path, 1, logged(2, entry(sale("c"))))
    files = Staging(tmp_path, 0)
    files.take(0, 1_000)
    files.forget(1)
    assert first.exists()
    files.forget(2)
    assert (first.exists(), second.exists()) == (False, True)
    assert offsets(files.take(2, 1_000)) == [2]  # as after a step that failed


def test_a_gap_that_stays_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(tmp_path, 0, logged(0, entry(sale("a"))))
    stage(tmp_path, 2, logged(2, entry(sale("c"))))
    files = Staging(tmp_path, 0)
    piece = files.take(0, 1_000)
    assert offsets(piece) == [0]
    assert files.take(1, 1_000) is None  # its file may come yet
    monkeypatch.setattr(staging, "_GAP_SECONDS", -1.0)
    with pytest.raises(GapError, match="entries 1 to 1"):
        files.take(1, 1_000)
    stage(tmp_path, 1, logged(1, entry(sale("b"))))
    assert offsets(files.take(1, 1_000)) == [1, 2]


def test_what_the_broker_no_longer_hands_out_does_not_stop_a_new_job(tmp_path: Path) -> None:
    """A record without a value, by a stranger: Flink leaves it out."""
    stage(tmp_path, 0, logged(6, entry(sale("a"))))
    assert offsets(Staging(tmp_path, 5).take(5, 1_000)) == [6]


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing", b"x" * 100])
def test_a_torn_file_is_read_from_the_log_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "part-0f7e-0-0").write_bytes(content)
    with pytest.raises(GapError, match="cannot be read"):
        Staging(tmp_path, 0).take(0, 1_000)


def test_it_can_lower_every_step_of_the_pipelines() -> None:
    (spec,) = plugin.retaild_stream_processors()
    for pipeline in stream_pipelines().values():
        assert pipeline.step_names() <= spec.supports


def test_the_sample_is_a_working_configuration() -> None:
    sample = tomllib.loads(Path(plugin.__file__).with_name("sample.toml").read_text())
    for own, config in ((sample["service"]["flink"], FlinkServiceConfig),
                        (sample["stream"], FlinkStreamConfig)):  # fmt: skip
        assert own.pop("plugin") == "flink"
        assert config.model_validate(own) == config()
