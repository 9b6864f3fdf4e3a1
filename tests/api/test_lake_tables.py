"""Writing and reading the lake, now and as it was; its upkeep beside writers."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from retaild.api import Lake
from retaild.api.lake import NoTableError, NoVersionError
from retaild.runtime import lake_views


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def numbers(*values: int) -> pa.Table:
    texts = pa.array([f"t{value}" for value in values], pa.string())
    return pa.table({"n": pa.array(values, pa.int64()), "text": texts})


def content(lake: Lake, name: str = "silver.x", version: int | datetime | None = None) -> list[int]:
    return sorted(lake.dataset(name, version).to_table()["n"].to_pylist())


def test_a_table_that_is_not_there(lake: Lake) -> None:
    assert lake.names() == []
    assert not lake.exists("silver.x")
    assert lake.committed("silver.x", "app") is None
    with pytest.raises(NoTableError, match=r"'silver\.x'"):
        lake.table("silver.x")


def test_a_creation_that_was_cut_short_is_not_a_table(lake: Lake) -> None:
    (lake.path("silver.x") / "_delta_log").mkdir(parents=True)
    assert lake.names() == []
    lake.append("silver.x", numbers(1))
    assert lake.names() == ["silver.x"]


def test_rows_and_offset_are_committed_together(lake: Lake) -> None:
    lake.append("silver.x", numbers(1), app_id="app", offset=7)
    lake.append("silver.x", numbers(2), app_id="other", offset=3)
    lake.append("silver.x", numbers(3))
    assert (lake.committed("silver.x", "app"), lake.committed("silver.x", "other")) == (7, 3)
    assert content(lake) == [1, 2, 3]


def test_a_mark_commits_an_offset_alone(lake: Lake) -> None:
    table = lake.create("bronze.m", pa.schema([("offset", pa.int64())]))
    for offset in (5, 6, 7):
        lake.mark(table, "app", offset)
    assert lake.committed("bronze.m", "app") == 7
    assert lake.dataset("bronze.m").count_rows() == 0


def test_a_handle_of_the_table_follows_other_writers(lake: Lake) -> None:
    handle = lake.create("silver.x", numbers().schema)
    lake.append("silver.x", numbers(1), table=handle)
    lake.append("silver.x", numbers(2))
    lake.append("silver.x", numbers(3), table=handle)
    assert content(lake) == [1, 2, 3]


def test_old_versions_stay_readable(lake: Lake) -> None:
    lake.append("silver.x", numbers(1, 2))
    between = datetime.now(UTC)
    assert lake.overwrite("silver.x", numbers(3)) == 1
    assert content(lake) == [3]
    assert content(lake, version=0) == [1, 2]
    assert content(lake, version=between) == [1, 2]
    with pytest.raises(NoVersionError, match="as of 9"):
        lake.dataset("silver.x", 9)


def test_replace_touches_what_it_names(lake: Lake) -> None:
    lake.append("silver.x", numbers(1, 2, 3))
    lake.replace("silver.x", numbers(3), "n IN (2, 3)", app_id="app", offset=1)
    assert content(lake) == [1, 3]
    assert lake.committed("silver.x", "app") == 1


def test_columns_that_are_missing_are_added(lake: Lake) -> None:
    lake.append("silver.x", numbers(1))
    lake.create("silver.x", numbers().schema.append(pa.field("more", pa.int64(), nullable=False)))
    lake.append("silver.x", numbers(2).append_column("more", pa.array([5])))
    rows = lake.dataset("silver.x").to_table().sort_by("n").to_pylist()
    assert [row["more"] for row in rows] == [None, 5]


def test_filters_find_rows_whatever_the_column(lake: Lake) -> None:
    """deltalake's dataset skips files by bounds; a column without them would hide its rows."""
    lake.append("silver.x", numbers(1, 2).append_column("raw", pa.array([b"a", b"b"])))
    for column, value in (("n", 1), ("text", "t1")):
        found = lake.dataset("silver.x").to_table(filter=pc.field(column) == value)
        assert found["n"].to_pylist() == [1]


def test_delete_says_how_many(lake: Lake) -> None:
    lake.append("silver.x", numbers(1, 2, 3))
    assert lake.delete("silver.x", "n >= 2") == 2
    assert content(lake) == [1]


