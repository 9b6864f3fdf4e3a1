"""Each check of the doctor, by the fault it is there for."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from retaild.api.lake import Lake
from retaild.config.paths import DataDir
from retaild.runtime import disk as disk_history
from retaild.runtime import registry
from retaild.runtime.context import offline_context
from retaild.runtime.doctor import examination, machine, tables
from retaild.runtime.doctor.examination import UnknownCheckError, examine, mend
from retaild.runtime.doctor.finding import Finding
from retaild.runtime.doctor.patient import Patient
from retaild.runtime.state import State
from retaild.testing.stream import NINE, carry, entry, sale
from tests.runtime.doctor.findings import add, found, one

DAY = 86_400.0
NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)


def events(lake: Lake, table: str, source: str, times: list[datetime]) -> None:
    stamps = pa.array(times, pa.timestamp("us", tz="UTC"))
    lake.append(table, pa.table({"source": [source] * len(times), "event_time": stamps}))


def test_a_new_shop_has_no_trouble(patient: Patient) -> None:
    bad = [f for f in examine(patient) if f.severity in ("error", "warning")]
    assert bad == []


def test_a_check_that_fails_itself_is_a_finding(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def burning(_: Patient) -> Iterator[Finding]:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setitem(examination.CHECKS, "disk", burning)
    assert "ZeroDivisionError" in one(patient, "disk").summary


def test_an_unknown_check_is_named(patient: Patient) -> None:
    with pytest.raises(UnknownCheckError, match="'dust'"):
        examine(patient, ["dust"])


def test_every_check_can_be_made_on_what_the_stream_writes(config: Path, data: DataDir) -> None:
    """Its sums by the hour lie among the events in silver, and have no source and no time."""
    context = offline_context(config, data.root)
    with closing(context.bus()) as bus, closing(context.build("stream", "stream")) as stream:
        bus.open()
        bus.append([entry(sale("a")), entry(sale("b", NINE + timedelta(days=3)))])
        stream.open(bus)
        carry(stream, bus)
    context.state.close()
    patient = at(config, data, NINE + timedelta(days=3))
    assert "silver.sale_window_hour" in patient.lake.names()
    assert [f.summary for f in examine(patient) if "could not be made" in f.summary] == []
    assert found(patient, "future-events") == []


# -- configuration and state -----------------------------------------------------------------


def test_faults_of_the_configuration_come_with_file_and_line(
    patient: Patient, config: Path
) -> None:
    add(config, "prot = 1\n")
    finding = one(patient, "config")
    assert finding.severity == "error"
    assert "retaild.toml:5" in finding.summary


def test_a_broken_state_is_named_and_not_touched(patient: Patient, data: DataDir) -> None:
    data.state_db.write_bytes(b"this is no database" * 100)
    finding = one(patient, "state")
    assert (finding.severity, finding.target, finding.fix) == ("error", "state.db", None)
    assert "backup" in finding.hint


def test_a_broken_schedule_is_set_aside(patient: Patient, data: DataDir) -> None:
    data.schedule_db.write_bytes(b"this is no database" * 100)
    finding = one(patient, "state")
    (applied,) = mend([finding])
    assert not applied.failed
    assert not data.schedule_db.exists()
    (kept,) = data.root.glob("schedule.db.broken-*")
    assert kept.read_bytes().startswith(b"this is no database")
    assert found(patient, "state") == []


def test_a_state_of_an_older_version_is_copied_and_migrated(
    config: Path, data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retaild.runtime import _state_schema, state
    from retaild.runtime.doctor import files, patient

    newer = (*_state_schema.MIGRATIONS, ("CREATE TABLE news (id INTEGER)",))
    for module in (state, files, patient):
        monkeypatch.setattr(module, "MIGRATIONS", newer)
    finding = one(Patient(data, config), "schema")
    assert finding.severity == "warning"
    (applied,) = mend([finding])
    assert not applied.failed
    assert found(Patient(data, config), "schema") == []
    with closing(sqlite3.connect(data.root / "state.db.before-migration")) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (len(newer) - 1,)


def test_a_state_of_a_newer_version_is_left_alone(data: DataDir, config: Path) -> None:
    with closing(sqlite3.connect(data.state_db)) as connection:
        connection.execute("PRAGMA user_version = 99")
    finding = one(Patient(data, config), "schema")
    assert (finding.severity, finding.fix) == ("error", None)


def test_what_others_may_read_is_closed(patient: Patient, data: DataDir, config: Path) -> None:
    data.root.chmod(0o755)
    secret = config.parent / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    add(config, '[alert.mail]\nplugin = "email"\npassword = {file = "password"}\n')
    findings = found(patient, "permissions")
    assert {f.target for f in findings} == {str(data.root), str(secret)}
    mend(findings)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert data.root.stat().st_mode & 0o777 == 0o750
    assert found(Patient(data, config), "permissions") == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_files_of_another_user_are_told(patient: Patient, data: DataDir) -> None:
    (data.lake / "silver").mkdir()
    os.chown(data.lake / "silver", 65534, 65534)
    finding = one(patient, "permissions")
    assert "silver" in finding.summary
    assert "chown" in finding.hint


def test_what_a_killed_daemon_left_is_cleared(patient: Patient, data: DataDir) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.path.relpath(data.socket))
    state = State(data.state_db)
    run_id = state.request_run("gold", "gold", {}, "test")
    assert run_id is not None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    state.save_run(run_id, state="running", pid=ended.pid)
    findings = found(patient, "lock")
    assert {f.target for f in findings} == {"socket", f"run-{run_id}"}
    mend(findings)
    assert not data.socket.exists()
    assert (state.run(run_id) or {})["state"] == "killed"
    assert state.request_run("gold", "gold", {}, "test") is not None


# -- the machine -----------------------------------------------------------------------------


def test_a_disk_that_fills_is_told_with_days_left(patient: Patient, data: DataDir) -> None:
    free = disk_history.space(data, time.time()).free
    # A twentieth of what is free now goes every day: twenty days at first, ten when it doubles.
    for rate, severity in ((0.02, "ok"), (0.1, "warning"), (1.0, "error")):
        ago = range(24, 0, -1)
        samples = [(time.time() - h * 3600, free * (1 + rate * h / 24)) for h in ago]
        data.disk_history.write_text("\n".join(json.dumps(sample) for sample in samples))
        (finding,) = examine(patient, ["disk"])
        assert finding.severity == severity, finding.summary
    assert "full in 1 days" in finding.summary


def test_a_full_disk_is_an_error(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "space", lambda *_: disk_history.Space(40, 1000))
    assert one(patient, "disk").severity == "error"
    monkeypatch.setattr(machine, "space", lambda *_: disk_history.Space(140, 1000))
    assert one(patient, "disk").severity == "warning"


def test_little_memory_is_told(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "MemTotal: 4000000 kB\nMemAvailable: 300000 kB\n"
    monkeypatch.setattr(Path, "read_text", lambda *_: text)
    (finding,) = list(machine.memory(patient))
    assert finding.severity == "warning"


def test_a_clock_that_was_set_back_is_told(data: DataDir, config: Path) -> None:
    log = data.worker_log("ingest")
    log.write_text("a line\n")
    day_before = Patient(data, config, clock=lambda: time.time() - DAY)
    errors = [f for f in found(day_before, "clock") if f.severity == "error"]
    assert "set back" in errors[0].summary
    now = Patient(data, config)
    assert not [f for f in found(now, "clock") if f.severity == "error"]


def test_a_clock_that_nobody_keeps_is_told(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kernel:
        state = 5  # TIME_ERROR of adjtimex(2)

        def adjtimex(self, _: object) -> int:
            return self.state

    monkeypatch.setattr("ctypes.CDLL", lambda _: Kernel())
    (finding,) = [f for f in examine(patient, ["clock"]) if f.severity == "info"]
    assert "Nothing keeps this machine's clock right" in finding.summary
    Kernel.state = 0
    assert [f.severity for f in examine(patient, ["clock"])] == ["ok"]


# -- processes -------------------------------------------------------------------------------


def test_who_holds_the_port_is_named(patient: Patient, config: Path) -> None:
    port = int(config.read_text().rpartition("=")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        finding = one(patient, "port")
    assert finding.severity == "error"
    assert f"Process {os.getpid()} " in finding.summary
    assert found(patient, "port") == []


def test_who_holds_the_port_is_named_beside_files_that_close(
    patient: Patient, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the listing of open files itself, which is among them and closed by then."""
    port = int(config.read_text().rpartition("=")[2])
    gone, listed = Path(f"/proc/{os.getpid()}/fd/99999"), Path.iterdir

    def with_gone(folder: Path) -> Iterator[Path]:
        if folder.name == "fd":
            yield gone
        yield from listed(folder)

    monkeypatch.setattr(Path, "iterdir", with_gone)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert f"Process {os.getpid()} " in one(patient, "port").summary


