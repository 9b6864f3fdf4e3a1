"""What the daemon looks for: each fault is made, seen, and seen to be over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from retaild.config.paths import DataDir
from retaild.config.settings import Settings
from retaild.runtime import disk
from retaild.runtime.alerts.conditions import Conditions, Facts
from retaild.runtime.alerts.conditions.certificate import CertificateError, ends_at
from retaild.runtime.alerts.conditions.resources import Certificate
from retaild.runtime.state import State
from tests.plugins.alerts.mail_server import make_certificate

HOUR, DAY = 3600.0, 86_400.0


class House:
    """A data directory, and the daemon's look at it by a clock of its own."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.data = DataDir(root)
        self.data.create()
        self.state = State(self.data.state_db)
        self.settings = Settings.model_validate(settings)
        self.conditions = Conditions(self.state, self.data, self.settings)
        self.now = time.time()

    def look(self, seconds: float = 15.0) -> dict[str, str]:
        """Some time later: key -> severity of what is open."""
        self.now += seconds
        self.conditions.look(self.now)
        rows = self.state.rows("SELECT key, severity FROM alert WHERE resolved IS NULL")
        # How full this machine's disk is is not these tests' matter.
        return {row["key"]: row["severity"] for row in rows if row["key"] != "disk.data"}

    def summary(self, key: str) -> str:
        row = self.state.row("SELECT summary FROM alert WHERE key = ? ORDER BY id DESC", [key])
        assert row is not None
        return str(row["summary"])

    def ran(self, job: str, outcome: str, error: str = "") -> None:
        number = self.state.request_run(job, job, {}, "schedule")
        assert number is not None
        self.state.save_run(number, state=outcome, error=error, finished=self.now)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_healthy_house_raises_nothing(house: House) -> None:
    house.state.save_worker("stream", kind="stream", restarts=0, figures={"rows": 5, "lag_rows": 0})
    house.ran("refresh", "succeeded")
    assert house.look() == {}


def test_a_failed_job_until_its_next_success(house: House) -> None:
    house.ran("refresh", "failed", "There is too little data.")
    assert house.look() == {"job.refresh.failed": "error"}
    assert house.summary("job.refresh.failed") == "Job refresh failed: There is too little data."
    house.ran("compact", "succeeded")
    assert house.look() == {"job.refresh.failed": "error"}
    house.ran("refresh", "succeeded")
    assert house.look() == {}


def test_a_job_that_the_daemon_s_stop_killed_is_forgiven_once(house: House) -> None:
    house.ran("refresh", "killed", "The daemon was stopped.")
    assert house.look() == {}
    house.ran("refresh", "killed", "It was killed by signal 9.")
    assert house.look() == {"job.refresh.failed": "error"}


def test_a_worker_that_does_not_stay_up(house: House) -> None:
    for restarts in range(4):
        house.state.save_worker("serve", kind="serve", restarts=restarts, last_error="no memory")
        seen = house.look()
    assert seen == {"worker.serve.restarting": "error"}
    assert house.summary("worker.serve.restarting") == (
        "Worker serve was started again 3 times in the last 10 minutes."
    )
    assert house.look(560) == {"worker.serve.restarting": "error"}
    assert house.look(60) == {}


def test_what_is_not_known_yet_after_a_restart_is_not_taken_for_well(house: House) -> None:
    for restarts in range(4):
        house.state.save_worker("serve", kind="serve", restarts=restarts)
        house.look()
    house.conditions = Conditions(house.state, house.data, house.settings)
    assert house.look() == {"worker.serve.restarting": "error"}
    assert house.look(601) == {}


def test_a_lake_that_is_too_many_rows_behind(tmp_path: Path) -> None:
    house = House(tmp_path, alerts={"lag_rows": 1000})
    house.state.beat("stream", {"rows": 10, "lag_rows": 1001})
    assert house.look() == {"lag.lake": "warning"}
    house.state.beat("stream", {"rows": 800, "lag_rows": 211})
    assert house.look() == {}


def test_a_lake_that_is_too_long_behind_although_it_moves(tmp_path: Path) -> None:
    """100 rows come each 15 s, and 10 are carried: after 150 s it is where the log was at 15 s."""
    house = House(tmp_path, alerts={"lag_seconds": 60})
    seen = []
    for turn in range(10):
        house.state.beat("stream", {"rows": 10 * turn, "lag_rows": 90 * turn})
        seen.append(bool(house.look()))
    assert seen[:5] == [False] * 5
    assert seen[-1]
    house.state.beat("stream", {"rows": 900, "lag_rows": 0})
    assert house.look() == {}


def test_a_dead_stream_worker_s_lag_is_seen_by_the_server(tmp_path: Path) -> None:
    house = House(tmp_path, alerts={"lag_rows": 1000})
    house.state.beat("stream", {"rows": 10, "lag_rows": 0})
    house.state.beat("serve", {"backlog_rows": 5000})
    assert house.look() == {"lag.lake": "warning"}


