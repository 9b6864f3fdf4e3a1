"""A backup of a running shop can be lived from; one that cannot says so."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest

from retaild.api.lake import Lake
from retaild.config.paths import DataDir
from retaild.daemon.__main__ import run as daemon
from retaild.runtime.backup import create, service, shelf
from retaild.runtime.backup.errors import (
    BackupRunningError,
    HalfRestoredError,
    InsideDataError,
    NoRoomError,
    NotABackupError,
    NotEmptyError,
    PlaceFailedError,
    TooNewBackupError,
    UnreadableDataError,
)
from retaild.runtime.backup.locks import backup_lock, may_remove_files
from retaild.runtime.backup.restore import restore
from retaild.runtime.backup.verify import verify, verify_deeply
from retaild.runtime.context import JobContext, offline_context, surroundings
from retaild.runtime.jobs import backup as backup_job
from retaild.runtime.jobs import compact, trim
from retaild.runtime.state import State
from retaild.testing.stream import entry, rows, sale

from .conftest import Shop

#: Ends after so many moves of what is proven to its place.
KILLED_RESTORE = """
import os, sys
from pathlib import Path
from retaild.runtime.backup.restore import restore
moves, rename = [0], Path.rename
def killed(path, target):
    moves[0] += 1
    if moves[0] > int(sys.argv[3]):
        os._exit(9)
    return rename(path, target)
Path.rename = killed
restore(Path(sys.argv[1]), Path(sys.argv[2]))
"""
AMOUNTS = [("a", Decimal("1.000000")), ("b", Decimal("1.000000")), ("c", Decimal("2.500000"))]


def quiet(_fraction: float, _text: str) -> None:
    """No progress to show."""


def deep_problems(shop: Shop, backup: Path) -> list[str]:
    context = shop.context
    verdict = verify_deeply(
        backup, backup.parent, lambda data: service.bus_of(context, data), quiet
    )
    return list(verdict.problems)


@pytest.mark.parametrize("name", ["folder", "a.tar", "a.tar.gz", "a.tar.zst"])
def test_what_was_backed_up_is_there_again_after_restoring(
    shop: Shop, tmp_path: Path, name: str
) -> None:
    backup = shop.back_up(tmp_path / name)
    assert deep_problems(shop, backup) == []

    restore(backup, tmp_path / "new")
    data = DataDir(tmp_path / "new")
    assert [
        (i, a) for i, a in rows(Lake(data.lake), "silver.sale", "event_id", "amount")
    ] == AMOUNTS
    assert State(data.state_db).source_position("tills") == {"row": 3}
    assert (data.models / "recommender/1/model.json").read_text() == '{"weights": [1, 2, 3]}'
    assert len(list(data.online.glob("base-*/seen.npy"))) == 1
    assert (data.root / "restored/config/retaild.toml").read_text() == shop.config.read_text()


def test_a_restored_shop_goes_on_where_it_was(shop: Shop, dest: Path, tmp_path: Path) -> None:
    """What was in the log and not in the lake arrives; what was in both is there once."""
    shop.sell("late", to_lake=False)
    restore(shop.back_up(dest), tmp_path / "new")
    again = Shop.__new__(Shop)
    again.context = offline_context(None, tmp_path / "new")
    again.data = again.context.data
    again.sell("later")
    ids = [i for (i,) in rows(Lake(again.data.lake), "silver.sale", "event_id")]
    assert ids == ["a", "b", "c", "late", "later"]


def test_positions_never_lead_the_log_and_the_lake_never_leads_it(
    shop: Shop, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sales go on between any two steps of the copying."""
    copied = create.Backup._add
    sold = iter(range(1000))

    def busy(self: create.Backup, place: object, item: object) -> None:
        if (number := next(sold)) % 5 == 0 and number < 60:
            shop.sell(f"x{number}")
        copied(self, place, item)  # type: ignore[arg-type]

    monkeypatch.setattr(create.Backup, "_add", busy)
    backup = shop.back_up(dest)
    assert deep_problems(shop, backup) == []
    facts = shelf.read_manifest(backup).facts
    restore(backup, dest / "new")
    position = State(dest / "new/state.db").source_position("tills")
    assert position is not None
    assert 3 <= position["row"] <= facts["log"]["rows"]
    assert facts["carried"] <= facts["log"]["offset"]
    assert next(sold) > 10


def test_the_second_backup_shares_what_did_not_change(shop: Shop, dest: Path) -> None:
    first = shop.back_up(dest)
    shop.sell("d")
    second = shop.back_up(dest)
    assert first != second
    model = "data/models/recommender/1/model.json"
    assert (first / model).stat().st_ino == (second / model).stat().st_ino
    assert shelf.read_manifest(second).linked > 0
    assert deep_problems(shop, second) == []
    assert deep_problems(shop, first) == []


