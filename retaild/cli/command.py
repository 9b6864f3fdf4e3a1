"""Commands and groups: common options, and groups that load a command when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from retaild.cli.session import Session

#: Name of a command -> ("module" below retaild.cli or "module:function", help in a line).
Table = Mapping[str, tuple[str, str]]

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(click.Group):
    """Knows its commands' names and help; imports a command's module only to run it."""

    def __init__(self, *args: Any, table: Table | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = dict(table or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._table, *sorted(self.commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return super().get_command(ctx, cmd_name)
        module, _, function = self._table[cmd_name][0].partition(":")
        loaded = import_module(f"retaild.cli.{module}")
        command: click.Command = getattr(loaded, function or "command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            rows = [(name, summary) for name, (_, summary) in self._table.items()]
            rows += [
                (name, command.get_short_help_str(80)) for name, command in self.commands.items()
            ]
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if close:
                message = f"{error.message} Did you mean {close[0]!r}?"
                raise click.UsageError(message, ctx) from None
            raise


def _merge(ctx: click.Context, **given: Any) -> Session:
    """The session of this call: options before the command, overlaid by those behind it."""
    session = ctx.find_object(Session) or Session()
    session.config = given["config"] or session.config
    session.data_option = given["data"] or session.data_option
    session.json = given["json"] or session.json
    return session


_DATA = click.Option(
    ["-d", "--data"], type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="The data directory.",
)  # fmt: skip
_CONFIG = click.Option(
    ["-c", "--config"], type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="The configuration file.",
)  # fmt: skip
_JSON = click.Option(["--json"], is_flag=True, help="Print JSON.")


def command(
    *,
    group: click.Group | None = None,
    name: str | None = None,
    json: bool = True,
    **attributes: Any,
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command of `function(session, ...)`, with --config, --data and (if `json`) --json."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        def called(**options: Any) -> Any:
            common = {name: options.pop(name, None) for name in ("config", "data", "json")}
            return function(_merge(click.get_current_context(), **common), **options)

        # click.argument and click.option have left their parameters on the function.
        called.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        called.__name__ = function.__name__
        decorator: Any = click.command(name=name, context_settings=CONTEXT_SETTINGS, **attributes)
        made: click.Command = decorator(called)
        made.params += [_CONFIG, _DATA, *([_JSON] if json else [])]
        if group is not None:
            group.add_command(made)
        return made

    return decorate


def group(help_text: str) -> click.Group:
    """A group of commands in one file."""
    return LazyGroup(help=help_text, context_settings=CONTEXT_SETTINGS)
