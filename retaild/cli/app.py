"""The command line itself: which commands there are, and how errors end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from retaild.api.errors import RetaildError
from retaild.cli import exits
from retaild.cli.command import CONTEXT_SETTINGS, LazyGroup, Table
from retaild.cli.session import Session

COMMANDS: Table = {
    "init": ("init", "Write a configuration and make a data directory."),
    "demo": ("demo", "Run everything on a year of a real shop's till lines."),
    "run": ("run", "Run the daemon in the foreground."),
    "stop": ("stop", "Stop the running daemon in an orderly way."),
    "reload": ("reload", "Take over the changed configuration, or say why not."),
    "status": ("status", "Show how the running retaild is."),
    "check": ("check", "Check the configuration and show every fault."),
    "config": ("config", "Show the configuration."),
    "profile": ("profile", "Move a configuration and its data to another set of engines."),
    "plugin": ("plugin", "List and explain plugins."),
    "source": ("source", "Look after the sources of events."),
    "import": ("import_file", "Import a file of till lines."),
    "deadletter": ("deadletter", "Look at rows that were refused, and replay them."),
    "lake": ("lake", "Look into the lake's tables."),
    "job": ("job", "List and run jobs."),
    "model": ("model", "List, compare, promote and roll back models."),
    "recommend": ("recommend", "Recommend products for a customer or a basket."),
    "price": ("price", "Look at prices; propose, approve and reject them."),
    "alert": ("alert", "See what is wrong, who was told, and quiet it for a while."),
    "user": ("user", "Look after the users who may sign in."),
    "key": ("key", "Make, list and revoke API keys."),
    "audit": ("audit", "Look into the log of all changes."),
    "service": ("service", "Install, start, stop and watch the servers that retaild runs."),
    "worker": ("worker", "List and restart workers."),
    "bundle": ("bundle", "Collect what a helper needs to understand a fault."),
    "backup": ("backup", "Back up everything, verify backups, restore them."),
    "logs": ("logs", "Show the logs of workers and jobs."),
    "doctor": ("doctor", "Look for what is wrong or soon will be, and mend it."),
    "completion": ("completion", "Print the completion script of a shell."),
}


@click.group(
    cls=LazyGroup, table=COMMANDS, context_settings=CONTEXT_SETTINGS, epilog=exits.HELP,
    no_args_is_help=True,
)  # fmt: skip
@click.option(
    "-c", "--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="The configuration file. Default: $RETAILD_CONFIG, ./retaild.toml, "
    "/etc/retaild/retaild.toml.",
)  # fmt: skip
@click.option(
    "-d", "--data", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="The data directory. Default: as configured.",
)  # fmt: skip
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, help="Print the version.",
    callback=lambda ctx, _param, value: _version(ctx) if value else None,
)  # fmt: skip
@click.pass_context
def cli(ctx: click.Context, config: Path | None, data: Path | None) -> None:
    """retaild: a whole retail AI stack on a store's own hardware."""
    ctx.obj = Session(config, data)


def _version(ctx: click.Context) -> None:
    from retaild import __version__

    click.echo(f"retaild {__version__}")
    ctx.exit()


def run(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code; errors go to standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given
    try:
        result = cli.main(args=given, prog_name="retaildctl", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else exits.OK
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return exits.OK
    except click.UsageError as error:
        return _usage(error, as_json)
    except click.ClickException as error:
        return _fail("failed", error.format_message(), "", exits.FAILURE, as_json)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", "Interrupted.", "", exits.INTERRUPTED, as_json)
    except BrokenPipeError:
        return _reader_gone()
    except SystemExit:
        if "_RETAILDCTL_COMPLETE" in os.environ:
            raise
        return _reader_gone()  # the only other thing that click ends by itself
    except RetaildError as error:
        return _explain(error, as_json)
    except Exception as error:
        if os.environ.get("RETAILD_TRACEBACK"):
            raise
        message = f"This should not happen: {type(error).__name__}: {error}"
        hint = "Set RETAILD_TRACEBACK=1 to see where."
        return _fail("internal", message, hint, exits.FAILURE, as_json)


def _reader_gone() -> int:
    """It has what it wanted (`| head`): no error. Nothing more can be said, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exits.OK


def _usage(error: click.UsageError, as_json: bool) -> int:
    path = error.ctx.command_path if error.ctx else "retaildctl"
    hint = f"See `{path} --help`."
    return _fail("usage", error.format_message(), hint, exits.USAGE, as_json)


def _explain(error: RetaildError, as_json: bool) -> int:
    from_faults = [vars_of(fault) for fault in getattr(error, "faults", ())]
    details = {"faults": from_faults} if from_faults else getattr(error, "details", {})
    code = exits.exit_code(error)
    return _fail(error.key, error.message, error.hint, code, as_json, **details)


def vars_of(fault: Any) -> dict[str, Any]:
    """A frozen dataclass with slots as a dict."""
    return {name: getattr(fault, name) for name in fault.__dataclass_fields__}


def _fail(key: str, message: str, hint: str, code: int, as_json: bool, **details: Any) -> int:
    """One sentence and what to do next; with --json, the same as an object."""
    if as_json:
        from retaild.cli.output import jsonable

        shown = {**details, "error": key, "message": message, "hint": hint}
        import json

        click.echo(json.dumps(jsonable(shown), ensure_ascii=False), err=True)
    else:
        label = "Error:"
        if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
            label = click.style(label, fg="red", bold=True)
        click.echo(f"{label} {message}", err=True)
        if hint:
            click.echo(f"  {hint}", err=True)
    return code
