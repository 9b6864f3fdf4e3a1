"""`retaildctl doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from retaild.cli import exits
from retaild.cli.command import command as make
from retaild.cli.output import paint
from retaild.cli.session import Session

if TYPE_CHECKING:
    from retaild.runtime.doctor.examination import Applied
    from retaild.runtime.doctor.finding import Finding

_COLOURS = {"error": "red", "warning": "yellow", "info": "blue", "ok": "green"}


@make(
    help="Look for what is wrong or soon will be, and explain it; --fix mends what can be mended "
    "without a loss. Exit code 1: something is seriously wrong."
)
@click.option("--fix", is_flag=True, help="Apply every fix that is offered, then look again.")
@click.option("--only", multiple=True, metavar="CHECK", help="Only this check; may be repeated.")
@click.option("--verbose", "-v", is_flag=True, help="Show what is in order, too.")
def command(session: Session, fix: bool, only: tuple[str, ...], verbose: bool) -> int:
    from retaild.runtime.doctor.examination import examine, mend
    from retaild.runtime.doctor.patient import Patient

    def look() -> list[Finding]:
        return examine(Patient(session.data, session.config_file), only)

    findings = look()
    applied = mend(findings) if fix else []
    if applied:
        _write_down(session, applied)
        findings = look()
    shown = {
        "findings": [finding.public() for finding in findings],
        "applied": [
            {"id": item.finding.id, "done": item.done, "failed": item.failed} for item in applied
        ],
    }
    session.show(shown, lambda: _tell(findings, applied, verbose))
    return exits.FAILURE if any(f.severity == "error" for f in findings) else exits.OK


def _write_down(session: Session, applied: list[Applied]) -> None:
    """Into the audit log, if the state can be written to."""
    import sqlite3
    from contextlib import suppress

    from retaild.api.errors import RetaildError
    from retaild.runtime.access.audit import record, system_user

    with suppress(RetaildError, sqlite3.Error):
        for item in applied:
            after = {"done": item.done, "failed": item.failed}
            record(session.state, system_user(), "doctor.fix", item.finding.id, via="command",
                   before={"found": item.finding.summary}, after=after)  # fmt: skip


def _tell(findings: list[Finding], applied: list[Applied], verbose: bool) -> None:
    for item in applied:
        mark = paint("failed", "red") if item.failed else paint("fixed", "green")
        click.echo(f"{mark}  {item.finding.id}: {item.done}")
    for finding in findings:
        if finding.severity != "ok" or verbose:
            _tell_one(finding)
    bad = [f for f in findings if f.severity in ("error", "warning")]
    checks = len({finding.check for finding in findings})
    counted = {name: sum(f.severity == name for f in bad) for name in ("error", "warning")}
    said = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in counted.items() if count]
    click.echo(f"{checks} checks: {', '.join(said) or 'nothing wrong'}.")
    if any(f.fix for f in bad) and not applied:
        click.echo("`retaildctl doctor --fix` applies the fixes.")


def _tell_one(finding: Finding) -> None:
    label: Any = paint(finding.severity.ljust(7), _COLOURS[finding.severity], bold=True)
    click.echo(f"{label}  {paint(finding.check, bold=True)}  {finding.summary}")
    if finding.hint:
        click.echo(f"         {finding.hint}")
    if finding.fix:
        click.echo(f"         {paint('fix:', bold=True)} {finding.fix.description}")
