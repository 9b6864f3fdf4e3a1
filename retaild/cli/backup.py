"""`retaildctl backup create|list|verify|restore`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.exits import NoDataError
from retaild.cli.output import ago, columns, duration, print_facts, print_table, size
from retaild.cli.session import Session

command = group("Back up everything, verify backups, restore them.")

_PATH = click.Path(path_type=Path)


@make(
    group=command, name="create",
    help="Back up the data directory, also while retaild runs. DEST is a directory (files that "
    "have not changed since its last backup cost no space) or an archive: .tar.gz, .tar.zst, "
    ".tar.",
)  # fmt: skip
@click.argument("dest", required=False, type=_PATH)
@click.option("--with-secrets", is_flag=True, help="Take secrets along. Keep it in a safe.")
def create(session: Session, dest: Path | None, with_secrets: bool) -> None:
    from retaild.runtime.access.audit import record, system_user
    from retaild.runtime.backup import service

    session.existing  # noqa: B018  (raises NoDataError)
    context = session.context()
    place = service.destination(context, dest)
    with _bar(session, "backup") as progress:
        path, manifest = service.create(
            context, session.config_file, place, progress, with_secrets=with_secrets
        )
    after = {"path": str(path), "bytes": manifest.size, "with_secrets": with_secrets}
    record(context.state, system_user(), "backup.create", path.name, via="command", after=after)
    shown = {"path": path, **manifest.summary()}
    session.show(shown, lambda: _tell_created(shown))


def _tell_created(shown: dict[str, Any]) -> None:
    facts = [
        ("backup", shown["path"]), ("size", size(shown["bytes"])),
        ("of it shared", size(shown["linked_bytes"])), ("files", shown["files"]),
        ("took", duration(shown["seconds"])),
    ]  # fmt: skip
    print_facts(facts)
    if shown["with_secrets"]:
        click.echo("It holds secrets: whoever can read it can use them.")
    click.echo("Not in it:")
    for sentence in shown["left_out"]:
        click.echo(f"  {sentence}")


@make(group=command, name="list", help="List the backups in a directory; default: the configured.")
@click.argument("directory", required=False, type=_PATH)
def list_(session: Session, directory: Path | None) -> None:
    from retaild.runtime.admin.backups import LOOKS, last_looks
    from retaild.runtime.backup.errors import NoDestinationError
    from retaild.runtime.backup.service import listed

    if directory is None:
        settings = session.settings
        if not settings.backup.directory:
            raise NoDestinationError
        directory = settings.base_dir / settings.backup.directory
    looks = last_looks(session.state.rows(LOOKS)) if session.data.state_db.exists() else {}
    rows = [{**row, "verified": looks.get(row["name"])} for row in listed(directory)]
    table = [*columns("name"), ("size", lambda row: size(row["bytes"])),
             ("shared", lambda row: size(row.get("linked_bytes"))),
             ("made", lambda row: ago(row["finished"])), ("verified", _looked),
             *columns("version path")]  # fmt: skip
    session.show(
        {"backups": rows}, lambda: print_table(rows, table, f"There is no backup in {directory}.")
    )


def _looked(row: Mapping[str, Any]) -> str:
    look = row["verified"]
    if look is None:
        return "never"
    return f"{'damaged' if look['fault'] else 'whole'}, {ago(look['at'])}"


@make(
    group=command, name="verify",
    help="Read a backup and compare every byte with its manifest; with --deep restore it for a "
    "moment and count. Exit code 1: it is damaged.",
)  # fmt: skip
@click.argument("backup", type=_PATH)
@click.option("--deep", is_flag=True, help="Restore into a scratch directory, open, compare.")
@click.option("--scratch", type=_PATH, help="Where --deep works. Default: beside the backup.")
def verify(session: Session, backup: Path, deep: bool, scratch: Path | None) -> int:
    from retaild.runtime.backup import service
    from retaild.runtime.backup.errors import (
        DamagedBackupError,
        NotABackupError,
        UnsafeArchiveError,
    )
    from retaild.runtime.backup.verify import verify as read_all
    from retaild.runtime.backup.verify import verify_deeply

    began = time.time()
    try:
        with _bar(session, "verify") as progress:
            if deep:
                place, bus_of = scratch or backup.absolute().parent, service.bus_of
                verdict = verify_deeply(backup, place, _bus_builder(session, bus_of), progress)
            else:
                verdict = read_all(backup, progress)
    except (DamagedBackupError, NotABackupError, UnsafeArchiveError) as error:
        _keep(session, backup, began, deep, str(error))
        raise
    problems = list(verdict.problems)
    fault = str(DamagedBackupError(backup, problems)) if problems else ""
    _keep(session, backup, began, deep, fault)
    shown = {**verdict.manifest.summary(), "deep": deep, "problems": problems,
             "facts": verdict.facts or verdict.manifest.facts}  # fmt: skip
    session.show(shown, lambda: _tell_verdict(backup, shown))
    return 1 if problems else 0


def _keep(session: Session, backup: Path, began: float, deep: bool, fault: str) -> None:
    """For the page of backups; a machine without a shop of its own has none."""
    from retaild.config.faults import ConfigFaultsError
    from retaild.runtime.admin.backups import note_look

    with suppress(ConfigFaultsError, NoDataError):
        if backup.exists():
            note_look(session.settings, session.state, backup, began, deep=deep, fault=fault)


def _bus_builder(session: Session, bus_of: Callable[..., Any]) -> Callable[[Any], Any]:
    """With the configuration of this machine; a fresh one has none, and then the defaults hold."""

    def build(data: Any) -> Any:
        from retaild.runtime.context import offline_context

        return bus_of(offline_context(session.config, data.root), data)

    return build


def _tell_verdict(backup: Path, shown: dict[str, Any]) -> None:
    if shown["problems"]:
        click.echo(f"{backup} is damaged:")
        for problem in shown["problems"]:
            click.echo(f"  {problem}")
        return
    done = "restored, opened and counted" if shown["deep"] else "read"
    click.echo(f"{backup} is whole: {shown['files']} files, {size(shown['bytes'])}, {done}.")


@make(
    group=command, name="restore",
    help="Restore a backup into the empty directory that --data names. The configuration in it "
    "is put below `restored/`, for you to compare and copy.",
)  # fmt: skip
@click.argument("backup", type=_PATH)
def restore(session: Session, backup: Path) -> None:
    from retaild.runtime.access.audit import record, system_user
    from retaild.runtime.backup.restore import restore as put_back
    from retaild.runtime.state import State

    if session.data_option is None:
        raise click.UsageError("Say where to: --data DIR, an empty directory.")
    with _bar(session, "restore") as progress:
        manifest = put_back(backup, session.data_option, progress)
    data = session.data
    state = State(data.state_db)
    after = {"data": str(data.root), "files": len(manifest.files), "bytes": manifest.size}
    record(state, system_user(), "backup.restore", manifest.name, via="command", after=after)
    shown = {"data": data.root, "config": data.root / "restored" / "config", **manifest.summary()}
    session.show(shown, lambda: _tell_restored(shown))


def _tell_restored(shown: dict[str, Any]) -> None:
    print_facts([("data", shown["data"]), ("files", shown["files"]), ("size", size(shown["bytes"])),
                 ("configuration", shown["config"])])  # fmt: skip
    click.echo("Start it: retaildctl run --config FILE --data DIR.")
    if not shown["with_secrets"]:
        click.echo("Secrets are not in the backup: put them where the configuration names them.")


@contextmanager
def _bar(session: Session, name: str) -> Iterator[Callable[[float, str], None]]:
    from retaild.cli.running import bar

    with bar(session, name) as drawn:
        yield lambda fraction, text: drawn.show({"progress": fraction, "text": text})
    sys.stderr.flush()
