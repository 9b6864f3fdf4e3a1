"""`retaildctl service list|install|start|stop|restart|status|logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from retaild.cli import logs as log_command
from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.exits import NotFoundError
from retaild.cli.output import ago, columns, print_facts, print_table, size
from retaild.cli.plugin_state import ask
from retaild.cli.session import Session
from retaild.cli.worker import restart_worker

if TYPE_CHECKING:
    from retaild.runtime.services.overview import Services

command = group("Install, start, stop and watch the servers that retaild runs.")


def _services(session: Session) -> Services:
    from retaild.host.registry import PluginRegistry
    from retaild.runtime.services.overview import Services

    state = session.state if session.data.state_db.exists() else None
    return Services(session.settings, session.data, PluginRegistry.load(session.data), state)


@make(
    group=command, name="list",
    help="List the servers that retaild can run, and the engines that need software of their own.",
)  # fmt: skip
def list_(session: Session) -> None:
    found = _services(session).available()
    table = [
        *columns("plugin"),
        ("installed", lambda row: "yes" if _is_installed(row) else "no"),
        ("configured", lambda row: "yes" if row["configured"] else "no"),
        ("memory", lambda row: f"{row['memory_mib']} MiB" if row["memory_mib"] else ""),
        ("disk", lambda row: f"{sum(s['disk_mib'] for s in row['software'])} MiB"),
        ("what", lambda row: row["summary"]),
    ]
    session.show({"services": found}, lambda: print_table(found, table, "There is none."))


def _is_installed(row: dict[str, Any]) -> bool:
    return all(software["installed"] for software in row["software"])


@make(
    group=command, name="install",
    help="Fetch the software of services and engines, by the name of their plugin; of all that are "
    "configured when none is named. What is there already is left as it is.",
)  # fmt: skip
@click.argument("names", nargs=-1, metavar="[PLUGIN]...")
def install(session: Session, names: tuple[str, ...]) -> None:
    from retaild.runtime.services.software import install as fetch
    from retaild.runtime.services.software import shelf

    services = _services(session)
    known = {**dict.fromkeys(services.specs(), ()), **services.software()}
    wanted = names or tuple(services.needed())
    for name in wanted:
        if name not in known:
            raise NotFoundError("service plugin", name, f"Known: {', '.join(sorted(known))}.")
    done: dict[str, str] = {}
    report = (lambda _line: None) if session.json else click.echo
    for name in wanted:
        was = {one.name: shelf(one, services.software_dir) for one in known[name]}
        own = {one.name: str(fetch(one, services.software_dir, report)) for one in known[name]}
        if session.data.state_db.exists():  # before `init` there is no log to write into
            session.record("service.install", name, before=was, after=own)
        done |= own
    session.show({"installed": done}, lambda: _tell_installed(done))


def _tell_installed(done: dict[str, str]) -> None:
    if not done:
        click.echo("Nothing to fetch; `retaildctl service list` shows what there is.")
    print_facts(list(done.items()))


@make(group=command, name="status", help="Show the configured services, or one of them in full.")
@click.argument("name", required=False)
def status(session: Session, name: str | None) -> None:
    rows = _services(session).rows()
    if name is None:
        table = [
            *columns("name plugin state"),
            ("up", lambda row: ago(row["since"])[:-4] if row["state"] == "running" else ""),
            *columns("restarts"),
            ("figures", lambda row: _figures(row["figures"])),
            ("last error", lambda row: row["last_error"]),
        ]
        empty = "No service is configured."
        session.show({"services": rows}, lambda: print_table(rows, table, empty))
        return
    row = _one(session, rows, name)
    session.show(row, lambda: _tell(row))


def _one(session: Session, rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = next((row for row in rows if row["name"] == name), None)
    if found is None:
        known = ", ".join(sorted(session.settings.service)) or "none is configured"
        raise NotFoundError("service", name, f"Known: {known}.")
    return found


def _figures(figures: dict[str, Any]) -> str:
    left_out = ("up_seconds", "start_seconds", "answers")
    return ", ".join(f"{k} {v}" for k, v in figures.items() if k not in left_out)


def _tell(row: dict[str, Any]) -> None:
    shown = ("plugin", "state", "pid", "restarts", "listens", "last_error")
    memory = ("memory", size(row["memory"]) if row["memory"] else "")
    print_facts([*((key, row[key]) for key in shown), memory, *row["figures"].items()])
    for line in row["lines"]:
        click.echo(f"  {line}")


_HELP = {
    "start": "Let a service run: one that was stopped, or is in quarantine.",
    "stop": "Stop a service until it is started again, also over restarts of retaild.",
    "restart": "Stop a service in an orderly way and start it again.",
}


@make(group=command, name="start", help=_HELP["start"])
@click.argument("name")
def start(session: Session, name: str) -> None:
    row = _one(session, _services(session).rows(), name)
    action = "resume" if row["standing"] == "quarantined" else "enable"
    done = ask(session, action, "service", name, "")
    session.show(done, lambda: click.echo(f"Service {name} may run."))


@make(group=command, name="stop", help=_HELP["stop"])
@click.argument("name")
@click.option("--reason", default="", help="Why, for others.")
def stop(session: Session, name: str, reason: str) -> None:
    done = ask(session, "disable", "service", name, reason)
    session.show(done, lambda: click.echo(f"Service {name} is stopped."))


@make(group=command, name="restart", help=_HELP["restart"])
@click.argument("name")
def restart(session: Session, name: str) -> None:
    restart_worker(session, f"service.{name}")
    session.show({"name": name, "restarting": True}, lambda: click.echo(f"{name} restarts."))


@make(group=command, name="logs", help="Show the newest log lines of a service.")
@click.argument("name")
@click.option(
    "-n", "--lines", type=click.IntRange(1, 100_000), default=50, show_default=True,
    help="At most so many of the last lines.",
)  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.pass_context
def logs(context: click.Context, session: Session, name: str, lines: int, follow: bool) -> None:
    context.invoke(log_command.command, name=f"service.{name}", lines=lines, follow=follow)
