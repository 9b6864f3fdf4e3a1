"""`retaildctl check`."""

from __future__ import annotations

from typing import Any

import click

from retaild.cli import exits
from retaild.cli.command import command as make
from retaild.cli.output import paint
from retaild.cli.session import Session

#: The daemon reads and checks everything before it answers.
_DIFF_SECONDS = 130.0


@make(help="Check the configuration; show every fault with file and line. Exit code 4: faults.")
@click.option(
    "--diff", is_flag=True, help="Show also what a reload would change; nothing is changed."
)
def command(session: Session, diff: bool) -> int:
    return _check_and_compare(session) if diff else _check(session)


def _check(session: Session) -> int:
    from retaild.runtime.check import check_all

    faults = check_all(session.config, session.data_option, listening=session.is_running())
    errors = [fault for fault in faults if fault.severity == "error"]
    shown = {
        "ok": not errors,
        "config": session.config_file,
        "faults": [_fields(f) for f in faults],
    }
    session.show(shown, lambda: _tell(session, faults, len(errors)))
    return exits.FAULTS if errors else exits.OK


def _check_and_compare(session: Session) -> int:
    """By the running daemon, whose files and environment they are. Raises NotRunningError."""
    from retaild.runtime.control import request

    found = request(session.data, "config-diff", timeout=_DIFF_SECONDS)
    errors = [fault for fault in found["faults"] if fault["severity"] == "error"]
    session.show({"ok": not errors, **found}, lambda: _tell_difference(found, len(errors)))
    return exits.FAULTS if errors else exits.OK


def _tell_difference(found: dict[str, Any], errors: int) -> None:
    from retaild.cli.difference import (
        expected_pauses,
        show_changes,
        show_faults,
        show_touched,
    )

    show_faults(found["faults"])
    if errors:
        click.echo("A reload would be refused; nothing would be touched.")
        return
    show_changes(found["changes"])
    show_touched(found["touched"], done=False)
    if not found["changes"]:
        number = found["active"]["number"]
        click.echo(f"No difference to configuration {number}, which is in force.")
    for line in expected_pauses(found["touched"]) if found["changes"] else []:
        click.echo(line)


def _fields(fault: Any) -> dict[str, Any]:
    return {name: getattr(fault, name) for name in fault.__dataclass_fields__}


def _tell(session: Session, faults: list[Any], errors: int) -> None:
    for fault in faults:
        warning = fault.severity == "warning"
        label = paint("warning" if warning else "error", "yellow" if warning else "red", bold=True)
        click.echo(f"{paint(fault.place, bold=True)}: {label}: {fault.message}")
        if fault.hint:
            click.echo(f"    {fault.hint}")
    where = session.config_file or "the defaults (there is no configuration file)"
    if errors:
        click.echo(f"{errors} fault{'s' if errors > 1 else ''} in {where}.")
    else:
        click.echo(f"No fault in {where}.")
