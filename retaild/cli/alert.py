"""`retaildctl alert list|show|ack|silence|unsilence|test|history`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from retaild.cli import exits
from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.output import ago, columns, duration, iso, print_facts, print_table
from retaild.cli.session import Session

if TYPE_CHECKING:
    from retaild.runtime.alerts.desk import AlertDesk

command = group("See what is wrong, who was told, and quiet it while you work on it.")

SEVERITIES = ("info", "warning", "error", "critical")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _desk(session: Session) -> AlertDesk:
    from retaild.runtime.alerts.desk import AlertDesk

    return AlertDesk(session.state)


@contextmanager
def _written_down(session: Session, what: str) -> Iterator[None]:
    """What the desk notes inside becomes entries of the audit log."""
    from retaild.runtime.access.audit import noting

    with noting() as notes:
        yield
    for note in notes:
        session.record(what, note.target, before=note.before, after=note.after)


@make(group=command, name="list", help="List open alerts, the most severe first, and silences.")
def list_(session: Session) -> None:
    from retaild.runtime.alerts.desk import facts_of

    desk = _desk(session)
    alerts = [facts_of(row) for row in desk.open()]
    silences = desk.silences()
    shown = {"alerts": alerts, "silences": silences, "sinks": desk.sinks()}
    session.show(shown, lambda: _tell(alerts, silences))


def _tell(alerts: list[dict[str, Any]], silences: list[dict[str, Any]]) -> None:
    _tell_alerts(alerts, "No alert is open.")
    if silences:
        click.echo()
        table = [
            ("silence", lambda row: row["id"]),
            ("for", lambda row: _matcher(row["matcher"])),
            ("ends in", lambda row: duration(row["until"] - time.time())),
            ("by", lambda row: row["by"]),
            ("comment", lambda row: row["comment"]),
        ]
        print_table(silences, table, "")


def _matcher(matcher: dict[str, str]) -> str:
    said = [f"{name} {value}" for name, value in matcher.items() if value]
    return ", ".join(said) or "everything"


def _tell_alerts(alerts: list[dict[str, Any]], empty: str) -> None:
    table = [
        *columns("id severity state"),
        ("since", lambda row: ago(row["started"])),
        *columns("key summary"),
    ]
    print_table(alerts, table, empty)


@make(group=command, name="history", help="List alerts that are over, the latest first.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True,
    help="At most so many rows.",
)  # fmt: skip
@click.option("--messages", is_flag=True, help="List messages to the sinks instead.")
@click.option("--sink", default="", help="Only messages to this sink.")
def history(session: Session, limit: int, messages: bool, sink: str) -> None:
    from retaild.runtime.alerts.desk import facts_of

    desk = _desk(session)
    if messages or sink:
        rows = desk.deliveries(sink=sink, limit=limit)
        session.show({"messages": rows}, lambda: _tell_messages(rows, "No message was made."))
        return
    alerts = [facts_of(row) for row in desk.history(limit)]
    session.show({"alerts": alerts}, lambda: _tell_alerts(alerts, "No alert is over yet."))


def _tell_messages(rows: list[dict[str, Any]], empty: str) -> None:
    table = [
        *columns("number sink action state attempts"),
        ("made", lambda row: ago(row["created"])),
        ("summary", lambda row: row["notification"]["summary"]),
        ("error", lambda row: row["error"]),
    ]
    print_table(rows, table, empty)


@make(group=command, name="show", help="Show an alert and the messages about it.")
@click.argument("number", type=int)
def show(session: Session, number: int) -> None:
    from retaild.runtime.alerts.desk import facts_of

    row = _desk(session).alert(number)
    facts = facts_of(row)
    session.show({**facts, "messages": row["deliveries"]}, lambda: _tell_one(facts, row))


def _tell_one(facts: dict[str, Any], row: dict[str, Any]) -> None:
    shown = {name: value for name, value in facts.items() if name not in ("details", "group")}
    for name in ("started", "last", "acknowledged", "resolved"):
        shown[name] = iso(shown[name]) if shown[name] is not None else None
    print_facts([*((n.replace("_", " "), v) for n, v in shown.items() if v not in (None, "")),
                 *facts["details"].items()])  # fmt: skip
    click.echo()
    _tell_messages(row["deliveries"], "Nobody was told yet.")


@make(group=command, name="ack", help="Say that you work on it: no repeats, no escalation.")
@click.argument("numbers", type=int, nargs=-1, required=True)
def ack(session: Session, numbers: tuple[int, ...]) -> None:
    from retaild.runtime.access.audit import system_user
    from retaild.runtime.alerts.desk import facts_of

    by = system_user().removeprefix("system user ")
    with _written_down(session, "alert.acknowledge"):
        rows = [_desk(session).acknowledge(number, by=by) for number in numbers]
    shown = {"alerts": [facts_of(row) for row in rows]}
    session.show(shown, lambda: click.echo(f"{len(rows)} acknowledged."))


def _seconds(_ctx: click.Context, _param: click.Parameter, text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not match:
        raise click.BadParameter(f"{text!r} is no span such as 30m, 2h or 1d.")
    return float(match[1]) * _UNITS[match[2]]


@make(group=command, name="silence", help="Tell nobody of what matches, for a while.")
@click.argument("key", default="")
@click.option("--source", default="", help="Only alerts raised by this: instance, job, disk, ...")
@click.option("--severity", type=click.Choice(SEVERITIES), default=None,
              help="Only up to this severity.")  # fmt: skip
@click.option("--for", "span", default="2h", show_default=True, callback=_seconds, metavar="SPAN",
              help="30m, 2h, 1d; at most 30d.")  # fmt: skip
@click.option("--comment", default="", help="Why; people read it.")
@click.option("--all", "everything", is_flag=True, help="Whatever it is.")
def silence(
    session: Session, key: str, source: str, severity: str | None, span: float, comment: str,
    everything: bool,
) -> None:  # fmt: skip
    """KEY is an alert's key or its first parts: instance.source."""
    if everything == bool(key or source or severity):
        raise click.UsageError("Say what to silence (a key, --source, --severity), or --all.")
    from retaild.runtime.access.audit import system_user
    from retaild.runtime.alerts.routing import Matcher

    until = time.time() + span
    by = system_user().removeprefix("system user ")
    matcher = Matcher(key, source, severity or "")
    with _written_down(session, "alert.silence"):
        number = _desk(session).silence(matcher, until=until, by=by, comment=comment)
    after = {"key": key, "source": source, "severity": severity or "", "until": until}
    session.show({"id": number, **after},
                 lambda: click.echo(f"Silence {number} ends in {duration(span)}."))  # fmt: skip


