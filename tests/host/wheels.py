"""Wheels as strangers ship them, made without a build tool."""

from __future__ import annotations

import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path

PLUGIN = """
    from pydantic import Field
    from retaild.api import Config, {spec}, hookimpl

    class Settings(Config):
        level: int = Field(default=1, ge=1, description="How much.")

    class Component:
        def __init__(self, config, context):
            self.config, self.context = config, context

    @hookimpl
    def {hook}():
        return [{spec}(name="{name}", summary="Does it.", config=Settings, build=Component)]
"""


def source(name: str = "acme", prelude: str = "") -> str:
    text = PLUGIN.format(name=name, spec="SourceSpec", hook="retaild_sources")
    return textwrap.dedent(prelude) + textwrap.dedent(text)


def gate(name: str = "acme") -> str:
    return textwrap.dedent(PLUGIN.format(name=name, spec="GateSpec", hook="retaild_gates"))


def wheel(
    folder: Path,
    name: str = "retaild-acme",
    version: str = "1.0",
    *,
    files: Mapping[str, str] | None = None,
    requires: tuple[str, ...] = (),
    entry: str | None = "retaild_acme.plugin",
    interface: str = "version-1",
) -> Path:
    """`files`: path in the wheel -> text. `entry`: the module of its one entry point."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    lines = [f"Requires-Dist: {text}\n" for text in requires]
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content = dict(files if files is not None else acme())
    content[f"{info}/METADATA"] = head + "".join(lines)
    content[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    if entry is not None:
        content[f"{info}/entry_points.txt"] = (
            f"[retaild.plugins]\nsource-acme = {entry}\n[retaild.api]\n{interface} = retaild.api\n"
        )
    record = f"{info}/RECORD"
    content[record] = "".join(f"{path},,\n" for path in [*content, record])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, text in content.items():
            archive.writestr(place, text)
    return path


def acme(text: str | None = None, **more: str) -> dict[str, str]:
    """The package retaild_acme with this plugin.py, and further modules by name."""
    modules = {"__init__": "", "plugin": source() if text is None else text, **more}
    return {f"retaild_acme/{name}.py": body for name, body in modules.items()}


def library(folder: Path, name: str, version: str) -> Path:
    """A wheel of one module that says which version it is."""
    return wheel(
        folder, name, version, files={f"{name}.py": f"VERSION = {version!r}\n"}, entry=None
    )