def test_retention_keeps_the_newest_and_other_shops(shop: Shop, dest: Path) -> None:
    made = [shop.back_up(dest) for _ in range(3)]
    stranger = shelf.read_manifest(made[0]).dump().replace(str(shop.data.root).encode(), b"/else")
    (made[0] / "manifest.json").write_bytes(stranger)
    gone = shelf.prune(dest, 1, shop.data.root)
    assert gone == [made[1]]
    assert {one.path for one in shelf.shelved(dest)} == {made[0], made[2]}
    assert deep_problems(shop, made[2]) == []  # it shared files with the one that went


def test_the_job_backs_up_to_the_configured_place_and_keeps_two(shop: Shop, dest: Path) -> None:
    shop.config.write_text(f'{shop.config.read_text()}\n[backup]\ndirectory = "{dest}"\nkeep = 2\n')
    c = offline_context(shop.config, shop.data.root)
    assert c.settings.job["backup"].cron == "30 2 * * *"
    job = JobContext("backup", c.settings, c.data, c.plugins, c.state, threading.Event())
    results = [backup_job.run(job) for _ in range(3)]
    assert results[2]["removed"] == [results[0]["path"]]
    assert [row["path"] for row in service.listed(dest)] == [
        results[2]["path"], results[1]["path"],
    ]  # fmt: skip


# -- what must not happen meanwhile ------------------------------------------------------------


def test_no_job_removes_files_while_a_backup_is_made(shop: Shop) -> None:
    c = shop.context
    job = JobContext("job", c.settings, c.data, c.plugins, c.state, threading.Event())
    for name in "defg":
        shop.sell(name)
    files = set(shop.data.lake.rglob("*.parquet"))
    with backup_lock(shop.data):
        assert trim.run(job)["postponed"] is True
        tables = compact.run(job)["tables"]
        assert tables["silver.sale"]["files_deleted"] == 0
        assert files <= set(shop.data.lake.rglob("*.parquet"))
    with may_remove_files(shop.data) as may:
        assert may


def test_two_backups_at_once_are_refused(shop: Shop, dest: Path) -> None:
    with backup_lock(shop.data), pytest.raises(BackupRunningError, match=str(os.getpid())):
        shop.back_up(dest)


_KILLED = """
import sys, time
from pathlib import Path
from retaild.runtime.backup import create
from retaild.runtime.context import offline_context
copied = create.Backup._add
def slow(self, place, item):
    copied(self, place, item)
    if item.name.startswith("data/lake"):
        print("copying", flush=True)
        time.sleep(60)
create.Backup._add = slow
create.Backup(offline_context(None, Path(sys.argv[1])), None).create(Path(sys.argv[2]))
"""


def test_a_killed_backup_is_no_backup_and_holds_up_nobody(shop: Shop, dest: Path) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(shop.data.root), str(dest)], stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"copying\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    (left,) = dest.iterdir()
    assert left.name.endswith(".partial")
    assert shelf.shelved(dest) == []
    with pytest.raises(NotABackupError):
        verify(left, quiet)
    backup = shop.back_up(dest)
    assert list(dest.iterdir()) == [backup]  # what was left is gone
    assert deep_problems(shop, backup) == []


# -- places ------------------------------------------------------------------------------------


def test_a_backup_into_the_data_directory_is_refused(shop: Shop) -> None:
    with pytest.raises(InsideDataError):
        shop.back_up(shop.data.root / "backups")