@make(group=command, name="unsilence", help="End a silence now.")
@click.argument("number", type=int)
def unsilence(session: Session, number: int) -> None:
    with _written_down(session, "alert.unsilence"):
        _desk(session).unsilence(number)
    session.show({"id": number}, lambda: click.echo(f"Silence {number} has ended."))


@make(group=command, name="test", help="Send a test alert through the whole chain to SINK or all.")
@click.argument("sinks", nargs=-1, metavar="[SINK]...")
@click.option("--timeout", type=click.FloatRange(1, 600), default=60.0, show_default=True,
              help="Seconds to wait for the receivers.")  # fmt: skip
def test(session: Session, sinks: tuple[str, ...], timeout: float) -> int:
    from retaild.runtime.alerts.trial import trial

    session.daemon("ping")
    outcomes = trial(session.state, session.settings, sinks, timeout)
    said = {o.sink: o.state for o in outcomes}
    session.record("alert.test", ", ".join(said), after=said)
    rows = [{"sink": o.sink, "state": o.state, "seconds": round(o.seconds, 1), "error": o.error}
            for o in outcomes]  # fmt: skip
    session.show(
        {"sinks": rows}, lambda: print_table(rows, columns("sink state seconds error"), "")
    )
    return exits.OK if all(row["state"] == "delivered" for row in rows) else exits.FAILURE
