"""`retaildctl run`."""

from __future__ import annotations

from retaild.cli.command import command as make
from retaild.cli.session import Session


@make(json=False, help="Run the daemon in the foreground until Ctrl-C or SIGTERM.")
def command(session: Session) -> int:
    from retaild.daemon.__main__ import run

    return run(session.config, session.data_option)
