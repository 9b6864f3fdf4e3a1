"""A backup that somebody else has touched: every change is noticed, nothing gets out."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from retaild.runtime.backup.errors import (
    DamagedBackupError,
    NotABackupError,
    UnsafeArchiveError,
)
from retaild.runtime.backup.restore import restore
from retaild.runtime.backup.verify import verify

from .conftest import Shop


def quiet(_fraction: float, _text: str) -> None:
    """No progress to show."""


def plain(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


@pytest.mark.parametrize(
    "member",
    [
        plain("../escaped"),
        plain("data/../../escaped"),
        plain("/tmp/escaped"),
        plain("elsewhere/file"),
        plain("data"),
        special("data/link", tarfile.SYMTYPE, "/etc/passwd"),
        special("data/hard", tarfile.LNKTYPE, "/etc/passwd"),
        special("data/pipe", tarfile.FIFOTYPE),
        special("data/device", tarfile.CHRTYPE),
        special("data/folder", tarfile.DIRTYPE),
    ],
    ids=lambda member: f"{member[0].name} {member[0].type!r}",
)
def test_a_member_that_could_lead_out_is_refused(
    tmp_path: Path, member: tuple[tarfile.TarInfo, bytes]
) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(member[0], io.BytesIO(member[1]))
    with pytest.raises(UnsafeArchiveError):
        restore(archive, tmp_path / "inner" / "new")
    assert {path.name for path in tmp_path.rglob("*")} <= {"evil.tar", "inner"}


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        for content in (b"one", b"two"):
            member, data = plain("data/file", content)
            tar.addfile(member, io.BytesIO(data))
    with pytest.raises(UnsafeArchiveError, match="twice"):
        verify(archive, quiet)


def test_a_cut_archive_is_no_backup(shop: Shop, tmp_path: Path) -> None:
    archive = shop.back_up(tmp_path / "a.tar.gz")
    os.truncate(archive, archive.stat().st_size * 2 // 3)
    with pytest.raises((DamagedBackupError, NotABackupError)):
        restore(archive, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("place", ["folder", "a.tar"])
def test_a_flipped_byte_is_found_and_nothing_is_restored(
    shop: Shop, tmp_path: Path, place: str
) -> None:
    backup = shop.back_up(tmp_path / place)
    file = backup / "data/models/recommender/1/model.json" if place == "folder" else backup
    content = file.read_bytes()
    assert b"[1, 2, 3]" in content
    file.write_bytes(content.replace(b"[1, 2, 3]", b"[1, 2, 4]"))
    (problem,) = verify(backup, quiet).problems
    assert problem == "data/models/recommender/1/model.json has other bytes than it had"
    with pytest.raises(DamagedBackupError, match=r"model\.json"):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_missing_and_linked_files_of_a_directory_are_missed(shop: Shop, tmp_path: Path) -> None:
    backup = shop.back_up(tmp_path / "folder")
    model = backup / "data/models/recommender/1/model.json"
    model.unlink()
    model.symlink_to("/etc/hostname")
    (backup / "data/state.db").unlink()
    assert sorted(verify(backup, quiet).problems) == [
        "data/models/recommender/1/model.json is missing", "data/state.db is missing",
    ]  # fmt: skip


def test_a_folder_that_leads_out_is_refused(shop: Shop, tmp_path: Path) -> None:
    backup = shop.back_up(tmp_path / "folder")
    (backup / "data/models").rename(tmp_path / "outside")
    (backup / "data/models").symlink_to(tmp_path / "outside")
    with pytest.raises(UnsafeArchiveError, match="leads out"):
        restore(backup, tmp_path / "new")
