"""`retaildctl`: a file per command, loaded only when that command is used. Start at `app.py`."""

from __future__ import annotations


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; the exit code (see `exits.py`)."""
    from retaild.cli.app import run

    return run(arguments)