def test_compaction_keeps_rows_offsets_and_recent_versions(lake: Lake) -> None:
    for n in range(12):
        lake.append("silver.x", numbers(n), app_id="app", offset=n)
    result = lake.compact("silver.x", keep_hours=1)
    assert (result["files_added"], result["files_removed"], result["files_deleted"]) == (1, 12, 0)
    assert content(lake) == list(range(12))
    assert content(lake, version=4) == [0, 1, 2, 3, 4]
    assert lake.committed("silver.x", "app") == 11


def test_vacuum_removes_files_that_no_version_needs(lake: Lake) -> None:
    for n in range(3):
        lake.append("silver.x", numbers(n), app_id="app", offset=n)
    orphan = lake.path("silver.x") / "part-of-a-killed-writer.parquet"
    orphan.write_bytes(b"PAR1")
    lake.compact("silver.x", keep_hours=0)
    assert not orphan.exists()
    assert len(list(lake.path("silver.x").glob("*.parquet"))) == 1
    assert content(lake) == [0, 1, 2]
    assert lake.committed("silver.x", "app") == 2
    lake.append("silver.x", numbers(3), app_id="app", offset=3)
    assert content(lake) == [0, 1, 2, 3]


def _append(root: Path, first: int, count: int) -> None:
    for n in range(first, first + count):
        Lake(root).append("silver.x", numbers(n))


def test_compaction_beside_writers_loses_nothing(lake: Lake) -> None:
    lake.append("silver.x", numbers(0))
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_append, args=(lake.root, 100 * k, 15)) for k in (1, 2)]
    for writer in writers:
        writer.start()
    rounds = 0
    while any(writer.is_alive() for writer in writers) or rounds == 0:
        lake.compact("silver.x", keep_hours=1)
        rounds += 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert content(lake) == [0, *range(100, 115), *range(200, 215)]


# -- what people see ---------------------------------------------------------------------------


def test_facts_of_tables(lake: Lake) -> None:
    before = datetime.now(UTC).timestamp()
    lake.append("silver.x", numbers(1, 2))
    lake.append("silver.x", numbers(3))
    lake.append("gold.y", numbers(1))
    gold, silver = lake_views.tables(lake)
    assert (gold.name, gold.rows, gold.version) == ("gold.y", 1, 0)
    assert (silver.rows, silver.files, silver.version) == (3, 2, 1)
    files = lake.path("silver.x").glob("*.parquet")
    assert silver.bytes == sum(file.stat().st_size for file in files)
    assert silver.updated is not None
    assert abs(silver.updated - before) < 60


def test_show_rows_as_they_were(lake: Lake) -> None:
    lake.append("silver.x", numbers(1, 2, 3))
    lake.append("silver.x", numbers(4))
    now = lake_views.show(lake, "silver.x", limit=2)
    assert (now.total, len(now.rows), now.version) == (4, 2, 1)
    old = lake_views.show(lake, "silver.x", version=0, where="n > 1 AND text <> 't3'")
    assert (old.rows, old.total, old.version) == ([{"n": 2, "text": "t2"}], 1, 0)
    past = datetime.now(UTC) + timedelta(minutes=1)
    assert lake_views.show(lake, "silver.x", version=past).total == 4


@pytest.mark.parametrize(
    "where",
    ["nothing > 1", "1 = 1; DROP TABLE x", "n IN (SELECT 1 FROM read_text('/etc/hostname'))"],
)
def test_a_condition_that_is_none(lake: Lake, where: str) -> None:
    lake.append("silver.x", numbers(1))
    with pytest.raises(lake_views.BadConditionError):
        lake_views.show(lake, "silver.x", where=where)


def test_history(lake: Lake) -> None:
    lake.append("silver.x", numbers(1, 2))
    lake.overwrite("silver.x", numbers(3))
    newest, oldest = lake_views.history(lake, "silver.x")
    assert (newest.version, newest.rows_added, newest.files_removed) == (1, 1, 1)
    assert (oldest.version, oldest.rows_added, oldest.operation) == (0, 2, "WRITE")
    assert newest.parameters["mode"] == "Overwrite"
    assert [version.version for version in lake_views.history(lake, "silver.x", 1)] == [1]
