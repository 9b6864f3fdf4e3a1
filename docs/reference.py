"""Writes docs/reference/*.md from the program itself: `python docs/reference.py` (or `make docs`).

A test writes them anew and compares, and refuses a setting, option, command or job that nobody
described: the reference cannot be out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from retaild.cli.app import cli
from retaild.cli.command import LazyGroup
from retaild.config.sections import JobSection, LimitsSection, PluginInstance
from retaild.config.settings import MANY_PLUGINS, ONE_PLUGIN, Settings
from retaild.host.describe import settings_of
from retaild.host.registry import KINDS, PluginRegistry
from retaild.runtime.access.permissions import PERMISSIONS, ROLE_PERMISSIONS
from retaild.runtime.job_limits import LIMIT_ARGUMENTS
from retaild.runtime.jobs import JOBS

FOLDER = Path(__file__).parent / "reference"
_WRITTEN = "<!-- Written by docs/reference.py: do not edit. -->\n\n"


class UndocumentedError(Exception):
    """Something a person can set or call has no description."""


def pages() -> dict[str, str]:
    """File name -> text. Raises UndocumentedError."""
    return {
        "settings.md": _WRITTEN + "".join(_settings()),
        "plugins.md": _WRITTEN + "".join(_plugins()),
        "commands.md": _WRITTEN + "".join(_commands()),
        "jobs.md": _WRITTEN + "".join(_jobs()),
        "permissions.md": _WRITTEN + "".join(_permissions()),
    }


def _settings() -> Iterator[str]:
    yield "# Settings\n\nIn `retaild.toml`, in `conf.d/*.toml` beside it, or as environment "
    yield "variables (`RETAILD__API__PORT=9000`). Every setting has a default unless it says so.\n"
    for name, info in Settings.model_fields.items():
        model = info.annotation
        single = isinstance(model, type) and issubclass(model, BaseModel)
        if single and model is not PluginInstance and name not in ONE_PLUGIN:
            yield _section(f"[{name}]", model)
    yield _section("[job.NAME]", JobSection)
    kinds = ", ".join(f"`[{kind}]`" for kind in ONE_PLUGIN)
    many = ", ".join(f"`[{kind}.NAME]`" for kind in MANY_PLUGINS)
    yield f"\n## Plugins: {kinds}, {many}\n\nBeside the plugin's own settings "
    yield "([plugins.md](plugins.md)), which stand in the same table:\n\n"
    skipped = ("settings",)
    yield _table([r for r in settings_of(PluginInstance) if not r["name"].startswith(skipped)])
    assert LimitsSection  # its rows are among those of PluginInstance, as limits.*


def _section(title: str, model: Any) -> str:
    said = (model.__doc__ or "").split(":", 1)[-1].strip()
    return f"\n## {title}\n\n{said[:1].upper()}{said[1:]}\n\n{_table(settings_of(model))}"


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| setting | type | default | what it says |", "|---|---|---|---|"]
    for row in rows:
        if not row["description"]:
            raise UndocumentedError(f"The setting {row['name']!r} has no description.")
        default = "required" if row["required"] else f"`{_cell(row['default_toml'])}`"
        cells = (f"`{row['name']}`", _cell(row["type"]), default, _cell(row["description"]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _plugins() -> Iterator[str]:
    registry = PluginRegistry.load()
    yield "# Plugins that come with retaild\n\nWhat is installed beside them: `retaildctl plugin "
    yield "list`; their settings: `retaildctl plugin show KIND NAME`.\n"
    for kind in KINDS:
        for name, spec in registry.specs(kind).items():
            if registry.registered[kind, name].distribution != "retaild":
                continue
            if not spec.summary:
                raise UndocumentedError(f"The {kind} {name!r} has no summary.")
            yield f"\n## {kind} `{name}`\n\n{spec.summary}\n\n"
            rows = settings_of(spec.config)
            yield _table(rows) if rows else "It has no settings of its own.\n"


def _commands() -> Iterator[str]:
    yield "# Commands\n\nEvery command takes `--config FILE` and `--data DIR`; most take `--json`."
    yield "\n" + cli.epilog.replace("\b\n", "\n```text\n", 1).rstrip() + "\n```\n"  # type: ignore[union-attr]
    yield from _of_group(cli, "retaildctl", click.Context(cli, info_name="retaildctl"))


def _of_group(group: click.Group, path: str, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        inner = click.Context(found, info_name=name, parent=context)
        if isinstance(found, click.Group):
            yield f"\n## {path} {name}\n\n{_help(found, f'{path} {name}', group, name)}\n"
            yield from _of_group(found, f"{path} {name}", inner)
        else:
            yield _command(found, f"{path} {name}", inner, group, name)


def _help(found: click.Command, path: str, group: click.Group, name: str) -> str:
    said = found.help or (group._table.get(name, ("", ""))[1] if _lazy(group) else "")
    if not said:
        raise UndocumentedError(f"The command `{path}` says nothing about itself.")
    return " ".join(said.replace("\b", "").split())


def _lazy(group: click.Group) -> bool:
    return isinstance(group, LazyGroup)


_COMMON = frozenset({"config", "data", "json", "help"})


def _command(
    found: click.Command, path: str, context: click.Context, group: click.Group, name: str
) -> str:
    level = "##" if path.count(" ") == 1 else "###"
    usage = " ".join(found.collect_usage_pieces(context))
    text = (
        f"\n{level} {path}\n\n{_help(found, path, group, name)}\n\n```text\n{path} {usage}\n```\n"
    )
    rows = []
    for option in found.params:
        if not isinstance(option, click.Option) or option.name in _COMMON or option.hidden:
            continue
        if not option.help:
            raise UndocumentedError(f"`{path}` does not describe {option.opts[0]}.")
        record = option.get_help_record(context)
        assert record is not None
        rows.append(f"| `{_cell(record[0])}` | {_cell(record[1])} |")
    return text + (
        "\n| option | what it says |\n|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    )


def _jobs() -> Iterator[str]:
    yield "# Jobs\n\n`[job.NAME]` with `kind` (default: the name) says when a job runs; "
    yield "`retaildctl job run NAME --argument KEY=VALUE` runs it now.\n"
    for name, kind in JOBS.items():
        yield f"\n## {name}\n\n{kind.summary}\n"
        if kind.arguments:
            yield "\n| argument | what it says |\n|---|---|\n"
            yield "".join(f"| `{key}` | {_cell(said)} |\n" for key, said in kind.arguments)
    yield "\n## Every job\n\n| argument | what it says |\n|---|---|\n"
    yield "".join(f"| `{key}` | {_cell(said)} |\n" for key, said in LIMIT_ARGUMENTS.items())


def _permissions() -> Iterator[str]:
    yield "# Permissions\n\nA role has permissions; an API key has those that it was given as "
    yield "scopes. Each route of the OpenAPI names the one it needs.\n\n"
    yield f"| permission | what it allows | {' | '.join(ROLE_PERMISSIONS)} |\n"
    yield "|---|---|" + "---|" * len(ROLE_PERMISSIONS) + "\n"
    for permission, said in PERMISSIONS.items():
        marks = ("yes" if permission in has else "" for has in ROLE_PERMISSIONS.values())
        yield f"| `{permission}` | {_cell(said)} | {' | '.join(marks)} |\n"


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
