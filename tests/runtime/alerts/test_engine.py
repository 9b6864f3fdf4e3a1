"""Who is told what, and when: by a clock that the tests move."""

from __future__ import annotations

from pathlib import Path

import pytest

from retaild.api.alert import Notification
from retaild.api.errors import ConfigError, TransientError
from retaild.runtime.alerts.desk import AlertDesk
from retaild.runtime.alerts.routing import Matcher
from retaild.runtime.instances import InstanceStore
from tests.runtime.alerts.bench import START, Bench

MINUTE, HOUR = 60.0, 3600.0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_alert_is_told_once_its_group_had_time_to_gather(bench: Bench) -> None:
    bench.wrong("job.refresh.failed", summary="Job refresh failed.")
    bench.go(9)
    assert bench.pager.said() == []
    bench.go(1)
    assert bench.pager.said() == [("trigger", "Job refresh failed.")]
    (told,) = bench.pager.heard
    assert told.severity == "error"
    assert told.alerts[0].hint == "Mend it."
    assert told.url == "http://127.0.0.1:8470/admin/alerts"
    assert told.store == "main"


def test_a_critical_one_does_not_wait(bench: Bench) -> None:
    bench.wrong("disk.data", "critical")
    bench.go()
    assert len(bench.pager.heard) == 1


def test_nothing_is_said_twice_while_nothing_changes(bench: Bench) -> None:
    for _ in range(30):
        bench.wrong("job.refresh.failed")
        bench.go(20)
    assert len(bench.pager.heard) == 1


def test_alerts_of_a_kind_make_one_message_and_others_make_another(bench: Bench) -> None:
    for name in ("tills", "web"):
        bench.wrong(f"instance.source.{name}.quarantined", summary=f"{name} is in quarantine.")
    bench.wrong("job.refresh.failed", summary="Job refresh failed.")
    bench.go(20)
    assert bench.pager.said() == [
        ("trigger", "2 alerts: tills is in quarantine."),
        ("trigger", "Job refresh failed."),
    ]


def test_one_that_joins_is_told_after_the_interval(bench: Bench) -> None:
    bench.wrong("instance.source.tills.quarantined")
    bench.go(10)
    bench.wrong("instance.source.web.quarantined")
    bench.go(59)
    assert len(bench.pager.heard) == 1
    bench.go(5)
    first, second = bench.pager.heard
    assert second.group == first.group
    assert second.id != first.id
    assert [alert.key for alert in second.alerts] == [
        "instance.source.tills.quarantined",
        "instance.source.web.quarantined",
    ]


def test_it_is_over_after_a_while_of_quiet(bench: Bench) -> None:
    bench.wrong("job.refresh.failed", summary="Job refresh failed.")
    bench.go(20)
    bench.well("job.refresh.failed")
    bench.go(119)
    assert len(bench.pager.heard) == 1
    bench.go(2)
    assert bench.pager.said()[1:] == [("resolve", "Resolved: Job refresh failed.")]
    assert bench.pager.heard[1].alerts[0].resolved == START + 20
    assert bench.pager.heard[1].group == bench.pager.heard[0].group


def test_what_comes_and_goes_pages_once(bench: Bench) -> None:
    for _ in range(20):
        bench.wrong("lag.lake")
        bench.go(30)
        bench.well("lag.lake")
        bench.go(30)
    bench.go(200)
    assert [action for action, _ in bench.pager.said()] == ["trigger", "resolve"]
    assert bench.pager.heard[1].alerts[0].count == 20


def test_what_was_over_before_anyone_was_told_pages_nobody(bench: Bench) -> None:
    bench.wrong("lag.lake")
    bench.go(4)
    bench.well("lag.lake")
    bench.go(300)
    assert bench.pager.heard == []
    assert [row["key"] for row in AlertDesk(bench.state).history()] == ["lag.lake"]


def test_the_next_time_is_a_message_of_its_own(bench: Bench) -> None:
    for _ in range(2):
        bench.wrong("lag.lake")
        bench.go(20)
        bench.well("lag.lake")
        bench.go(130)
    groups = [message.group for message in bench.pager.heard]
    assert groups[0] == groups[1]
    assert groups[2] == groups[3]
    assert groups[0] != groups[2]


def test_a_rising_severity_is_told(bench: Bench) -> None:
    bench.wrong("disk.data", "warning")
    bench.go(20)
    bench.wrong("disk.data", "critical")
    bench.go(60)
    assert [message.severity for message in bench.pager.heard] == ["warning", "critical"]