def test_too_little_room_is_known_before_anything_is_written(
    shop: Shop, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "free_bytes", lambda _folder: 17 * 1024 * 1024)
    (shop.data.models / "large").write_bytes(bytes(2 * 1024 * 1024))
    with pytest.raises(NoRoomError, match=r"1,048,576 are free"):
        shop.back_up(dest)
    assert list(dest.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
@pytest.mark.parametrize("name", ["", "a.tar.gz"])
def test_a_disk_that_fills_leaves_an_error_and_no_half_backup(
    shop: Shop, dest: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A real full file system: a tmpfs of one mebibyte."""
    dest.mkdir()
    (shop.data.models / "large").write_bytes(os.urandom(2 * 1024 * 1024))
    monkeypatch.setattr(create, "free_bytes", lambda _folder: 1 << 40)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(dest)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        with pytest.raises(PlaceFailedError, match="No space left"):
            shop.back_up(dest / name if name else dest)
        assert list(dest.iterdir()) == []
    finally:
        subprocess.run(["umount", str(dest)], check=True)


def test_a_broken_database_is_named_and_not_backed_up(shop: Shop, dest: Path) -> None:
    broken = shop.data.root / "schedule.db"
    with sqlite3.connect(broken) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
    connection.close()
    content = bytearray(broken.read_bytes())
    content[4096:8192] = bytes(4096)
    broken.write_bytes(content)
    with pytest.raises(UnreadableDataError, match=r"schedule\.db"):
        shop.back_up(dest)
    assert list(dest.iterdir()) == []


# -- restoring ---------------------------------------------------------------------------------


def test_nothing_is_restored_over_what_is_there(shop: Shop, dest: Path, tmp_path: Path) -> None:
    backup = shop.back_up(dest)
    (tmp_path / "used").mkdir()
    (tmp_path / "used/something").touch()
    with pytest.raises(NotEmptyError):
        restore(backup, tmp_path / "used")


@pytest.mark.parametrize("moved", [0, 2])
def test_what_was_restored_in_part_is_not_started(
    shop: Shop, dest: Path, tmp_path: Path, moved: int
) -> None:
    """Killed while it moves in what it has unpacked and proven."""
    backup, root = shop.back_up(dest), tmp_path / "new"
    words = [sys.executable, "-c", KILLED_RESTORE, str(backup), str(root), str(moved)]
    assert subprocess.run(words, check=False).returncode == 9
    before = sorted(root.rglob("*"))
    with pytest.raises(HalfRestoredError, match="broken off"):
        surroundings(shop.config, root)
    assert daemon(shop.config, root) == 1
    assert sorted(root.rglob("*")) == before  # nothing was made there


def test_a_restore_that_was_killed_early_can_be_done_again(
    shop: Shop, dest: Path, tmp_path: Path
) -> None:
    root = tmp_path / "new"
    (root / ".restoring/data").mkdir(parents=True)
    (root / ".restoring/data/state.db").write_bytes(b"half")
    with pytest.raises(HalfRestoredError):
        surroundings(shop.config, root)
    restore(shop.back_up(dest), root)
    surroundings(shop.config, root)


def test_a_newer_schema_is_refused_with_what_to_do(shop: Shop, dest: Path, tmp_path: Path) -> None:
    backup = shop.back_up(dest)
    manifest = json.loads((backup / "manifest.json").read_bytes())
    manifest["schemas"]["state.db"] = 99
    manifest["version"] = "9.1"
    (backup / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(TooNewBackupError, match=r"schema 99 of state\.db.*retaild 9\.1"):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_secrets_come_along_only_when_asked(shop: Shop, dest: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cr3t-canary")
    shop.config.write_text(
        f'{shop.config.read_text()}\n[source.other]\nplugin = "x"\ntoken = {{file = "{secret}"}}\n'
    )
    shop.context = offline_context(shop.config, shop.data.root)
    without, with_ = shop.back_up(dest), shop.back_up(dest, with_secrets=True)
    assert not any(b"s3cr3t-canary" in p.read_bytes() for p in without.rglob("*") if p.is_file())
    (found,) = (p for p in with_.rglob("*") if p.is_file() and b"s3cr3t" in p.read_bytes())
    assert found.stat().st_mode & 0o777 == 0o600
    assert with_.stat().st_mode & 0o777 == 0o700


@pytest.mark.filterwarnings("ignore:The ``noload`` loader")  # MLflow's, of SQLAlchemy
def test_a_restored_model_registry_names_its_new_place(
    shop: Shop, dest: Path, tmp_path: Path, new_registry: Path
) -> None:
    shop.data.mlflow_db.write_bytes(new_registry.read_bytes())
    old = f"file://{shop.data.mlartifacts}/recommender"
    with sqlite3.connect(shop.data.mlflow_db) as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", [old])
    connection.close()
    restore(shop.back_up(dest), tmp_path / "new")
    with sqlite3.connect(tmp_path / "new/mlflow.db") as connection:
        found = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    connection.close()
    assert found == [(f"file://{tmp_path}/new/mlartifacts/recommender",)]


def test_appends_go_on_at_full_speed_meanwhile(shop: Shop, dest: Path) -> None:
    """A door that appends all the time, from another thread: the copy's end is whole."""
    stop, appended = threading.Event(), [0]

    def door() -> None:
        while not stop.is_set():
            shop.append(entry(sale(f"y{appended[0]}")))
            appended[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=door)
    thread.start()
    try:
        backups = [shop.back_up(dest) for _ in range(3)]
    finally:
        stop.set()
        thread.join()
    assert appended[0] > 3
    for backup in backups:
        assert deep_problems(shop, backup) == []
