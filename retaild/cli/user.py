"""`retaildctl user list|add|password|role|disable|enable|remove`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

import click

from retaild.cli.command import command as make
from retaild.cli.command import group
from retaild.cli.output import ago, print_table
from retaild.cli.session import Session

if TYPE_CHECKING:
    from retaild.api.identity import Role
    from retaild.runtime.access.desk import AccessDesk

command = group("Look after the users who may sign in.")
_ROLE = click.Choice(["viewer", "operator", "admin"])
_STDIN = click.option("--stdin", is_flag=True, help="Read the password from standard input.")


def _desk(session: Session) -> AccessDesk:
    """The desk, with the identity process where it runs, else with the provider right here."""
    from retaild.runtime.access.offline import command_desk

    return command_desk(session.context())


def _password(stdin: bool) -> str:
    """Never an argument: others see those in the list of processes."""
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _roles(role: str) -> frozenset[Role]:
    return frozenset({cast("Role", role)})


@make(group=command, name="list", help="List the users.")
def list_(session: Session) -> None:
    users = _desk(session).users()
    columns: list[tuple[str, Any]] = [
        ("name", lambda row: row["name"]),
        ("roles", lambda row: ", ".join(row["roles"])),
        ("disabled", lambda row: row["disabled"]),
        ("last login", lambda row: ago(row["last_login"])),
    ]
    empty = "There is none. `retaildctl user add NAME --role admin` adds the first."
    session.show({"users": users}, lambda: print_table(users, columns, empty))


@make(group=command, name="add", help="Add a user; asks for the password.")
@click.argument("name")
@click.option("--role", type=_ROLE, default="viewer", show_default=True, help="What he may do.")
@_STDIN
def add(session: Session, name: str, role: str, stdin: bool) -> None:
    desk = _desk(session)
    desk.add_user(name, _password(stdin), _roles(role))
    session.record("user.add", name, after={"roles": [role]})
    session.show({"user": name, "roles": [role]}, lambda: click.echo(f"{name} may sign in."))


def _change(session: Session, name: str, said: str, **change: Any) -> None:
    desk = _desk(session)
    before = {user["name"]: user for user in desk.users()}.get(name, {})
    after: dict[str, Any] = desk.change_user(name, **change)
    shown = ("roles", "disabled")
    was, now = ({key: row.get(key) for key in shown} for row in (before, after))
    if "password" in change:
        now["password"] = "changed"
    session.record("user.change", name, before=was, after=now)
    session.show({"user": name, **now}, lambda: click.echo(said))


@make(group=command, name="password", help="Set a user's password; his sessions end.")
@click.argument("name")
@_STDIN
def password(session: Session, name: str, stdin: bool) -> None:
    _change(session, name, f"{name} has a new password.", password=_password(stdin))


@make(group=command, name="role", help="Give a user another role.")
@click.argument("name")
@click.argument("role", type=_ROLE)
def role(session: Session, name: str, role: str) -> None:
    _change(session, name, f"{name} is {role} now.", roles=_roles(role))


@make(group=command, name="disable", help="Keep a user out without removing him.")
@click.argument("name")
def disable(session: Session, name: str) -> None:
    _change(session, name, f"{name} can not sign in any more.", disabled=True)


@make(group=command, name="enable", help="Let a disabled user in again.")
@click.argument("name")
def enable(session: Session, name: str) -> None:
    _change(session, name, f"{name} may sign in again.", disabled=False)


@make(group=command, name="remove", help="Remove a user; his sessions end.")
@click.argument("name")
def remove(session: Session, name: str) -> None:
    desk = _desk(session)
    before = {user["name"]: user for user in desk.users()}.get(name)
    desk.remove_user(name)
    was = {key: before.get(key) for key in ("roles", "disabled")} if before else None
    session.record("user.remove", name, before=was)
    session.show({"removed": name}, lambda: click.echo(f"{name} is removed."))
