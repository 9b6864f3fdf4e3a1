"""Every command: it has help, and those that print data print JSON."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from retaild.cli.app import COMMANDS, cli

#: These print no data: two run in the foreground, one prints a script.
WITHOUT_JSON = {"run", "demo", "completion"}


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


ALL = dict(commands(cli))


def test_there_is_what_was_promised() -> None:
    promised = """
        init run demo status check import recommend completion logs stop
        plugin:list,show source:list,show,reset job:list,run,history,show,log
        model:list,compare,promote,rollback deadletter:list,show,replay config:show,path
        price:show,history,what-if,list,propose,approve,reject lake:tables,show,history
        worker:list,restart alert:list,show,ack,silence,unsilence,test,history
        plugin:new,install,upgrade,rollback,versions,remove,resume,enable,disable,quarantine
        user:list,add,password,role,disable,enable,remove key:create,list,revoke audit:list,verify
        profile:list,show,apply service:list,install,start,stop,restart,status,logs
        doctor lake:export reload config:history backup:create,list,verify,restore bundle:debug
    """
    names = set()
    for word in promised.split():
        name, _, parts = word.partition(":")
        names |= {f"{name} {part}" for part in parts.split(",")} if parts else {name}
    assert set(ALL) == names


@pytest.mark.parametrize("name", ALL)
def test_help(name: str) -> None:
    command = ALL[name]
    assert command.help
    assert command.help.strip().endswith((".", "```", "fish", ":2"))
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in (
            "limit",
            "lines",
            "state",
        ):
            assert parameter.help, f"{name} --{parameter.name}"


@pytest.mark.parametrize("name", sorted(set(ALL) - WITHOUT_JSON))
def test_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in ALL[name].params)


def test_every_command_takes_the_common_options() -> None:
    for name, command in ALL.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--config", "--data"} <= options, name


def test_the_overview_is_true() -> None:
    """The one-line help in the table stands in for commands that are not loaded."""
    context = click.Context(cli)
    for name, (_, summary) in COMMANDS.items():
        assert summary.endswith(".")
        assert cli.get_command(context, name) is not None


def hints() -> Iterator[tuple[str, str]]:
    """(file, command line) of every `retaildctl ...` that the product tells people to type."""
    root = Path(__file__).parents[2]
    places = [*root.glob("retaild/**/*.py"), *root.glob("plugins/**/*.py"), root / "README.md"]
    for path in sorted(places):
        for line in re.findall(r"`retaildctl ([^`\n]+)`", path.read_text("utf-8")):
            yield path.name, line


def test_what_people_are_told_to_type_exists() -> None:
    """Hints in messages name real commands, with arguments and options that they take."""
    wrong = [f"{file}: {line}" for file, line in hints() if not _fits(line)]
    assert wrong == []


def _fits(line: str) -> bool:
    words = shlex.split(line.split("|")[0].rstrip(". "), comments=True)
    words = [word for word in words if word != "..."]
    name = " ".join(words[:2]) if " ".join(words[:2]) in ALL else words[0]
    groups = {known.split()[0] for known in ALL if " " in known}
    if name not in ALL:
        return words == [name] and name in {*groups, "--help"}
    command, rest = ALL[name], words[len(name.split()) :]
    try:
        _, left, _ = command.make_parser(click.Context(command)).parse_args(rest)
    except click.UsageError:
        return False
    return not left
