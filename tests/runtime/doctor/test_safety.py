"""Backups, restores, set-aside files, certificates: each check by the fault it is there for."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from retaild.api.broken_files import set_aside_if_broken
from retaild.config.paths import DataDir
from retaild.runtime.admin.backups import note_look
from retaild.runtime.backup.create import Backup
from retaild.runtime.backup.verify import verify
from retaild.runtime.context import offline_context
from retaild.runtime.doctor.examination import examine
from retaild.runtime.doctor.patient import Patient
from retaild.runtime.serving import base
from tests.plugins.alerts.mail_server import make_certificate
from tests.runtime.doctor.findings import add, found, one

HOUR, DAY = 3600.0, 86_400.0


def back_up(config: Path, data: DataDir, place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    return Backup(offline_context(config, data.root), config).create(place)[0]


def after(data: DataDir, config: Path, seconds: float) -> Patient:
    """The shop as it will be looked at in so many seconds."""
    return Patient(data, config, clock=lambda: time.time() + seconds)


# -- backups ---------------------------------------------------------------------------------


def test_without_a_directory_there_is_only_a_word(patient: Patient) -> None:
    finding = one(patient, "backup")
    assert (finding.severity, finding.fix) == ("info", None)
    assert "backup.directory" in finding.hint


@pytest.fixture
def safe(config: Path) -> Path:
    """A folder for backups, one every night at half past two."""
    add(config, '[backup]\ndirectory = "safe"\n')
    (config.parent / "safe").mkdir()
    return config.parent / "safe"


def test_no_backup_at_all_is_told(patient: Patient, safe: Path) -> None:
    finding = one(patient, "backup")
    assert finding.severity == "warning"
    assert f"no backup of this shop in {safe}" in finding.summary


def test_one_night_may_be_missed_and_no_second(config: Path, data: DataDir, safe: Path) -> None:
    back_up(config, data, safe)
    fresh = Patient(data, config)
    assert found(fresh, "backup") == []
    # Whenever it was: within a day it is half past two once, within two and a bit twice.
    for days, overdue in ((0.99, False), (2.05, True)):
        later = after(data, config, days * DAY)
        assert bool(found(later, "backup")) == overdue
    assert "days old" in one(later, "backup").summary


def test_a_schedule_of_pauses_counts_too(config: Path, data: DataDir, safe: Path) -> None:
    add(config, "[job.backup]\nevery_seconds = 600\n")
    back_up(config, data, safe)
    for minutes, overdue in ((19, False), (21, True)):
        later = after(data, config, minutes * 60)
        assert bool(found(later, "backup")) == overdue


def test_without_a_schedule_a_week_may_pass(config: Path, data: DataDir, safe: Path) -> None:
    add(config, "[job.backup]\nenabled = false\n")
    back_up(config, data, safe)
    for days, overdue in ((6.9, False), (7.1, True)):
        later = after(data, config, days * DAY)
        assert bool(found(later, "backup")) == overdue


def test_another_shops_backup_is_none_of_ours(
    config: Path, data: DataDir, safe: Path, tmp_path: Path
) -> None:
    other = DataDir(tmp_path / "other")
    other.create()
    back_up(config, other, safe)
    assert one(Patient(data, config), "backup").severity == "warning"


def test_a_damaged_backup_is_told_until_it_passes_again(
    config: Path, data: DataDir, safe: Path
) -> None:
    path = back_up(config, data, safe)
    context = offline_context(config, data.root)
    kept = next(path.rglob("state.db"))
    sound = kept.read_bytes()

    def verified() -> list[str]:
        began = time.time()
        problems = verify(path, lambda _done, _text: None).problems
        note_look(
            context.settings, context.state, path, began, deep=False, fault="; ".join(problems)
        )
        return [f"{f.severity} {f.target}" for f in found(Patient(data, config), "backup")]

    assert verified() == []
    kept.write_bytes(bytes([sound[0] ^ 1]) + sound[1:])
    assert verified() == [f"error {path.name}"]
    assert "state.db" in one(Patient(data, config), "backup").summary
    kept.write_bytes(sound)
    assert verified() == []
    context.state.close()


def test_an_archive_counts(config: Path, data: DataDir, safe: Path) -> None:
    back_up(config, data, safe / "monday.tar.gz")
    assert found(Patient(data, config), "backup") == []


# -- broken files ----------------------------------------------------------------------------


def test_what_was_set_aside_is_told_until_it_is_removed(patient: Patient, data: DataDir) -> None:
    data.schedule_db.write_bytes(b"this is no database" * 100)
    set_aside_if_broken(data.schedule_db, "Nothing is lost.")
    base.write_base(data.online, 1, {"meta": {"offset": 1}}, {"seen": np.arange(3)})
    base.set_aside_base(base.bases(data.online)[0])
    finding = one(patient, "set-aside")
    assert finding.severity == "warning"
    assert finding.summary.startswith("2 broken files were set aside")
    assert "schedule.db.1.damaged" in finding.summary
    assert "online/damaged-" in finding.summary
    assert patient.config is not None
    later = after(data, patient.config, 8 * DAY)
    assert one(later, "set-aside").severity == "info"


def test_a_torn_commit_is_told(patient: Patient, data: DataDir) -> None:
    from retaild.api.lake_tail import set_aside

    log = data.lake / "silver" / "sale" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000007.json").write_text("{")
    set_aside(log / "00000000000000000007.json")
    assert "lake/silver/sale/_delta_log" in one(patient, "set-aside").summary


# -- restoring -------------------------------------------------------------------------------

RESTORE_AND_DIE = """
import os, sys
from pathlib import Path
from retaild.runtime.backup import restore