def test_it_is_told_again_while_nobody_took_it_on(bench: Bench) -> None:
    bench.wrong("job.refresh.failed")
    bench.go(12 * HOUR + 30, step=10)
    assert [action for action, _ in bench.pager.said()] == ["trigger", "trigger"]


# -- people ----------------------------------------------------------------------------------------


def test_an_acknowledgement_is_passed_on_and_ends_the_repeats(bench: Bench) -> None:
    bench.wrong("job.refresh.failed", summary="Job refresh failed.")
    bench.go(20)
    AlertDesk(bench.state).acknowledge(1, by="ann", now=bench.now)
    bench.go(13 * HOUR, step=60)
    assert bench.pager.said()[1:] == [("acknowledge", "Acknowledged by ann: Job refresh failed.")]
    bench.well("job.refresh.failed")
    bench.go(130)
    assert bench.pager.said()[2:] == [("resolve", "Resolved: Job refresh failed.")]


def test_an_acknowledged_message_takes_no_new_alert_in(bench: Bench) -> None:
    """A receiver is silent about what somebody works on: the new one must page."""
    bench.wrong("instance.source.tills.quarantined")
    bench.go(20)
    AlertDesk(bench.state).acknowledge(1, by="ann", now=bench.now)
    bench.go(2)
    bench.wrong("instance.source.web.quarantined")
    bench.go(20)
    last = bench.pager.heard[-1]
    assert last.action == "trigger"
    assert last.group != bench.pager.heard[0].group
    assert [alert.key for alert in last.alerts] == ["instance.source.web.quarantined"]


def test_what_gets_worse_pages_again_although_acknowledged(bench: Bench) -> None:
    bench.wrong("disk.data", "warning")
    bench.go(20)
    AlertDesk(bench.state).acknowledge(1, by="ann", now=bench.now)
    bench.go(2)
    bench.wrong("disk.data", "critical")
    bench.go(2)
    actions = [(message.action, message.severity) for message in bench.pager.heard]
    assert actions[:2] == [("trigger", "warning"), ("acknowledge", "warning")]
    assert ("trigger", "critical") in actions[2:]
    assert len(bench.pager.open_groups()) == 1


def silence(bench: Bench, desk: AlertDesk, matcher: Matcher) -> int:
    until = bench.now + HOUR
    return desk.silence(matcher, until=until, by="ann", comment="moving", now=bench.now)


def test_a_silence_holds_its_tongue_until_it_ends(bench: Bench) -> None:
    desk = AlertDesk(bench.state)
    matcher = Matcher(key="instance.source")
    silence(bench, desk, matcher)
    bench.wrong("instance.source.tills.quarantined")
    bench.wrong("job.refresh.failed", summary="Job refresh failed.")
    bench.go(HOUR - 10, step=10)
    assert bench.pager.said() == [("trigger", "Job refresh failed.")]
    bench.go(20)
    assert len(bench.pager.heard) == 2


def test_a_silence_does_not_keep_the_end_from_being_told(bench: Bench) -> None:
    bench.wrong("job.refresh.failed")
    bench.go(20)
    desk = AlertDesk(bench.state)
    silence(bench, desk, Matcher())
    bench.well("job.refresh.failed")
    bench.go(130)
    assert [action for action, _ in bench.pager.said()] == ["trigger", "resolve"]


def test_a_silence_that_was_taken_back_is_over(bench: Bench) -> None:
    desk = AlertDesk(bench.state)
    number = silence(bench, desk, Matcher())
    bench.wrong("job.refresh.failed")
    bench.go(60)
    desk.unsilence(number, now=bench.now)
    bench.go(2)
    assert len(bench.pager.heard) == 1


@pytest.mark.parametrize(
    ("matcher", "silent"),
    [
        (Matcher(key="instance.source"), True),
        (Matcher(key="instance.sour"), False),
        (Matcher(key="instance.source.tills.quarantined"), True),
        (Matcher(source="instance"), True),
        (Matcher(source="job"), False),
        (Matcher(severity="error"), True),
        (Matcher(severity="warning"), False),
        (Matcher(source="instance", severity="warning"), False),
    ],
)
def test_what_a_silence_matches(matcher: Matcher, silent: bool) -> None:
    row = {"key": "instance.source.tills.quarantined", "source": "instance", "severity": "error"}
    assert matcher.matches(row) is silent


# -- routes ----------------------------------------------------------------------------------------


