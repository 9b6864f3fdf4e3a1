"""A watched folder and a growing file: what is taken when, and what is remembered."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from retaild_plugins.sources.tabular import position
from retaild_plugins.sources.tabular.folder import Folder, MissingPathError
from retaild_plugins.sources.tabular.source import TabularSource

from retaild.api import SourceBatch

HEADER = "receipt,article,text,pieces,price,time,customer\n"
COLUMNS = {"receipt_id": "receipt", "product_id": "article", "quantity": "pieces",
           "unit_price": "price", "event_time": "time"}  # fmt: skip
NewSource = Callable[..., TabularSource]


def row(receipt: object) -> str:
    return f"{receipt},A,Cup,1,2.50,2024-03-01 10:00,17\n"


def poll_all(source: TabularSource) -> list[SourceBatch]:
    batches = []
    while (batch := source.poll()) is not None:
        batches.append(batch)
        assert len(batches) < 200, "it goes on and on"
    return batches


def receipts(batches: list[SourceBatch]) -> list[str]:
    return [r for b in batches for r in b.events.column("receipt_id").to_pylist()]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


class Watched:
    """A source over the folder that can be stopped and started as the host does."""

    def __init__(self, new_source: NewSource, path: Path, **settings: Any) -> None:
        self._build = lambda: new_source(path, **settings)
        self.position: Any = None
        self.source = self._build()
        self.source.open(None)

    def read(self) -> list[str]:
        batches = poll_all(self.source)
        if batches:
            self.position = json.loads(json.dumps(batches[-1].position))
        self.letters = [letter for batch in batches for letter in batch.dead_letters]
        return receipts(batches)

    def restart(self) -> None:
        self.source.close()
        self.source = self._build()
        self.source.open(self.position)


@pytest.fixture
def watch(new_source: NewSource, inbox: Path) -> Iterator[Callable[..., Watched]]:
    opened: list[Watched] = []

    def build(**settings: Any) -> Watched:
        opened.append(Watched(new_source, inbox, **settings))
        return opened[-1]

    yield build
    for watched in opened:
        watched.source.close()


def test_files_are_taken_in_name_order_and_once(watch: Any, inbox: Path) -> None:
    for name in ("b.csv", "a.csv", "c.txt"):
        (inbox / name).write_text(HEADER + row(name))
    watched = watch(pattern="*.csv")
    assert watched.read() == ["a.csv", "b.csv"]
    assert watched.read() == []
    (inbox / "0.csv").write_text(HEADER + row("new"))
    assert watched.read() == ["new"]
    watched.restart()
    assert watched.read() == []


def test_unfinished_and_hidden_files_and_folders_are_left(watch: Any, inbox: Path) -> None:
    for name in (".a.csv", "a.csv.part", "a.csv.tmp", "a.csv~"):
        (inbox / name).write_text(HEADER + row(1))
    (inbox / "sub.csv").mkdir()
    os.mkfifo(inbox / "pipe.csv")
    assert watch().read() == []


def test_a_file_grows_and_is_read_on(watch: Any, inbox: Path) -> None:
    path = inbox / "a.csv"
    path.write_text(HEADER + row(1))
    watched = watch()
    assert watched.read() == ["1"]
    for turn in (2, 3, 4):
        with path.open("a") as file:
            file.write(row(turn))
        if turn == 3:
            watched.restart()
        assert watched.read() == [str(turn)]


def test_equal_lines_keep_their_numbers_over_growth_and_restart(watch: Any, inbox: Path) -> None:
    path = inbox / "a.csv"
    path.write_text(HEADER + row(1) * 2)
    watched = watch()
    batches = poll_all(watched.source)
    watched.position = batches[-1].position
    watched.restart()
    with path.open("a") as file:
        file.write(row(1))
    batches += poll_all(watched.source)
    ids = [i for batch in batches for i in batch.events.column("event_id").to_pylist()]
    assert [i[32:] for i in ids] == ["", "-2", "-3"]


def test_a_renamed_file_is_known_again(watch: Any, inbox: Path) -> None:
    path = inbox / "a.csv"
    path.write_text(HEADER + row(1))
    watched = watch()
    assert watched.read() == ["1"]
    path.rename(inbox / "a.csv.1")
    (inbox / "a.csv").write_text(HEADER + row(2))
    assert watched.read() == ["2"]
    watched.restart()
    assert watched.read() == []


def test_a_renamed_half_read_file_goes_on(
    watch: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retaild_plugins.sources.tabular import delimited

    monkeypatch.setattr(delimited, "CHUNK_ROWS", 1)
    (inbox / "a.csv").write_text(HEADER + row(1) + row(2) + row(3))
    watched = watch()
    first = watched.source.poll()
    assert receipts([first]) == ["1"]
    watched.position = json.loads(json.dumps(first.position))
    (inbox / "a.csv").rename(inbox / "z.csv")
    watched.restart()
    assert watched.read() == ["2", "3"]


def test_a_file_replaced_under_its_name_is_read_anew(watch: Any, inbox: Path) -> None:
    path = inbox / "a.csv"
    path.write_text(HEADER + row(1) + row(2))
    watched = watch()
    assert watched.read() == ["1", "2"]
    path.write_text(HEADER + row(8) + row(9) + row(10))
    assert watched.read() == ["8", "9", "10"]


def test_a_file_in_writing_is_waited_for(watch: Any, inbox: Path) -> None:
    path = inbox / "a.csv"
    path.write_text(HEADER + row(1)[:9])
    watched = watch(settle_seconds=0.4)
    assert watched.read() == []
    path.write_text(HEADER + row(1) + row(2))
    assert watched.read() == []
    time.sleep(0.5)
    assert watched.read() == ["1", "2"]
    assert watched.letters == []


def test_follow_reads_whole_lines_at_once(watch: Any, inbox: Path) -> None:
    path = inbox / "a.csv"
    path.write_text(HEADER + row(1) + row(2)[:7])
    watched = watch(follow=True, settle_seconds=60)
    assert watched.read() == ["1"]
    with path.open("a") as file:
        file.write(row(2)[7:] + row(3)[:3])
    assert watched.read() == ["2"]
    watched.restart()
    with path.open("a") as file:
        file.write(row(3)[3:])
    assert watched.read() == ["3"]
    assert watched.letters == []


def test_a_link_out_of_the_folder_is_refused(watch: Any, inbox: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(HEADER + row("secret"))
    (inbox / "a.csv").symlink_to(secret)
    (inbox / "b.csv").write_text(HEADER + row(1))
    (inbox / "c.csv").symlink_to(inbox / "b.csv")
    (inbox / "d.csv").symlink_to(inbox / "nowhere")
    watched = watch()
    assert watched.read() == ["1", "1"]
    assert [letter.reason_key for letter in watched.letters] == ["file.outside"]
    assert watched.read() == []


def test_a_broken_file_does_not_stop_the_others(watch: Any, inbox: Path) -> None:
    (inbox / "a.parquet").write_bytes(b"PAR1 and then nothing")
    (inbox / "b.csv").write_text("some,other,columns\n1,2,3\n")
    (inbox / "c.csv").write_text(HEADER + row(1))
    watched = watch()
    assert watched.read() == ["1"]
    assert [letter.reason_key for letter in watched.letters] == ["file.format", "file.columns"]
    watched.restart()
    assert watched.read() == []


def test_a_broken_file_is_tried_again_under_new_settings(
    new_source: NewSource, inbox: Path
) -> None:
    (inbox / "a.csv").write_text(HEADER.replace("article", "sku") + row(1))
    source = new_source(inbox)
    source.open(None)
    (batch,) = poll_all(source)
    assert batch.dead_letters[0].reason_key == "file.columns"
    mended = new_source(inbox, columns={**COLUMNS, "product_id": "sku"})
    mended.open(batch.position)
    assert receipts(poll_all(mended)) == ["1"]
    source.close()
    mended.close()


def test_a_spool_is_emptied_after_the_rows_are_durable(watch: Any, inbox: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (inbox / name).write_text(HEADER + row(name))
    source = watch(delete_finished=True).source
    first, second = source.poll(), source.poll()
    assert (inbox / "a.csv").exists()  # read ahead: the host has written neither yet
    source.confirmed(first.position)
    assert [path.name for path in inbox.iterdir()] == ["b.csv"]
    source.confirmed(second.position)
    assert not any(inbox.iterdir())


def test_a_file_that_grew_before_its_rows_were_durable_is_kept(watch: Any, inbox: Path) -> None:
    (inbox / "a.csv").write_text(HEADER + row(1))
    source = watch(delete_finished=True).source
    first = source.poll()
    with (inbox / "a.csv").open("a") as file:
        file.write(row(2))
    source.confirmed(first.position)
    assert (inbox / "a.csv").exists()
    rest = source.poll()
    assert receipts([rest]) == ["2"]
    source.confirmed(rest.position)
    assert not (inbox / "a.csv").exists()


def test_a_killed_process_leaves_no_finished_file_behind(
    new_source: NewSource, inbox: Path
) -> None:
    (inbox / "a.csv").write_text(HEADER + row(1))
    killed = new_source(inbox, delete_finished=True)
    killed.open(None)
    batch = killed.poll()  # durable, but it never heard of it
    assert batch is not None
    (inbox / "b.csv").write_text(HEADER + row(2))
    again = new_source(inbox, delete_finished=True)
    again.open(batch.position)
    assert [path.name for path in inbox.iterdir()] == ["b.csv"]
    killed.close()
    again.close()


def test_positions_stay_small_over_thousands_of_files(
    watch: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position, "REMEMBERED", 20)
    watched = watch()
    seen: list[str] = []
    for turn in range(6):
        for number in range(20):
            (inbox / f"{turn}-{number:02}.csv").write_text(HEADER + row(f"{turn}-{number:02}"))
        seen += watched.read()
        watched.restart()
    assert len(seen) == len(set(seen)) == 120
    assert len(watched.position["files"]) <= 41
    assert watched.read() == []
    # Those forgotten one by one are still known as read; what comes later is not.
    (inbox / "0-00b.csv").write_text(HEADER + row("late"))
    assert watched.read() == ["late"]


def test_names_are_not_kept(watch: Any, inbox: Path) -> None:
    (inbox / "4111111111111111.csv").write_text(HEADER + row(1))
    watched = watch()
    watched.read()
    assert "4111111111111111" not in json.dumps(watched.position)


def test_a_missing_path_may_come_later(new_source: NewSource, tmp_path: Path) -> None:
    with pytest.raises(MissingPathError) as raised:
        new_source(tmp_path / "later").open(None)
    assert "later cannot be read" in str(raised.value)
    source = new_source(tmp_path / "later.csv")
    with pytest.raises(MissingPathError):
        source.open(None)
    source.close()


def test_a_full_folder_is_not_looked_through_for_each_file(
    watch: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That made a folder of two thousand files take ten a second, and fewer the more there were."""
    for number in range(150):
        (inbox / f"{number:03}.csv").write_text(HEADER + row(number))
    looks: list[int] = []
    files = Folder.files
    monkeypatch.setattr(Folder, "files", lambda self: looks.append(1) or files(self))  # type: ignore[func-returns-value]
    watched = watch()
    assert watched.read() == [str(number) for number in range(150)]
    assert len(looks) == 3  # a hundred, fifty, nothing


