"""`retaildctl audit list|verify`."""

from __future__ import annotations

import json
from typing import Any

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.exits import FailedError
from retaild.cli.output import iso, print_table
from retaild.cli.session import Session

command = group("Look into the log of all changes.")


@make(group=command, name="list", help="List changes, newest first.")
@click.option("--who", default="", help='Only of this one: "user ann", "system user root".')
@click.option("--what", default="", help="Only of this kind: job.run, price.approve, user.add.")
@click.option("--search", default="", help="Only with this in the target or the values.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True,
              help="At most so many.")  # fmt: skip
def list_(session: Session, who: str, what: str, search: str, limit: int) -> None:
    from retaild.runtime.access.audit import entries

    found = entries(session.state, who=who, what=what, search=search, limit=limit)
    columns: list[tuple[str, Any]] = [
        ("at", lambda row: iso(row["at"])),
        ("who", lambda row: row["who"]),
        ("via", lambda row: row["via"]),
        ("what", lambda row: row["what"]),
        ("target", lambda row: row["target"]),
        ("before", lambda row: _short(row["before"])),
        ("after", lambda row: _short(row["after"])),
    ]
    empty = "Nothing was changed so far, or nothing matches."
    session.show(found, lambda: print_table(found["entries"], columns, empty))


def _short(value: Any) -> str:
    from retaild.runtime.access.audit import readable

    return "" if value is None else json.dumps(readable(value), ensure_ascii=False)


@make(group=command, name="verify", help="Prove that no entry was changed or taken out.")
@click.option("--head", default="", metavar="DIGEST",
              help="A digest that `verify` printed before, kept elsewhere: it must still be there, "
              "so nothing was cut off after it.")  # fmt: skip
def verify(session: Session, head: str) -> None:
    from retaild.runtime.access.audit import verify as work_out

    verdict = work_out(session.state)
    if verdict.broken is not None:
        raise FailedError(
            f"Entry {verdict.broken} does not follow from the one before it: "
            "somebody changed the file by other ways than retaild's."
        )
    known = not head or session.state.row("SELECT id FROM audit WHERE digest = ?", [head])
    if not known:
        raise FailedError(f"The entry with the digest {head} is gone: the log was cut off.")
    shown = {"entries": verdict.count, "head": verdict.head}
    session.show(
        shown, lambda: click.echo(f"{verdict.count} entries, unbroken. Head: {verdict.head or '-'}")
    )