def test_workers_that_do_not_stay_up_are_told(patient: Patient) -> None:
    well = {"name": "serve", "state": "running", "restarts": 0, "last_error": None}
    down = {"name": "stream", "state": "backoff", "restarts": 3, "last_error": "No space left."}
    shaky = {"name": "ingest", "state": "running", "restarts": 9, "last_error": None}
    patient.__dict__["status"] = {"workers": [well, down, shaky]}
    error, warning = found(patient, "workers")
    assert (error.target, error.severity) == ("stream", "error")
    assert "No space left." in error.summary
    assert (warning.target, warning.severity) == ("ingest", "warning")


def test_a_component_in_quarantine_is_told_with_its_reason(patient: Patient, data: DataDir) -> None:
    with State(data.state_db).transaction() as connection:
        connection.execute(
            "INSERT INTO instance (kind, name, state, reason, since) "
            "VALUES ('source', 'tills', 'quarantined', 'It hung for 60 s.', 0)"
        )
    finding = one(patient, "quarantine")
    assert "It hung for 60 s." in finding.summary
    assert "plugin resume source tills" in finding.hint


def test_only_the_newest_run_of_a_job_counts(patient: Patient, data: DataDir) -> None:
    state = State(data.state_db)
    for job, outcomes in (("gold", ("failed", "succeeded")), ("train", ("succeeded", "failed"))):
        for outcome in outcomes:
            run_id = state.request_run(job, job, {}, "test")
            assert run_id is not None
            state.save_run(run_id, state=outcome, finished=time.time(), error="No rows.")
    finding = one(patient, "jobs")
    assert finding.target == "train"
    assert "No rows." in finding.summary


