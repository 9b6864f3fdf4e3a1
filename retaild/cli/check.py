"""`retaildctl check`."""

from __future__ import annotations

from typing import Any

import click

from retaild.cli import exits
from retaild.cli.command import command as make
from retaild.cli.output import paint
from retaild.cli.session import Session


@make(help="Check the configuration; show every fault with file and line. Exit code 4: faults.")
def command(session: Session) -> int:
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
