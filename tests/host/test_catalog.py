"""Strangers' plugins: described by another process, whatever they do to it."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from retaild.config.paths import DataDir
from retaild.host import catalog as catalog_module
from retaild.host import inspection
from retaild.host.catalog import Inspected, catalog
from retaild.host.check import check
from retaild.host.registry import PluginRegistry
from tests.host.wheels import source

Install = Callable[..., None]

#: What a plugin does at import, and what is said of it.
BAD = {
    "hangs": ("import time; time.sleep(60)", "takes longer than"),
    "crashes": ("import os; os.kill(os.getpid(), 11)", "crashes the process (SIGSEGV)"),
    "ends": ("import os; os._exit(3)", "ends the process (exit code 3)"),
    "exits": ("import sys; sys.exit(0)", "it ends the process (SystemExit)"),
    "eats": ("x = bytearray(6 << 30)", "MemoryError"),
    "imports": ("import a_driver_that_is_missing", "a_driver_that_is_missing"),
    "forges": ("import os; os.write(3, b'{'); os._exit(0)", "said nothing sensible"),
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution with one plugin module on the path, as pip beside the host would."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def put(name: str, text: str, interface: str = "version-1") -> None:
        info = site / f"acme_{name}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[retaild.plugins]\n{name} = acme_{name}\n[retaild.api]\n{interface} = retaild.api\n"
        )
        (site / f"acme_{name}.py").write_text(textwrap.dedent(text))

    return put


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    data = DataDir(tmp_path / "data")
    data.create()
    return data


def of(found: list[Inspected], name: str) -> Inspected:
    (one,) = [item for item in found if item.origin.distribution == f"acme-{name}"]
    return one


def test_a_plugin_is_described_and_never_imported_here(install: Install) -> None:
    install("good", source("good"))
    ((kind, facts),) = [(p.kind, p.facts) for p in of(catalog(), "good").plugins]
    assert (kind, facts.name, facts.summary, facts.read_ahead) == ("source", "good", "Does it.", 0)
    (row,) = facts.settings
    assert (row["name"], row["type"], row["default"]) == ("level", "whole number, at least 1", 1)
    assert facts.schema["properties"]["level"]["minimum"] == 1
    registry = PluginRegistry.load()
    assert registry.facts("source", "good").version == "0.1.0"
    assert "acme_good" not in sys.modules


def test_no_import_hides_another(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process for all goes down with the first bad one; then each has its own."""
    monkeypatch.setattr(inspection, "LIMIT_SECONDS", 3.0)
    install("a", source("a", "print('rubbish'); print('{}')\n"))
    for name, (text, _) in BAD.items():
        install(name, text)
    install("z", source("z"))
    found = catalog()
    assert [p.facts.name for p in of(found, "a").plugins] == ["a"]
    assert [p.facts.name for p in of(found, "z").plugins] == ["z"]
    for name, (_, words) in BAD.items():
        ((_, message),) = of(found, name).faults
        assert words in message, name


@pytest.mark.parametrize(
    ("name", "words"), [("A Name", "is no name"), ("x" * 65, "is no name"), ("../x", "is no name")]
)
def test_a_name_that_is_none_is_refused(install: Install, name: str, words: str) -> None:
    install("odd", source(name))
    ((_, message),) = of(catalog(), "odd").faults
    assert words in message


def test_another_interface_is_refused_before_anything_is_imported(
    install: Install, tmp_path: Path
) -> None:
    mark = tmp_path / "imported"
    install("next", f"open({str(mark)!r}, 'w')", interface="version-2")
    install("old", f"open({str(mark)!r}, 'w')", interface="version-0")
    found = catalog()
    (_, newer), (_, older) = (*of(found, "next").faults, *of(found, "old").faults)
    assert newer == (
        "it is written for plugin interface 2, but this retaild has 1. "
        "Upgrade retaild, or install a version of the plugin for interface 1."
    )
    assert older == (
        "it is written for plugin interface 0, but this retaild has 1. "
        "Install a newer version of the plugin, one for interface 1."
    )
    assert not mark.exists()


def test_a_name_of_the_hosts_own_cannot_be_taken(install: Install) -> None:
    install("thief", source("tabular"))
    registry = PluginRegistry.load()
    assert registry.find("source", "tabular").distribution == "retaild"
    (fault,) = registry.faults
    assert "source 'tabular' is the name of a plugin of retaild's own" in str(fault)


def test_what_was_told_is_kept_until_a_file_changes(
    install: Install, data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ask = inspection.ask
    monkeypatch.setattr(
        catalog_module, "ask", lambda launch, tasks: asked.append(len(tasks)) or ask(launch, tasks)
    )
    install("good", source("good"))
    install("other", source("other"))
    assert len(catalog(data)) == len(catalog(data)) == 2
    assert asked == [2]
    install("good", source("better"))
    assert of(catalog(data), "good").plugins[0].facts.name == "better"
    assert asked == [2, 1]


def test_a_fault_is_looked_at_again_after_a_while(
    install: Install, data: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("late", source("late", "import a_driver_that_comes_later\n"))
    assert of(catalog(data), "late").faults
    (tmp_path / "site" / "a_driver_that_comes_later.py").write_text("")
    assert of(catalog(data), "late").faults
    later = time.time() + catalog_module.FAULT_SECONDS
    monkeypatch.setattr(time, "time", lambda: later)
    assert not of(catalog(data), "late").faults


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "distributions": {"x": 5}}', "\x00"]
)
def test_a_damaged_file_is_made_again(install: Install, data: DataDir, text: str) -> None:
    install("good", source("good"))
    catalog(data)
    file = data.root / "plugins/catalog.json"
    whole = json.loads(file.read_text())
    file.write_text(text)
    assert of(catalog(data), "good").plugins
    assert json.loads(file.read_text()).keys() == whole.keys()


def test_settings_are_checked_elsewhere_with_their_lines(install: Install, tmp_path: Path) -> None:
    install("good", source("good"))
    config = tmp_path / "retaild.toml"
    config.write_text("[source.a]\nplugin = 'good'\nlevel = 0\n[source.b]\nplugin='good'\nx=1\n")
    found = [f for f in check(config, environment={}, listening=True) if f.severity == "error"]
    assert [(f.line, f.path) for f in found] == [(3, "source.a.level"), (6, "source.b.x")]
    assert "must be greater than or equal to 1" in found[0].message
    assert "acme_good" not in sys.modules


@pytest.mark.slow
def test_settings_that_hang_the_check_are_a_fault(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It describes itself and then hangs where its settings are validated."""
    monkeypatch.setattr(inspection, "LIMIT_SECONDS", 3.0)
    trap = "\nimport time\nSettings.model_validate = lambda values: time.sleep(60)\n"
    install("trap", source("trap") + trap)
    config = tmp_path / "retaild.toml"
    config.write_text("[source.a]\nplugin = 'trap'\n")
    found = [f for f in check(config, environment={}, listening=True) if f.severity == "error"]
    ((line, message),) = [(f.line, f.message) for f in found]
    assert line == 2
    assert "The settings of source.a cannot be checked: importing it takes longer" in message