# -- the lake --------------------------------------------------------------------------------


def test_a_table_of_many_small_files_is_told(
    patient: Patient, data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_MANY_FILES", 5)
    for _ in range(4):
        events(Lake(data.lake), "silver.sale", "tills", [NOW])
    assert found(patient, "small-files") == []
    events(Lake(data.lake), "silver.sale", "tills", [NOW])
    assert one(patient, "small-files").target == "silver.sale"


def at(config: Path, data: DataDir, now: datetime) -> Patient:
    return Patient(data, config, clock=now.timestamp)


def test_more_dead_letters_than_usual_are_told(config: Path, data: DataDir) -> None:
    lake = Lake(data.lake)
    usual = [NOW - timedelta(days=day, hours=1) for day in range(1, 8) for _ in range(15)]
    events(lake, "silver.dead_letter", "tills", usual)
    today = [NOW - timedelta(hours=2)] * 30
    events(lake, "silver.dead_letter", "tills", today)
    # 30 in the last day, 15 a day before: not more than twice as many.
    assert found(at(config, data, NOW), "dead-letters") == []
    events(lake, "silver.dead_letter", "tills", [NOW - timedelta(hours=3)])
    finding = one(at(config, data, NOW), "dead-letters")
    assert finding.summary.startswith("31 rows of source 'tills'")
    assert "15 a day" in finding.summary


def weeks_of_sales(start: datetime, days: int) -> list[datetime]:
    """Every hour from 9 to 17, not on Sundays: the longest silence is from 17 to 9 on Monday."""
    return [
        start + timedelta(days=day, hours=hour)
        for day in range(days)
        if (start + timedelta(days=day)).weekday() != 6
        for hour in range(9, 18)
    ]


def test_a_source_silent_for_longer_than_ever_is_told(config: Path, data: DataDir) -> None:
    (config.parent / "in").mkdir()
    add(config, '[source.tills]\nplugin = "tabular"\npath = "in"\n')
    events(Lake(data.lake), "silver.sale", "tills", weeks_of_sales(datetime(2024, 3, 4, tzinfo=UTC),
                                                                  12))  # fmt: skip
    # The last hour heard is Friday 17:00 (15 March); Saturday 17:00 to Monday 9:00 are 40 hours.
    friday = datetime(2024, 3, 15, 17, tzinfo=UTC)
    assert found(at(config, data, friday + timedelta(hours=40)), "silent-source") == []
    finding = one(at(config, data, friday + timedelta(hours=42)), "silent-source")
    assert "silent for 41 hours; 40 hours was the longest" in finding.summary


def test_a_source_that_is_hardly_known_may_be_silent(config: Path, data: DataDir) -> None:
    (config.parent / "in").mkdir()
    add(config, '[source.tills]\nplugin = "tabular"\npath = "in"\n')
    events(Lake(data.lake), "silver.sale", "tills", [NOW - timedelta(hours=h) for h in range(20)])
    assert found(at(config, data, NOW + timedelta(days=300)), "silent-source") == []


def test_events_of_the_future_tell_of_a_wrong_clock(config: Path, data: DataDir) -> None:
    events(Lake(data.lake), "silver.sale", "web", [NOW + timedelta(minutes=9)])
    assert found(at(config, data, NOW), "future-events") == []
    events(Lake(data.lake), "silver.sale", "tills", [NOW + timedelta(hours=1)])
    assert one(at(config, data, NOW), "future-events").target == "tills/silver.sale"


# -- models ----------------------------------------------------------------------------------


@pytest.fixture
def champion(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Both trainers' champions are so many days old."""

    def trained(days: float) -> None:
        created = time.time() - days * DAY
        monkeypatch.setattr(
            registry, "champion",
            lambda data, name: registry.ModelVersion(name, 1, data.models, "", created),
        )  # fmt: skip

    return trained


def test_a_model_that_grew_old_is_told(patient: Patient, champion: Callable[[float], None]) -> None:
    champion(2)
    assert found(patient, "stale-model") == []
    champion(9)
    old = found(patient, "stale-model")
    assert {f.target for f in old} == {"recommender", "price"}
    assert "9 days ago" in old[0].summary


def test_a_champion_that_new_models_did_not_beat_is_not_stale(
    patient: Patient, data: DataDir, champion: Callable[[float], None]
) -> None:
    champion(30)
    state = State(data.state_db)
    run_id = state.request_run("refresh", "refresh", {}, "test")
    assert run_id is not None
    state.save_run(run_id, state="succeeded", finished=time.time() - DAY)
    assert found(patient, "stale-model") == []


# -- the command -----------------------------------------------------------------------------


def test_the_command_mends_and_says_so(patient: Patient, data: DataDir, config: Path) -> None:
    data.root.chmod(0o755)
    command = [sys.executable, "-m", "retaild.cli", "doctor", "--config", str(config), "--fix"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout)
    assert [item["id"] for item in answer["applied"]] == [f"permissions:{data.root}"]
    assert done.returncode == 0
    assert data.root.stat().st_mode & 0o777 == 0o750
    (entry,) = State(data.state_db).rows("SELECT what, target FROM audit")
    assert entry == {"what": "doctor.fix", "target": f"permissions:{data.root}"}


def test_the_servers_own_process_mends_one_thing(data: DataDir, config: Path) -> None:
    data.root.chmod(0o755)
    data.schedule_db.write_bytes(b"this is no database" * 100)
    command = [sys.executable, "-m", "retaild.runtime.doctor", "--config", str(config)]
    command += ["--data", str(data.root), "--fix", "state:schedule.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (applied,) = json.loads(done.stdout)["applied"]
    assert applied["id"] == "state:schedule.db"
    assert data.root.stat().st_mode & 0o777 == 0o755
