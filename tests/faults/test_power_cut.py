"""What a power cut leaves behind: nothing acknowledged is lost, nothing is there twice.

The cuts are simulated at the file level: bytes that the disk had not confirmed are taken away.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from retaild.runtime.mending import BrokenTableError
from retaild.runtime.state import State
from retaild.testing.stream import rows

from .conftest import Shop

TABLES = ("silver.sale", "bronze.sale", "bronze.progress", "silver.sale_window_hour")


def damaged(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*damaged*"))


@pytest.mark.parametrize("torn", [0.0, 0.5])
@pytest.mark.parametrize("table", TABLES)
def test_a_half_written_commit_is_set_aside_and_written_again(
    shop: Shop, table: str, torn: float
) -> None:
    last = shop.commits(table)[-1]
    os.truncate(last, int(last.stat().st_size * torn))
    shop.sell("c")
    shop.carry()
    assert shop.sold() == ["a", "b", "c"]
    assert len(shop.lake.dataset("bronze.sale").to_table()) == 3
    assert rows(shop.lake, "silver.sale_window_hour", "lines") == [(3,)]
    assert any(name.startswith(last.name) for name in damaged(shop.data.lake))


@pytest.mark.parametrize("table", ["silver.sale", "bronze.sale"])
def test_a_commit_ahead_of_its_data_file_is_set_aside(shop: Shop, table: str) -> None:
    """The commit reached the disk, the rows did not: the file is shorter than the commit says."""
    last = shop.commits(table)[-1]
    added = [json.loads(line)["add"]["path"] for line in last.read_text().splitlines()
             if "add" in json.loads(line)]  # fmt: skip
    file = shop.lake.path(table) / added[0]
    os.truncate(file, file.stat().st_size // 2)
    shop.sell("c")
    shop.carry()
    assert shop.sold() == ["a", "b", "c"]
    assert len(shop.lake.dataset("bronze.sale").to_table()) == 3


def test_a_data_file_that_never_arrived(shop: Shop) -> None:
    for path in shop.lake.path("silver.sale").glob("*.parquet"):
        newest = max(
            shop.lake.path("silver.sale").glob("*.parquet"), key=lambda p: p.stat().st_mtime
        )
        if path == newest:
            path.unlink()
    shop.carry()
    assert shop.sold() == ["a", "b"]


def test_a_whole_lake_is_left_alone(shop: Shop) -> None:
    before = {path: path.stat().st_mtime_ns for path in shop.data.lake.rglob("*") if path.is_file()}
    shop.carry()
    assert {p: p.stat().st_mtime_ns for p in shop.data.lake.rglob("*") if p.is_file()} == before


def test_compaction_and_vacuum_are_no_damage(shop: Shop) -> None:
    shop.lake.compact("silver.sale", 0)
    shop.sell("c")
    shop.carry()
    assert shop.sold() == ["a", "b", "c"]
    assert damaged(shop.data.lake) == []


def test_what_the_log_no_longer_holds_is_refused_with_file_and_remedy(shop: Shop) -> None:
    """Two days old: rolling the table back would lose rows, so nothing is touched."""
    last = shop.commits("silver.sale")[-1]
    os.truncate(last, 10)
    long_ago = time.time() - 48 * 3600
    os.utime(last, (long_ago, long_ago))
    with pytest.raises(
        BrokenTableError, match=rf"silver\.sale is damaged: .*{last.name}"
    ) as caught:
        shop.carry()
    assert "backup" in caught.value.hint
    assert damaged(shop.data.lake) == []


def test_the_unsynced_tail_of_the_log_was_never_acknowledged(shop: Shop) -> None:
    """A torn record behind the confirmed end: cut off; what was confirmed is all there."""
    end = shop.sell("c")
    (segment,) = shop.data.log.glob("*.log")
    with segment.open("ab") as file:
        file.write(segment.read_bytes()[:100])
    shop.carry()
    assert shop.sold() == ["a", "b", "c"]
    assert shop.sell("d").offset == end.offset + 1


def test_the_end_marker_did_not_survive(shop: Shop) -> None:
    shop.sell("c")
    (shop.data.log / "end").write_bytes(bytes(36))
    shop.sell("d")
    shop.carry()
    assert shop.sold() == ["a", "b", "c", "d"]


def test_a_disk_that_lied_about_its_sync(shop: Shop) -> None:
    """Confirmed bytes are missing all the same: said, left out, and their offsets not reused."""
    shop.sell("lost")
    (segment,) = shop.data.log.glob("*.log")
    os.truncate(segment, segment.stat().st_size - 40)
    shop.sell("d")
    shop.carry()
    assert shop.sold() == ["a", "b", "d"]


def test_a_torn_write_ahead_log_keeps_what_was_committed_before(tmp_path: Path) -> None:
    """sqlite's own checksums end the WAL at the torn frame."""
    source = tmp_path / "live" / "state.db"
    state = State(source)
    state.save_source_position("tills", {"row": 1})
    state._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    state.save_source_position("tills", {"row": 2})
    whole = (source.parent / "state.db-wal").stat().st_size
    state.save_source_position("tills", {"row": 3})
    copy = tmp_path / "after" / "state.db"  # as it is on disk at the cut
    copy.parent.mkdir()
    for name in ("state.db", "state.db-wal"):
        shutil.copyfile(source.parent / name, copy.parent / name)
    state.close()
    torn = whole + ((copy.parent / "state.db-wal").stat().st_size - whole) // 2
    os.truncate(copy.parent / "state.db-wal", torn)
    again = State(copy)
    assert again.source_position("tills") == {"row": 2}
    again.save_source_position("tills", {"row": 4})
    again.close()
    with sqlite3.connect(copy) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