def test_each_sink_is_told_what_its_route_says(tmp_path: Path) -> None:
    routes = {"pager": {"min_severity": "critical"}, "buyers": {"sources": ["quality"]}}
    bench = Bench(tmp_path, alert={"pager": {}, "mail": {}, "buyers": {}}, alerts={"route": routes})
    bench.wrong("quality.silver.sale", "warning")
    bench.wrong("disk.data", "critical")
    bench.wrong("model.price.refused", "info")
    bench.go(20)
    keys = {
        name: [message.alerts[0].key for message in receiver.heard]
        for name, receiver in bench.receivers.items()
    }
    assert keys == {
        "pager": ["disk.data"],
        "mail": ["disk.data", "quality.silver.sale"],
        "buyers": ["quality.silver.sale"],
    }


def test_components_in_quarantine_make_one_message_and_have_a_route(tmp_path: Path) -> None:
    bench = Bench(tmp_path, alerts={"route": {"pager": {"sources": ["instance"]}}})
    bench.wrong("disk.data", "critical")
    store = InstanceStore(bench.state)
    for name in ("tills", "web"):
        store.put_into_quarantine("source", name, "it crashed", "failures", [])
    bench.go(20)
    assert bench.pager.said() == [
        ("trigger", "2 alerts: Source tills is in quarantine: it crashed")
    ]


def test_who_is_not_heard_of_in_time_is_passed_over(tmp_path: Path) -> None:
    sinks = {"alert": {"pager": {}, "boss": {}, "owner": {}}}
    routes = {"boss": {"escalation": 1}, "owner": {"escalation": 2}}
    bench = Bench(tmp_path, **sinks, alerts={"route": routes, "group_wait_seconds": 0})
    bench.wrong("job.refresh.failed")
    bench.go(15 * MINUTE - 2)
    assert [len(r.heard) for r in bench.receivers.values()] == [1, 0, 0]
    bench.go(4)
    assert [len(r.heard) for r in bench.receivers.values()] == [1, 1, 0]
    assert bench.receivers["boss"].heard[0].escalation == 1
    AlertDesk(bench.state).acknowledge(1, by="boss", now=bench.now)
    bench.go(HOUR, step=10)
    assert bench.receivers["owner"].heard == []
    bench.well("job.refresh.failed")
    bench.go(130)
    for told in ("pager", "boss"):
        assert bench.receivers[told].heard[-1].action == "resolve"
    assert bench.receivers["owner"].heard == []


def test_a_sink_that_was_taken_out_and_put_back_is_told_of_the_end(bench: Bench) -> None:
    bench.wrong("job.refresh.failed")
    bench.go(20)
    bench.reconfigure(alert={"mail": {}})
    bench.well("job.refresh.failed")
    bench.go(300)
    bench.reconfigure(alert={"pager": {}})
    bench.go(10)
    assert [action for action, _ in bench.pager.said()] == ["resolve"]


# -- receivers that fail ---------------------------------------------------------------------------


def test_a_receiver_that_is_away_gets_everything_in_order_and_once(bench: Bench) -> None:
    away = TransientError("The receiver is away.")
    bench.pager.fault = lambda _message: away
    for number in range(5):
        bench.wrong(f"job.number{number}.failed", summary=f"Job {number} failed.")
        bench.go(20)
    for number in range(3):
        bench.well(f"job.number{number}.failed")
    bench.go(2 * HOUR, step=30)
    bench.restart()
    bench.pager.fault = lambda _message: None
    bench.go(1000, step=10)
    assert bench.pager.said() == [
        *(("trigger", f"Job {number} failed.") for number in range(5)),
        *(("resolve", f"Resolved: Job {number} failed.") for number in range(3)),
    ]


def test_pauses_grow_from_seconds_to_a_quarter_of_an_hour(bench: Bench) -> None:
    bench.pager.fault = lambda _message: TransientError("Away.")
    bench.wrong("job.refresh.failed")
    bench.go(10)
    bench.go(3 * HOUR, step=5)
    # 5 + 10 + 20 + ... + 640 s are 8 attempts in 21 minutes, then one each 15 minutes.
    assert 18 <= bench.pager.attempts <= 20


def test_one_message_that_fails_does_not_hold_up_the_others(bench: Bench) -> None:
    def fault(message: Notification) -> Exception | None:
        return TransientError("Odd.") if message.alerts[0].key == "job.odd.failed" else None

    bench.pager.fault = fault
    bench.wrong("job.odd.failed")
    bench.go(20)
    bench.wrong("disk.data", "critical")
    bench.go(2)
    assert [message.alerts[0].key for message in bench.pager.heard] == ["disk.data"]


