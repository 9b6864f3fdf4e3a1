"""Whatever happens in whatever order: in the end each receiver knows what is so."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from retaild.api.alert import SEVERITIES, Notification
from retaild.api.errors import RetaildError, TransientError
from retaild.runtime.alerts.desk import AlertDesk
from retaild.runtime.alerts.routing import Matcher
from tests.runtime.alerts.bench import Bench

KEYS = ("job.a.failed", "job.b.failed", "instance.source.tills.quarantined", "disk.data")
SINKS = {"pager": {}, "mail": {}, "boss": {}}
ROUTES = {"pager": {"min_severity": "error"}, "boss": {"escalation": 1}}

Deed = Callable[[Bench], None]


class Killed(BaseException):
    """The process ends here and now."""


def _raise(key: str, severity: str) -> Deed:
    return lambda bench: bench.wrong(key, severity)  # type: ignore[arg-type]


def _resolve(key: str) -> Deed:
    return lambda bench: bench.well(key)


def _pass(seconds: float) -> Deed:
    return lambda bench: bench.go(seconds, step=max(2.0, seconds / 20))


def _acknowledge(place: int) -> Deed:
    def deed(bench: Bench) -> None:
        desk = AlertDesk(bench.state)
        rows = desk.open()
        if rows:
            desk.acknowledge(rows[place % len(rows)]["id"], by="ann", now=bench.now)

    return deed


def _silence(key: str, seconds: float) -> Deed:
    def deed(bench: Bench) -> None:
        until, now = bench.now + seconds, bench.now
        AlertDesk(bench.state).silence(Matcher(key=key), until=until, by="ann", comment="", now=now)

    return deed


def _kill(sink: str, *, heard: bool) -> Deed:
    """While it sends: before or after the receiver heard it."""

    def deed(bench: Bench) -> None:
        receiver = bench.receivers[sink]

        def fault(message: Notification) -> Exception | None:
            if heard:
                receiver.heard.append(message)
            raise Killed

        receiver.fault = fault
        try:
            bench.go(4)
        except Killed:
            pass
        finally:
            receiver.fault = lambda _message: None
        bench.restart()

    return deed


def _away(sink: str, seconds: float) -> Deed:
    def deed(bench: Bench) -> None:
        bench.receivers[sink].fault = lambda _message: TransientError("Away.")
        _pass(seconds)(bench)
        bench.receivers[sink].fault = lambda _message: None

    return deed


keys, sinks = st.sampled_from(KEYS), st.sampled_from(tuple(SINKS))
times = st.sampled_from([1.0, 5.0, 12.0, 70.0, 130.0, 1000.0, 5000.0])
deeds = st.lists(
    st.one_of(
        st.builds(_raise, keys, st.sampled_from(SEVERITIES)),
        st.builds(_resolve, keys),
        st.builds(_pass, times),
        st.builds(_acknowledge, st.integers(0, 3)),
        st.builds(_silence, keys, times),
        st.builds(_kill, sinks, heard=st.booleans()),
        st.builds(_away, sinks, times),
    ),
    max_size=25,
)


@settings(max_examples=30)
@given(deeds)
def test_in_the_end_each_receiver_knows_what_is_so(sequence: list[Deed]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), alert=SINKS, alerts={"route": ROUTES})
        for deed in sequence:
            deed(bench)
        # Silences end, receivers come back, flapping calms down.
        bench.go(3 * 3600, step=60)
        open_rows = [row for row in AlertDesk(bench.state).open() if row["resolved"] is None]
        for name, receiver in bench.receivers.items():
            _check_receiver(bench, name, {row["key"]: row for row in open_rows})
            _check_order(receiver.heard)
        bench.state.close()


def _check_receiver(bench: Bench, sink: str, rows: dict[str, dict[str, object]]) -> None:
    route = next(r for r in bench.engine._routes if r.sink == sink)
    wanted = {key for key, row in rows.items() if route.wants(row)}
    believed = bench.receivers[sink].open_groups().values()
    known = [alert.key for message in believed for alert in message.alerts]
    # Nothing is believed to be wrong that is not, and nothing twice.
    assert set(known) <= wanted, (sink, known, wanted)
    assert len(set(known)) == len(known)
    # What is wrong, and nobody has taken on, is known.
    free = {key for key in wanted if rows[key]["acknowledged"] is None}
    assert free <= set(known), (sink, known, wanted)
    assert bench.postmen[sink].queue.waiting() == 0


def _check_order(heard: list[Notification]) -> None:
    """A group begins with a trigger, and after its end with another one."""
    is_open: dict[str, bool] = {}
    unique = {message.id: message for message in heard}
    for message in unique.values():
        if not is_open.get(message.group):
            assert message.action == "trigger"
        is_open[message.group] = message.action != "resolve"


def test_a_receiver_that_refuses_everything_changes_nothing_for_the_others(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, alert={"pager": {}, "mail": {}})
    bench.pager.fault = lambda _message: RetaildError("No.")
    for key in KEYS:
        bench.wrong(key)
    bench.go(30)
    for key in KEYS:
        bench.well(key)
    bench.go(3600, step=10)
    assert set(bench.receivers["mail"].open_groups()) == {
        row["group_key"] for row in AlertDesk(bench.state).open()
    }
