"""`retaildctl deadletter list|show|replay`."""

from __future__ import annotations

from typing import Any

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.exits import NotFoundError
from retaild.cli.output import cell, columns, print_facts, print_table
from retaild.cli.session import Session

command = group("Look at rows that were refused, and replay them after a fix.")

TABLE = "silver.dead_letter"
_FIELDS = ["event_id", "event_time", "source", "target", "place", "reason_key", "reason", "raw",
           "format"]  # fmt: skip


def _letters(session: Session, condition: Any = None) -> list[dict[str, Any]]:
    """Dead letters, newest first, with what became of a replay."""
    if not session.lake.exists(TABLE):
        return []
    found = session.lake.dataset(TABLE).to_table(columns=_FIELDS, filter=condition)
    replays = session.state.replays()
    rows: list[dict[str, Any]] = found.sort_by([("event_time", "descending")]).to_pylist()
    for row in rows:
        replay = replays.get(row["event_id"])
        row["replay"] = replay and {"at": replay["at"], "outcome": replay["outcome"]}
    return rows


@make(group=command, name="list", help="List refused rows, newest first.")
@click.option("--source", help="Only of this source.")
@click.option("--reason", metavar="KEY", help="Only with this reason key.")
@click.option("--all", "everything", is_flag=True, help="Also those that a replay has mended.")
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    help="At most so many rows.",
)
def list_(
    session: Session, source: str | None, reason: str | None, everything: bool, limit: int
) -> None:
    rows = [
        row
        for row in _letters(session)
        if source in (None, row["source"])
        and reason in (None, row["reason_key"])
        and (everything or not _mended(row))
    ]
    reasons: dict[str, int] = {}
    for row in rows:
        reasons[row["reason_key"]] = reasons.get(row["reason_key"], 0) + 1
    shown = {"total": len(rows), "by_reason": reasons, "dead_letters": rows[:limit]}
    session.show(shown, lambda: _tell(shown))


def _mended(row: dict[str, Any]) -> bool:
    return bool(row["replay"]) and row["replay"]["outcome"] == "accepted"


def _tell(shown: dict[str, Any]) -> None:
    table = columns("event_id source place reason_key reason")
    print_table(shown["dead_letters"], table, "No row was refused.")
    if shown["total"] > len(shown["dead_letters"]):
        click.echo(f"{len(shown['dead_letters'])} of {shown['total']:,}.")
    if len(shown["by_reason"]) > 1:
        counts = (f"{key} {count:,}" for key, count in shown["by_reason"].items())
        click.echo(f"By reason: {', '.join(counts)}.")


@make(group=command, name="show", help="Show a refused row with its bytes.")
@click.argument("event_id")
def show(session: Session, event_id: str) -> None:
    found = _letters(session, _is(event_id)) if session.lake.exists(TABLE) else []
    if not found:
        raise NotFoundError("dead letter", event_id, "See `retaildctl deadletter list`.")
    row = found[0]
    facts = [(name, cell(row[name])) for name in _FIELDS if name != "raw"]
    facts += [("replay", row["replay"]["outcome"] if row["replay"] else "")]
    session.show(row, lambda: _tell_one(facts, row["raw"]))


def _is(event_id: str) -> Any:
    import pyarrow.compute as pc

    return pc.field("event_id") == event_id


def _tell_one(facts: list[tuple[str, Any]], raw: bytes) -> None:
    print_facts(facts)
    click.echo()
    click.echo(raw.decode("utf-8", "backslashreplace"))


@make(group=command, name="replay", help="Read refused rows again, as their source reads now.")
@click.argument("event_ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that were not accepted yet.")
def replay(session: Session, event_ids: tuple[str, ...], everything: bool) -> int:
    if bool(event_ids) == everything:
        raise click.UsageError("Name dead letters, or say --all.")
    from retaild.cli.lake_writer import lake_writer
    from retaild.host.lifecycle import closing_always
    from retaild.runtime.importing import replay_dead_letters

    session.existing  # noqa: B018  refuses where there is no data
    context = session.context()
    with closing_always(context.bus()) as bus:
        bus.open()
        with lake_writer(context, bus) as writer:
            result = replay_dead_letters(context, None if everything else event_ids, bus=bus)
            writer.wait()
    target = "all" if everything else ", ".join(event_ids)
    before = {"waiting": result.accepted + result.refused}
    after = {"accepted": result.accepted, "refused": result.refused}
    session.record("dead_letter.replay", target[:500], before=before, after=after)
    unknown = [key for key in event_ids if key not in result.outcomes]
    shown = {"accepted": result.accepted, "refused": result.refused, "unknown": unknown,
             "outcomes": result.outcomes}  # fmt: skip
    session.show(shown, lambda: _tell_replay(shown))
    return 1 if result.refused or unknown else 0


def _tell_replay(shown: dict[str, Any]) -> None:
    click.echo(f"{shown['accepted']:,} accepted, {shown['refused']:,} refused again.")
    for event_id, outcome in list(shown["outcomes"].items())[:20]:
        if outcome != "accepted":
            click.echo(f"{event_id}: {outcome}")
    if shown["unknown"]:
        click.echo(f"Not waiting for a replay: {', '.join(shown['unknown'])}.")