def test_a_fault_of_the_plugin_loses_nothing(bench: Bench) -> None:
    bench.pager.fault = lambda _message: ZeroDivisionError("oops")
    bench.wrong("job.refresh.failed")
    bench.go(20)
    bench.pager.fault = lambda _message: None
    bench.go(60)
    assert len(bench.pager.heard) == 1


def test_what_a_receiver_refuses_is_kept_with_the_reason_and_told_to_the_others(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, alert={"pager": {}, "mail": {}})
    bench.pager.fault = lambda _message: ConfigError("The routing key is unknown.")
    bench.wrong("job.refresh.failed", summary="Job refresh failed.")
    bench.go(60)
    (delivery,) = [d for d in AlertDesk(bench.state).deliveries() if d["sink"] == "pager"]
    assert (delivery["state"], delivery["attempts"]) == ("refused", 1)
    assert "The routing key is unknown." in delivery["error"]
    assert bench.receivers["mail"].said() == [
        ("trigger", "Job refresh failed."),
        ("trigger", "Sink pager cannot deliver a message: The routing key is unknown."),
    ]
    # The receiver that refused to hear of it is not told that it is over.
    bench.well("job.refresh.failed")
    bench.pager.fault = lambda _message: None
    bench.go(200)
    assert bench.pager.heard == []
    assert ("resolve", "Resolved: Job refresh failed.") in bench.receivers["mail"].said()


def test_others_hear_of_a_sink_that_fails_for_long_and_that_it_works_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, alert={"pager": {}, "mail": {}})
    bench.pager.fault = lambda _message: TransientError("Connection refused.")
    bench.wrong("job.refresh.failed")
    bench.go(600)
    assert bench.receivers["mail"].said()[1:] == [
        ("trigger", "Sink pager does not reach its receiver: Connection refused.")
    ]
    bench.restart()
    bench.pager.fault = lambda _message: None
    bench.go(1200)
    assert bench.receivers["mail"].heard[-1].action == "resolve"
    assert len(bench.pager.heard) == 1


def test_a_killed_process_tries_the_same_message_again(bench: Bench) -> None:
    class Killed(BaseException):
        pass

    def killed(_message: Notification) -> Exception | None:
        raise Killed

    bench.wrong("job.refresh.failed")
    bench.pager.fault = killed
    with pytest.raises(Killed):
        bench.go(20)
    (row,) = bench.state.rows("SELECT * FROM alert_delivery")
    assert row["state"] == "sending"
    bench.restart()
    bench.pager.fault = lambda _message: None
    bench.go(20)
    assert [message.id for message in bench.pager.heard] == [row["id"]]


def test_a_queue_is_bounded_and_what_is_still_wrong_is_told_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retaild.runtime.alerts.engine.MAX_WAITING", 3)
    bench = Bench(tmp_path)
    bench.pager.fault = lambda _message: TransientError("Away.")
    for number in range(10):
        bench.wrong(f"job.number{number}.failed")
    bench.go(100)
    assert bench.postmen["pager"].queue.waiting() == 3
    bench.pager.fault = lambda _message: None
    bench.go(600)
    assert len(bench.pager.open_groups()) == 10


def test_a_clock_set_back_holds_nothing_up(bench: Bench) -> None:
    bench.wrong("job.refresh.failed")
    bench.go(20)
    bench.pager.fault = lambda _message: TransientError("Away.")
    bench.well("job.refresh.failed")
    bench.go(130)
    bench.pager.fault = lambda _message: None
    bench.now -= 30 * 86_400
    bench.go(10)
    assert [action for action, _ in bench.pager.said()] == ["trigger", "resolve"]


def test_what_is_over_is_forgotten_after_a_while(bench: Bench) -> None:
    bench.wrong("job.refresh.failed")
    bench.go(20)
    bench.well("job.refresh.failed")
    bench.go(200)
    bench.wrong("disk.data", "critical")
    bench.go(20)
    bench.engine.trim(bench.now + 89 * 86_400)
    assert len(bench.state.rows("SELECT id FROM alert")) == 2
    bench.engine.trim(bench.now + 91 * 86_400)
    (left,) = bench.state.rows("SELECT key FROM alert")
    assert left["key"] == "disk.data"
    assert len(bench.state.rows("SELECT id FROM alert_delivery")) == 1
