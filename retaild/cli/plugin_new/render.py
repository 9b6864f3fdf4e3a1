"""Templates of plugin projects: files in which %%{word} stands for what the caller named."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from retaild import __version__


@dataclass(frozen=True, slots=True)
class Kind:
    """What the project of a kind calls things: interface and Spec of `retaild.api`, its module."""

    interface: str
    hook: str
    module: str
    noun: str
    summary: str
    #: Further fields of the Spec.
    fields: tuple[str, ...] = ()
    #: What it needs beside retaild itself.
    requires: tuple[str, ...] = ()

    @property
    def spec(self) -> str:
        return f"{self.interface}Spec"


KINDS = {
    "source": Kind(
        "Source", "retaild_sources", "source", "Source",
        "Readings that something appends to a file as JSON lines.", ('families=("external",)',),
    ),
    "alert": Kind(
        "AlertSink", "retaild_alert_sinks", "sink", "Sink",
        "Posts every message as JSON to an address of your choice.",
    ),
    "gate": Kind(
        "Gate", "retaild_gates", "gate", "Gate",
        "Lets a model pass whose figures are not below what is set.",
    ),
    "bus": Kind(
        "Bus", "retaild_buses", "bus", "Bus", "A durable log in one SQLite file; needs no server.",
    ),
    "stream": Kind(
        "StreamProcessor", "retaild_stream_processors", "processor", "Processor",
        "Carries the log into the lake, exactly once, a micro-batch at a time.",
        ('supports=frozenset({"Map", "Filter", "Dedup", "Window", "Emit"})',),
    ),
    "batch": Kind(
        "BatchEngine", "retaild_batch_engines", "engine", "Engine",
        "Runs the gold layer's SQL on DuckDB.", ('dialect="duckdb"',), ("duckdb>=1.4",),
    ),
    "features": Kind(
        "FeatureBackend", "retaild_feature_backends", "backend", "Backend",
        "Joins features in time with DuckDB, straight from the lake.", (), ("duckdb>=1.4",),
    ),
    "identity": Kind(
        "IdentityProvider", "retaild_identity_providers", "provider", "Provider",
        "Knows access tokens by a file of their digests.", ("bearer_tokens=True",),
    ),
    "service": Kind(
        "Service", "retaild_services", "server", "Service",
        "Serves the files of a folder on this machine.", ("memory_mib=64",),
    ),
    "target": Kind(
        "DeployTarget", "retaild_deploy_targets", "target", "Target",
        "Publishes into files of JSON lines, one per data set.",
    ),
    "trainer": Kind(
        "Trainer", "retaild_trainers", "trainer", "Trainer",
        "Recommends what sells now and what is bought together.",
        ('produces="recommender"',), ("numpy>=2", "pyarrow>=18"),
    ),
}  # fmt: skip
_SUFFIX = ".tmpl"


class _Text(Template):
    delimiter = "%%"


def write_project(kind: str, name: str, target: Path) -> list[str]:
    """Write the files below `target`; their names, relative to it."""
    words = words_of(kind, name)
    templates = resources.files("retaild.cli.plugin_new") / "templates"
    written = []
    for folder in (kind, "common"):
        for path, template in _files(templates / folder):
            place = _Text(path).substitute(words)
            text = _Text(template.read_text("utf-8")).substitute(words)
            if place.endswith("/sample.toml"):
                words["sample"] = text  # the README shows it
            file = target / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            written.append(place)
    return written


def words_of(kind: str, name: str) -> dict[str, str]:
    of = KINDS[kind]
    camel = "".join(part.capitalize() for part in name.split("-"))
    least = ".".join(__version__.split(".")[:2])
    imports = sorted({"BuildContext", of.interface, of.spec})
    return {
        "kind": kind,
        "name": name,
        "distribution": f"retaild-{name}",
        "package": f"retaild_{name.replace('-', '_')}",
        "class": camel if camel.endswith(of.noun) else camel + of.noun,
        "config": f"{camel}Config",
        "model": f"{camel.removesuffix(of.noun)}Model",
        "interface": of.interface,
        "hook": of.hook,
        "module": of.module,
        "spec": of.spec,
        "imports": ", ".join([*imports, "hookimpl"]),
        "summary": of.summary,
        "fields": "".join(f"            {field},\n" for field in of.fields),
        "requires": ", ".join(f'"{text}"' for text in (f"retaild>={least}", *of.requires)),
    }


def _files(folder: Traversable, prefix: str = "") -> list[tuple[str, Traversable]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            found += _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            found.append((prefix + entry.name.removesuffix(_SUFFIX), entry))
    return found
