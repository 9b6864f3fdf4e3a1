"""What hostile inputs have broken once: each stays mended."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError
from retaild_plugins.cluster.kafka.message import MessageError, MessageReader
from retaild_plugins.cluster.kafka.record import FOREIGN, log_entry
from retaild_plugins.cluster.kafka.source_config import KafkaSourceConfig

from retaild.api import BuildContext, Entry
from retaild.api.bus import LogEntry
from retaild.events import arrow_schema
from retaild.events.codec import encode_table, to_table
from retaild.events.external import External
from retaild.pipeline.entries import decode
from retaild.runtime.backup.errors import DamagedBackupError, UnsafeArchiveError
from retaild.runtime.backup.reading import visit_files
from tests.hostile.doors import _Message

_AT = datetime(2024, 3, 1, 10, tzinfo=UTC)
_CONTEXT = BuildContext("shop", Path("/nonexistent"), Path("/nonexistent"), "UTC", "EUR")


def _reader(**lines: Any) -> MessageReader:
    settings: dict[str, Any] = {"topic": "shop", "brokers": ["broker:9092"]}
    if lines:
        settings["lines"] = {"family": "external", **lines}
    fields = KafkaSourceConfig.model_fields
    given = {name: value for name, value in settings.items() if name in fields}
    return MessageReader(KafkaSourceConfig.model_validate(given), _CONTEXT)


def test_a_kafka_message_nested_beyond_any_stack_is_a_dead_letter() -> None:
    with pytest.raises(MessageError, match="no JSON"):
        _reader().events(b"[" * 100_000, _AT)


def test_a_kafka_line_with_an_endless_field_is_a_dead_letter() -> None:
    reader = _reader(columns=["n"], fields={"value": "n"})
    with pytest.raises(MessageError, match="no CSV"):
        reader.events(b"9" * 200_000, _AT)


@pytest.mark.parametrize(
    "changed",
    [{"rows": None}, {"rows_before": None}, {"rows": b"-1"}, {"rows": b"0"},
     {"rows_before": b"9" * 30}, {"codec": None}],
)  # fmt: skip
def test_a_record_with_headers_of_somebody_elses_is_foreign(changed: dict[str, Any]) -> None:
    known: dict[str, Any] = {
        "family": b"sale", "codec": b"json", "rows": b"1", "rows_before": b"40",
    }  # fmt: skip
    ours = log_entry(_Message(list(known.items()), b"{}"), 0, 12)
    assert (ours.entry.family, ours.rows_before) == ("sale", 40)
    found = log_entry(_Message(list({**known, **changed}.items()), b"{}"), 0, 12)
    assert (found.entry.family, found.rows_before) == (FOREIGN, 12)


@pytest.mark.parametrize(("year", "offset"), [(1, 14), (9999, -12)])
def test_a_time_at_the_end_of_the_calendar_is_refused(year: int, offset: int) -> None:
    moment = datetime(1, 1, 1) if year == 1 else datetime(9999, 12, 31, 23)
    text = f"{moment.isoformat()}{'+' if offset > 0 else '-'}{abs(offset):02}:00"
    with pytest.raises(ValidationError, match="out of range"):
        External.model_validate(
            {"event_id": "1", "event_time": text, "source": "s", "topic": "t", "subject": "s"}
        )


def _letters(codec: Any, payload: bytes) -> list[str]:
    batch = decode([LogEntry(0, 0, 1.0, Entry("external", codec, 1, payload))])
    assert not batch.tables
    return [letter.key for letter in batch.letters]


def test_an_entry_whose_texts_lead_out_of_its_memory_is_set_apart() -> None:
    """An offset says that the text ends at byte 1,000,000 of 77."""
    event = External(
        event_id="1", event_time=_AT, source="s", topic="t", subject="s", text="a" * 77
    )  # fmt: skip
    table = to_table([event])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    honest = sink.getvalue().to_pybytes()
    end = struct.pack("<2i", 0, 77)
    place = honest.rindex(end)  # the first one is in the header: where the buffer lies
    wrong = honest[:place] + struct.pack("<2i", 0, 1_000_000) + honest[place + 8 :]
    assert _letters("arrow", wrong) == ["stream.unreadable"]


def test_a_torn_or_endless_entry_is_set_apart() -> None:
    whole = encode_table(arrow_schema("external").empty_table())
    assert _letters("arrow", whole[: len(whole) // 2]) == ["stream.unreadable"]
    assert _letters("json", b"[" * 100_000) == ["stream.unreadable"]


def _archive(path: Path, *members: tarfile.TarInfo, content: int = 0) -> Path:
    """A packed archive; each member's content is `content` zeros."""
    with gzip.open(path, "wb") as file:
        for member in members:
            file.write(member.tobuf(tarfile.GNU_FORMAT))
            file.write(bytes(content))
        file.write(bytes(1024))
    return path


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_unpacks_into_the_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    """Thirty kilobytes on the disk; 32 MiB would be read for the name of a member."""
    member = tarfile.TarInfo("data/x")
    member.type, member.size = kind, 32 << 20
    path = _archive(tmp_path / "bomb.tar.gz", member, content=member.size)
    assert path.stat().st_size < 64 * 1024
    with pytest.raises(DamagedBackupError, match="header of 33,554,432 bytes"):
        visit_files(path, lambda *_: None)


def test_a_file_that_is_mostly_holes_is_refused(tmp_path: Path) -> None:
    """A header of 512 bytes that says: a terabyte of zeros."""
    header = bytearray(tarfile.TarInfo("data/x").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:398], header[398:410] = b"00000000000\0", b"00000000000\0"
    header[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "holes.tar"
    path.write_bytes(bytes(header) + bytes(1024))
    with tarfile.open(path) as tar:
        assert tar.getmembers()[0].size == 1 << 40
    seen = io.BytesIO()
    with pytest.raises(UnsafeArchiveError, match="not a plain file"):
        visit_files(path, lambda _name, source, _size: seen.write(source.read(1)) and None)
    assert not seen.getvalue()


def test_the_far_ends_of_the_calendar_that_fit_are_kept() -> None:
    late = datetime(9999, 12, 31, 22, tzinfo=UTC)
    event = External(event_id="1", event_time=late, source="s", topic="t", subject="s")
    assert event.event_time == late
    assert late + timedelta(hours=1) < datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize("value", ["1e3140", "-1e3140", "NaN", "Infinity"])
def test_a_figure_that_json_cannot_say_is_refused(value: str) -> None:
    """It would be written as null: taken in, and its value lost unsaid."""
    with pytest.raises(ValidationError, match="finite"):
        External(
            event_id="e", event_time=datetime(2026, 3, 2, tzinfo=UTC), source="door", topic="t",
            subject="s", value=value,
        )  # type: ignore[arg-type]  # fmt: skip
