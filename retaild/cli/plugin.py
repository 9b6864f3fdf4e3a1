"""`retaildctl plugin list|show`, and the table of the commands that have files of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from retaild.cli.command import CONTEXT_SETTINGS, LazyGroup, Table
from retaild.cli.command import command as make
from retaild.cli.exits import FailedError, NotFoundError
from retaild.cli.output import columns, paint, print_facts, print_table
from retaild.cli.session import Session

if TYPE_CHECKING:
    from retaild.host.registry import PluginRegistry, Registered

COMMANDS: Table = {
    "new": ("plugin_new", "Write a plugin project that passes its own tests."),
    "install": ("plugin_install:install", "Install a plugin while retaild runs."),
    "upgrade": ("plugin_install:upgrade", "Install another version of a plugin."),
    "rollback": ("plugin_install:rollback", "Go back to a version that was in use before."),
    "versions": ("plugin_install:versions", "List what was installed, with its versions."),
    "remove": ("plugin_install:remove", "Remove an installed plugin."),
    "resume": ("plugin_state:resume", "Let a component out of quarantine."),
    "enable": ("plugin_state:enable", "Let a disabled component run again."),
    "disable": ("plugin_state:disable", "Stop a component until it is enabled."),
    "quarantine": ("plugin_state:quarantine", "Stop a component for an examination."),
}

command = LazyGroup(
    help="Make, install, list and explain plugins.", table=COMMANDS,
    context_settings=CONTEXT_SETTINGS,
)  # fmt: skip


@make(group=command, name="list", help="List installed plugins and what is configured of them.")
@click.option("--kind", help="Only this kind.")
def list_(session: Session, kind: str | None) -> None:
    from retaild.host.registry import KINDS, PluginRegistry

    if kind is not None and kind not in KINDS:
        raise NotFoundError("plugin kind", kind, f"Known: {', '.join(KINDS)}.")
    registry = PluginRegistry.load(session.data)
    used = _instances(session)
    rows = [
        {
            "kind": item.kind,
            "name": item.spec.name,
            "version": item.spec.version,
            "instances": used.get((item.kind, item.spec.name), []),
            "summary": item.spec.summary,
            "distribution": f"{item.distribution} {item.distribution_version}".strip(),
        }
        for _, item in sorted(registry.registered.items())
        if kind in (None, item.kind)
    ]
    faults = [{"name": f.name, "distribution": f.distribution, "message": f.message}
              for f in registry.faults]  # fmt: skip
    session.show({"plugins": rows, "broken": faults}, lambda: _tell_list(rows, registry))


def _instances(session: Session) -> dict[tuple[str, str], list[str]]:
    """Which instances use a plugin; nothing if the configuration has faults (see `check`)."""
    from retaild.config.faults import ConfigFaultsError

    used: dict[tuple[str, str], list[str]] = {}
    try:
        settings = session.settings
    except ConfigFaultsError:
        return used
    for kind, name, instance in settings.instances():
        used.setdefault((kind, instance.plugin), []).append(name)
    return used


def _tell_list(rows: list[dict[str, Any]], registry: PluginRegistry) -> None:
    shown = [{**row, "instances": ", ".join(row["instances"])} for row in rows]
    print_table(shown, columns("kind name version instances summary"), "No plugin is installed.")
    for fault in registry.faults:
        click.echo(paint(f"{fault}", "red"))


@make(group=command, name="show", help="Explain a plugin: every setting, and a sample.")
@click.argument("kind")
@click.argument("name", required=False)
@click.option("--sample", "sample_only", is_flag=True, help="Print only the sample configuration.")
def show(session: Session, kind: str, name: str | None, sample_only: bool) -> None:
    from retaild.host.describe import sample_in, settings_of
    from retaild.host.facts import Facts
    from retaild.host.registry import PluginRegistry

    registered = _find(PluginRegistry.load(session.data), kind, name)
    spec = registered.spec
    if isinstance(spec, Facts):
        sample, settings = spec.sample, list(spec.settings)
    else:
        sample, settings = sample_in(registered.module), settings_of(spec.config)
    if sample_only and not session.json:
        if not sample:
            raise FailedError(f"Plugin {spec.name!r} brings no sample.")
        click.echo(sample, nl=False)
        return
    facts = {
        "kind": registered.kind,
        "name": spec.name,
        "version": spec.version,
        "summary": spec.summary,
        "distribution": f"{registered.distribution} {registered.distribution_version}".strip(),
        "module": registered.module,
        "requires": list(spec.requires),
        "instances": _instances(session).get((registered.kind, spec.name), []),
        "settings": settings,
        "sample": sample,
    }
    session.show(facts, lambda: _tell(facts))


def _find(registry: PluginRegistry, kind: str, name: str | None) -> Registered:
    """By kind and name, or by a name alone if only one kind has it."""
    if name is not None:
        return registry.find(kind, name)  # raises with a hint
    found = [item for (_, key), item in registry.registered.items() if key == kind]
    if len(found) == 1:
        return found[0]
    if found:
        kinds = ", ".join(sorted(item.kind for item in found))
        hint = f"Say which: retaildctl plugin show KIND {kind}"
        raise FailedError(f"Several kinds have a plugin {kind!r}: {kinds}.", hint)
    raise NotFoundError("plugin", kind, "See `retaildctl plugin list`.")


def _tell(facts: dict[str, Any]) -> None:
    names = ("kind", "name", "version", "summary", "distribution", "module")
    lists = [(name, ", ".join(facts[name])) for name in ("requires", "instances")]
    print_facts([*((name, facts[name]) for name in names), *lists])
    click.echo()
    if not facts["settings"]:
        click.echo("It has no settings of its own.")
    for setting in facts["settings"]:
        default = "required" if setting["required"] else f"default {setting['default_toml']}"
        click.echo(f"{paint(setting['name'], bold=True)}  ({setting['type']}; {default})")
        if setting["description"]:
            click.echo(f"    {setting['description']}")
    if facts["sample"]:
        click.echo(f"\n{paint('Sample', bold=True)}\n{facts['sample']}", nl=False)