def test_what_changes_while_it_waits_to_be_read(watch: Any, inbox: Path) -> None:
    """The folder was looked through; before their turn one file goes, one is rotated, one grows."""
    for name in "abcd":
        (inbox / f"{name}.csv").write_text(HEADER + row(name))
    watched = watch()
    assert receipts([watched.source.poll()]) == ["a"]
    (inbox / "b.csv").unlink()
    (inbox / "c.csv").rename(inbox / "c.csv.1")
    (inbox / "c.csv").write_text(HEADER + row("new c"))
    with (inbox / "d.csv").open("a") as file:
        file.write(row("more d"))
    assert sorted(watched.read()) == ["c", "d", "more d", "new c"]
    watched.restart()
    assert watched.read() == []


def test_a_clock_that_was_set_back_hides_no_file(
    watch: Any, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond those remembered one by one, files count as read by their time of change."""
    monkeypatch.setattr(position, "REMEMBERED", 5)
    for number in range(12):
        (inbox / f"{number:02}.csv").write_text(HEADER + row(number))
    watched = watch()
    assert len(watched.read()) == 12
    (inbox / "late.csv").write_text(HEADER + row("late"))
    assert watched.read() == ["late"]  # now the oldest are forgotten
    # As if all that had been an hour later than it is now.
    watched.position = watched.position | {"before": time.time_ns() + 3600 * 10**9}
    watched.restart()
    (inbox / "new.csv").write_text(HEADER + row("new"))
    assert "new" in watched.read()  # and some of the others again: their ids are the same
    assert watched.read() == []
