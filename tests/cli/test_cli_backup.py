"""What `backup verify` finds stands on the page of backups, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retaild.config.settings import load_settings
from retaild.runtime.admin.backups import backups
from retaild.runtime.state import State

Ctl = Callable[..., Any]


@pytest.fixture
def place(ctl: Ctl, shop: Path) -> Path:
    """The configured directory, with one backup."""
    assert ctl("init").code == 0
    (shop / "conf.d").mkdir(exist_ok=True)
    (shop / "conf.d" / "backup.toml").write_text('[backup]\ndirectory = "safe"\n')
    assert ctl("backup", "create").code == 0
    return shop / "safe"


def look(shop: Path) -> Any:
    """What the page says of the one backup that there is."""
    state = State(shop / "retaild-data" / "state.db")
    (row,) = backups(load_settings(shop / "retaild.toml"), state)["backups"]
    state.close()
    return row["verified"]


@pytest.mark.parametrize("deep", [(), ("--deep",)])
def test_a_whole_backup_is_whole_on_the_page(
    ctl: Ctl, shop: Path, place: Path, deep: tuple[str, ...]
) -> None:
    assert look(shop) is None
    assert "never" in ctl("backup", "list").out
    (backup,) = place.iterdir()
    assert ctl("backup", "verify", backup.relative_to(shop), *deep).code == 0
    assert look(shop)["fault"] == ""
    (row,) = ctl("backup", "list", "--json").json["backups"]
    assert row["verified"]["fault"] == ""
    assert "whole, 0." in ctl("backup", "list").out
    (run,) = ctl("job", "history", "--json").json["runs"]
    assert (run["job"], run["trigger"], run["state"]) == ("verify-backup", "command", "succeeded")


def test_a_damaged_one_is_damaged_until_it_is_whole_again(
    ctl: Ctl, shop: Path, place: Path
) -> None:
    (backup,) = place.iterdir()
    kept = next(backup.rglob("state.db"))
    sound = kept.read_bytes()
    kept.write_bytes(bytes([sound[0] ^ 1]) + sound[1:])
    # The job says which one it read, also where it was to choose.
    assert ctl("job", "run", "verify-backup", "--wait").code == 1
    assert "state.db" in look(shop)["fault"]
    found = look(shop)["at"]
    assert ctl("backup", "verify", backup).code == 1
    assert "state.db" in look(shop)["fault"]
    assert look(shop)["at"] > found
    assert "damaged" in ctl("backup", "list").out
    kept.write_bytes(sound)
    assert ctl("backup", "verify", backup).code == 0
    assert look(shop)["fault"] == ""


def test_an_archive_that_cannot_be_read_is_damaged(ctl: Ctl, shop: Path, place: Path) -> None:
    (backup,) = place.iterdir()
    assert ctl("backup", "create", shop / "moved.tar.gz").code == 0
    whole = (shop / "moved.tar.gz").read_bytes()
    # It takes the other one's place: the page has one row.
    for path in sorted(backup.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    backup.rmdir()
    (place / "moved.tar.gz").write_bytes(whole[: len(whole) // 2])
    assert ctl("backup", "verify", place / "moved.tar.gz").code == 1
    assert look(shop)["fault"]


def test_a_backup_elsewhere_is_verified_and_nothing_is_kept_of_it(
    ctl: Ctl, shop: Path, place: Path
) -> None:
    assert ctl("backup", "create", shop / "other.tar").code == 0
    assert ctl("backup", "verify", shop / "other.tar").code == 0
    assert look(shop) is None
    assert ctl("job", "history", "--json").json["runs"] == []