def die(*_):
    os._exit(9)

if sys.argv[3] == "unpacking":
    progress = lambda fraction, text: die() if fraction > 0 else None
else:
    progress = lambda fraction, text: None
    move, left = Path.rename, [2]
    def rename(path, target):
        left[0] -= 1
        die() if left[0] < 0 else move(path, target)
    Path.rename = rename
restore.restore(Path(sys.argv[1]), Path(sys.argv[2]), progress)
"""


@pytest.mark.parametrize(("when", "hint"), [("unpacking", "Restore it again"),
                                            ("moving in", "move everything")])  # fmt: skip
def test_a_restore_that_was_killed_is_told(
    config: Path, data: DataDir, tmp_path: Path, when: str, hint: str
) -> None:
    with sqlite3.connect(data.schedule_db) as connection:
        connection.execute("CREATE TABLE t (x)")
    made = back_up(config, data, tmp_path / "safe")
    root = tmp_path / "again"
    program = [sys.executable, "-c", RESTORE_AND_DIE, str(made), str(root), when]
    assert subprocess.run(program, check=False, env={**os.environ}).returncode == 9
    again = Patient(DataDir(root), config)
    assert one(again, "restore").severity == "info"  # it may be at work still
    for path in [root, *root.rglob("*")]:
        os.utime(path, (time.time() - HOUR, time.time() - HOUR))
    finding = one(again, "restore")
    assert finding.severity == "error"
    assert "was broken off" in finding.summary
    assert hint in finding.hint


def test_a_restore_that_came_to_its_end_leaves_nothing_to_find(
    config: Path, data: DataDir, tmp_path: Path
) -> None:
    from retaild.runtime.backup.restore import restore

    made = back_up(config, data, tmp_path / "safe")
    restore(made, tmp_path / "again")
    assert found(Patient(DataDir(tmp_path / "again"), config), "restore") == []


# -- the certificate -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "severity"), [(22, "ok"), (20, "info"), (6, "warning"), (0.5, "error"), (-1, "error")]
)
def test_a_certificate_that_ends_is_told(
    patient: Patient, config: Path, tmp_path: Path, days: float, severity: str
) -> None:
    certificate, key = make_certificate(tmp_path, days)
    add(config, f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n')
    (finding,) = examine(patient, ["certificate"])
    assert finding.severity == severity
