"""Loading plugins: by entry point, one broken never hides another."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from retaild.config.paths import DataDir
from retaild.config.sections import PluginInstance
from retaild.config.settings import Settings
from retaild.host.errors import InvalidPluginConfigError, UnknownPluginError
from retaild.host.registry import PluginRegistry

Install = Callable[[str, str, str], None]

GOOD = """
    from pydantic import Field
    from retaild.api import BusSpec, Config, GateSpec, hookimpl

    class Settings(Config):
        level: int = Field(default=1, ge=1)

    class Component:
        def __init__(self, config, context):
            self.config, self.context = config, context

    @hookimpl
    def retaild_buses():
        return [BusSpec(name="{name}", summary="", config=Settings, build=Component)]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution with one plugin on the path, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(distribution: str, module: str, source: str) -> None:
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[retaild.plugins]\n{module} = {module}\n")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))

    return put


def faults(registry: PluginRegistry, name: str) -> str:
    return " ".join(str(fault) for fault in registry.faults if fault.name == name)


def test_first_party_plugins_come_through_the_same_door() -> None:
    registry = PluginRegistry.load()
    assert registry.spec("bus", "embedded").name == "embedded"
    assert "tabular" in registry.specs("source")
    assert registry.faults == []


def test_broken_plugins_hide_nobody(install: Install) -> None:
    install("acme-good", "acme_good", GOOD.format(name="acme"))
    install("acme-import", "acme_import", "import a_driver_that_is_missing")
    install("acme-syntax", "acme_syntax", "def (")
    install("acme-empty", "acme_empty", "")
    install(
        "acme-raises",
        "acme_raises",
        """
        from retaild.api import hookimpl
        @hookimpl
        def retaild_gates():
            raise RuntimeError("bang")
        """,
    )
    install(
        "acme-future",
        "acme_future",
        """
        from retaild.api import hookimpl
        @hookimpl
        def retaild_teleporters():
            return []
        """,
    )
    install(
        "acme-old",
        "acme_old",
        GOOD.format(name="old").replace('summary=""', "api_version=7, summary=''"),
    )
    registry = PluginRegistry.load()
    assert registry.spec("bus", "acme").name == "acme"
    assert registry.spec("bus", "embedded").name == "embedded"
    assert "No module named 'a_driver_that_is_missing'" in faults(registry, "acme_import")
    assert "of acme-import:" in faults(registry, "acme_import")
    assert "SyntaxError" in faults(registry, "acme_syntax")
    assert "registers nothing" in faults(registry, "acme_empty")
    assert "RuntimeError: bang" in faults(registry, "acme_raises")
    assert "retaild_teleporters" in faults(registry, "acme_future")
    assert "interface 7" in faults(registry, "acme_old")
    assert len(registry.faults) == 6


def test_one_name_twice_is_given_to_neither(install: Install) -> None:
    for name in ("first", "second", "third"):
        install(f"acme-{name}", f"acme_{name}", GOOD.format(name="acme"))
    registry = PluginRegistry.load()
    assert "acme" not in registry.specs("bus")
    text = faults(registry, "acme_second")
    assert "registered twice" in text
    assert "acme-first" in text
    assert "acme-second" in text
    with pytest.raises(UnknownPluginError, match="registered twice"):
        registry.spec("bus", "acme")


def test_unknown_plugin_says_what_is_close_or_why_it_is_missing(install: Install) -> None:
    install("acme-import", "tardis", "import a_driver_that_is_missing")
    registry = PluginRegistry.load()
    with pytest.raises(UnknownPluginError, match="Did you mean 'embedded'"):
        registry.spec("bus", "embeded")
    with pytest.raises(UnknownPluginError, match="a_driver_that_is_missing"):
        registry.spec("bus", "tardis")


def test_build_gives_validated_settings_and_a_place(install: Install, tmp_path: Path) -> None:
    install("acme-good", "acme_good", GOOD.format(name="acme"))
    registry = PluginRegistry.load()
    settings, data = Settings(), DataDir(tmp_path / "data")
    plugin = PluginInstance(plugin="acme", settings={"level": 3})
    component = registry.build("bus", "bus", plugin, settings, data)
    assert component.config.level == 3
    assert component.context.state_dir == tmp_path / "data" / "log"
    assert component.context.currency == "GBP"
    assert component.context.threads == 1
    assert not (tmp_path / "data").exists()

    wrong = PluginInstance(plugin="acme", settings={"level": 0, "other": 1})
    with pytest.raises(InvalidPluginConfigError, match="level") as raised:
        registry.build("bus", "bus", wrong, settings, data)
    assert len(raised.value.reasons) == 2