def test_models_refused_and_taken_back_until_one_is_promoted(house: House) -> None:
    house.state.add_model_event("recommender", 4, "promoted", "It is better.", {})
    assert house.look() == {}
    house.state.add_model_event("recommender", 5, "rejected", "ndcg 0.30 does not beat 0.31.", {})
    assert house.look() == {"model.recommender.refused": "info"}
    house.state.add_model_event("recommender", 3, "rolled_back", "Back from version 4.", {})
    assert house.look() == {"model.recommender.demoted": "warning"}
    house.state.add_model_event("recommender", 6, "promoted", "It is better.", {})
    assert house.look() == {}


def test_data_that_fails_a_check(house: House) -> None:
    bad = {"table_name": "silver.sale", "check_name": "fresh", "passed": 0, "value": 3.0,
           "detail": "The newest row is 3 days old."}  # fmt: skip
    house.state.save_quality([bad])
    assert house.look() == {"quality.silver.sale.fresh": "warning"}
    house.state.save_quality([{**bad, "passed": 1}])
    assert house.look() == {}


def test_a_source_whose_rows_are_refused_more_than_they_should(house: House) -> None:
    house.state.count_source("tills", accepted=10_000, dead=900)
    house.look()
    house.state.count_source("tills", accepted=300, dead=15)
    assert house.look() == {}  # 15 are too few to say
    house.state.count_source("tills", accepted=100, dead=10)
    assert house.look() == {"dead_letters.tills": "warning"}  # 25 of 425 are 5.9 %
    assert "6% of the rows of tills" in house.summary("dead_letters.tills")
    assert house.look(HOUR) == {}


def test_a_source_that_has_gone_silent(tmp_path: Path) -> None:
    sources = {name: {"plugin": "tabular"} for name in ("tills", "monthly", "new")}
    house = House(
        tmp_path, source=sources, alerts={"silent_hours": 4, "silent_hours_of": {"monthly": 800}}
    )
    for name in ("tills", "monthly", "api"):
        house.state.count_source(name, accepted=1)
    assert house.look(3.9 * HOUR) == {}
    assert house.look(0.2 * HOUR) == {"silent.tills": "warning"}
    house.state.count_source("tills", accepted=1)
    house.state.rows("UPDATE source_stat SET last_event = ? RETURNING instance", [house.now])
    assert house.look() == {}


@pytest.mark.parametrize(
    ("free", "days", "severity"),
    [
        (50, None, None),
        (11, 30.0, None),
        (9, None, "warning"),
        (50, 6.9, "warning"),
        (4.9, None, "critical"),
    ],
)
def test_a_disk_that_fills(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    free: float,
    days: float | None,
    severity: str | None,
) -> None:
    space = disk.Space(int(free * 1000), 100_000, days)
    monkeypatch.setattr(disk, "space", lambda _data, _now: space)
    house.look()
    row = house.state.row("SELECT severity FROM alert WHERE key = 'disk.data'")
    assert (row and row["severity"]) == severity


@pytest.mark.parametrize(
    ("days", "severity"),
    [(22, None), (20.9, "info"), (6.9, "warning"), (0.9, "critical"), (-3, "critical")],
)
def test_a_certificate_that_ends(
    house: House, tmp_path: Path, days: float, severity: str | None
) -> None:
    path, _ = make_certificate(tmp_path, days)
    found = list(Certificate().look(_facts(house, path)))
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_a_certificate_that_cannot_be_read(house: House, tmp_path: Path) -> None:
    (found,) = Certificate().look(_facts(house, tmp_path / "none.pem"))
    assert found.severity == "critical"
    (tmp_path / "odd.pem").write_text("odd")
    (found,) = Certificate().look(_facts(house, tmp_path / "odd.pem"))
    assert "it is no certificate" in found.summary


def _facts(house: House, certificate: Path) -> Facts:
    api = house.settings.api.model_copy(update={"tls_certificate": str(certificate)})
    settings = house.settings.model_copy(update={"api": api})
    return Facts(house.state, house.data, settings, time.time())


def test_the_end_of_a_certificate_is_read_to_the_second(tmp_path: Path) -> None:
    path, _ = make_certificate(tmp_path, 30)
    assert ends_at(path.read_bytes()) == pytest.approx(time.time() + 30 * DAY, abs=10)


@pytest.mark.parametrize("cut", [0, 40, 200, 400])
def test_a_broken_certificate_is_said_to_be_one(tmp_path: Path, cut: int) -> None:
    path, _ = make_certificate(tmp_path)
    lines = path.read_bytes()
    end = b"\n-----END CERTIFICATE-----\n"
    with pytest.raises(CertificateError):
        ends_at(lines[:cut] + end)


def test_one_condition_that_fails_does_not_hide_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "space", lambda _data, _now: 1 / 0)
    house.ran("refresh", "failed", "Oh.")
    assert house.look() == {"job.refresh.failed": "error"}


def test_looking_again_writes_nothing_new(house: House) -> None:
    house.ran("refresh", "failed", "Oh.")
    for _ in range(5):
        house.look()
    row = house.state.row("SELECT count FROM alert WHERE key = 'job.refresh.failed'")
    assert row == {"count": 1}
