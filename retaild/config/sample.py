"""The commented default configuration, written from the models: it cannot be out of date."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from retaild.config.sections import JobSection, PluginInstance
from retaild.config.settings import DEFAULT_JOBS, MANY_PLUGINS, ONE_PLUGIN, Settings
from retaild.config.toml_text import dump, value

_HEAD = """\
# retaild's configuration. Everything has a default: an empty file is a valid one.
# A setting that is commented out shows its default. Files in conf.d/*.toml beside this one are
# laid over it, and environment variables over both: RETAILD__API__PORT=9000.
# `retaildctl check` shows every fault with its line; `retaildctl config show` what is in force.
# A plugin's own settings: `retaildctl plugin list`, `retaildctl plugin show KIND NAME`.
# A secret is never written here but where it is kept:
#   password = {file = "/etc/retaild/secrets/password"}     or, with systemd's LoadCredential=,
#   password = {credential = "password"}
"""

_SOURCES = """
# --- Sources: where events come from --------------------------------------------------------
# [source.<your name>] each. A watched folder of till exports, for example:
#
# [source.tills]
# plugin = "tabular"
# ... `retaildctl plugin show source tabular --sample` prints a complete one.
"""

_JOBS = """
# --- Jobs: what runs when ----------------------------------------------------------------------
# refresh      once a night, before the shop opens: tables, features, training, price proposals.
#              It is the one long job; a day's sales change models little within the day.
# materialize  every ten minutes, if anything is new: a server that starts has less log to read.
# quality      every half hour: a broken export is noticed while it can still be sent again.
# compact      every hour: appends slow down as small files pile up.
# trim         every hour: the log keeps only what the lake does not have yet, and log_hours more.
# backup       once a night, if [backup] says where to; before the refresh.
# A time that passed while retaild was off is made up for once, at the next start. The same job
# never runs twice at once. One long job runs at a time; the others wait.
"""


def sample(stated: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """The whole file; what is in `stated` (section -> setting -> value) is not commented out."""
    stated = stated or {}
    parts = [_HEAD]
    for name, info in Settings.model_fields.items():
        model = info.annotation
        if name in ONE_PLUGIN or name in MANY_PLUGINS or name in ("job", "demo"):
            continue
        if isinstance(model, type) and issubclass(model, BaseModel):
            parts.append(_section(name, model, stated.get(name, {})))
    return "".join([*parts, _SOURCES, _plugins(), _jobs()])


def _section(name: str, model: type[BaseModel], stated: Mapping[str, Any]) -> str:
    title = (model.__doc__ or "").split(":", 1)[-1].strip().rstrip(".")
    rule = "-" * max(3, 92 - len(title))
    lines = [f"\n# --- {title[:1].upper()}{title[1:]} {rule}", f"[{name}]"]
    for key, info in model.model_fields.items():
        lines += _wrapped(info.description or "")
        default = info.get_default(call_default_factory=True, validated_data={})
        shown = value(stated.get(key, default))
        lines.append(f"{key} = {shown}" if key in stated else f"#{key} = {shown}")
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 96)]


def _plugins() -> str:
    rule = "-" * 79
    lines = [f"\n# --- Other plugins {rule}", "# Any of them takes `startup`:"]
    lines += _wrapped(PluginInstance.model_fields["startup"].description or "")
    for kind, plugin in ONE_PLUGIN.items():
        lines += [f"#[{kind}]", f"#plugin = {value(plugin)}"]
    for kind, names in MANY_PLUGINS.items():
        for name in names:
            lines += [f"#[{kind}.{name}]", f"#plugin = {value(name)}"]
    return "\n".join(lines) + "\n"


def _jobs() -> str:
    text = _JOBS.rstrip("\n")
    for key, info in JobSection.model_fields.items():
        if info.default is PydanticUndefined or key != "kind":
            described = textwrap.wrap(f"{key}: {info.description}", 94)
            text += "".join(f"\n#   {line}" for line in described)
    shown = dump({"job": DEFAULT_JOBS}).strip()
    commented = "\n".join(f"#{line}" if line else "" for line in shown.splitlines())
    return f"{text}\n{commented}\n"
