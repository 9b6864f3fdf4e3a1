"""`retaildctl bundle debug`."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import click

from retaild.api.errors import RetaildError
from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.exits import FailedError
from retaild.cli.output import size
from retaild.cli.session import Session

command = group("Collect what a helper needs to understand a fault.")


@make(
    group=command, name="debug",
    help="Write versions, figures, settings and logs into FILE (.tar.gz): no secrets, no data of "
    "customers or goods. Works without a daemon, and when state or configuration are broken.",
)  # fmt: skip
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
def debug(session: Session, file: Path | None) -> None:
    from retaild.cli.running import bar
    from retaild.runtime.bundle.write import write_bundle

    target = file or Path(time.strftime("retaild-debug-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime()))
    try:
        with bar(session, "bundle") as drawn:
            sizes = write_bundle(
                target, session.data, session.config_file,
                lambda done, text: drawn.show({"progress": done, "text": text}),
            )  # fmt: skip
    except OSError as error:
        hint = "Name another file."
        raise FailedError(f"{target} cannot be written: {error.strerror}.", hint) from None
    _write_down(session, target)
    shown = {"file": target, "bytes": target.stat().st_size, "parts": sizes}
    session.show(
        shown, lambda: click.echo(f"{target} ({size(target.stat().st_size)}, {len(sizes)} parts)")
    )


def _write_down(session: Session, target: Path) -> None:
    """Into the audit log, if the state can be written to: the bundle may be about just that."""
    with suppress(RetaildError, sqlite3.Error):
        session.record("bundle.debug", str(target), after={"bytes": target.stat().st_size})
