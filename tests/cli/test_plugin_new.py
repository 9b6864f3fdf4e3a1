"""`plugin new`: what it writes works as it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retaild.cli.plugin_new.render import KINDS
from retaild.host.registry import KINDS as HOST_KINDS

Ctl = Callable[..., Any]
BIN = Path(sys.executable).parent


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_project_is_written_and_its_next_steps_told(ctl: Ctl, shop: Path) -> None:
    told = ctl("plugin", "new", "source", "door-counter")
    assert told.code == 0, told.err
    assert "pytest" in told.out
    folder = shop / "retaild-door-counter"
    package = folder / "src/retaild_door_counter"
    assert "class DoorCounterSource:" in (package / "source.py").read_text()
    assert 'plugin = "door-counter"' in (package / "sample.toml").read_text()
    assert 'source-door-counter = "retaild_door_counter.plugin"' in (
        (folder / "pyproject.toml").read_text()
    )
    assert not [p for p in folder.rglob("*") if p.is_file() and "%%" in p.read_text()]


def test_every_kind_of_plugin_has_a_template() -> None:
    assert set(KINDS) == set(HOST_KINDS)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["teleporter", "x"], "no template for a plugin of kind 'teleporter'", "source"),
        (["source", "Door"], "'Door' is no good name", "door-counter"),
        (["source", "../door"], "no good name", "hyphens"),
        (["source", "class"], "no good name", "hyphens"),
        (["source", "door", "full"], "full is there already and is not empty", "another"),
    ],
)
def test_what_cannot_be_written(
    ctl: Ctl, shop: Path, words: list[str], message: str, hint: str
) -> None:
    (shop / "full").mkdir()
    (shop / "full" / "x").write_text("")
    told = ctl("plugin", "new", *words)
    assert told.code == 1
    assert message in told.err
    assert hint in told.err


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_its_own_tests_and_checks(ctl: Ctl, shop: Path, kind: str) -> None:
    assert ctl("plugin", "new", kind, f"my-{kind}", "project").code == 0
    project = shop / "project"
    said = run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in said
    run(project, str(BIN / "ruff"), "check", "--no-cache", ".")
    run(project, str(BIN / "ruff"), "format", "--no-cache", "--check", ".")
    run(project, str(BIN / "mypy"), "--cache-dir", str(shop / "mypy"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_its_wheel_is_installed_found_and_configured(ctl: Ctl, shop: Path, kind: str) -> None:
    """The steps that the command tells at its end, up to a configuration without a fault."""
    assert ctl("init").code == 0
    assert ctl("plugin", "new", kind, f"my-{kind}", "project").code == 0
    project = shop / "project"
    run(
        project, sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q",
        "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", ".",
    )  # fmt: skip
    (wheel,) = (project / "dist").glob("*.whl")
    installed = ctl("plugin", "install", wheel, "--no-index", "--json").json
    assert installed["plugins"] == [f"{kind} my-{kind}"]
    sample = (project / "src" / f"retaild_my_{kind}" / "sample.toml").read_text()
    (shop / "secrets").mkdir()
    (shop / "secrets/chat").write_text("a token")
    config = shop / "retaild.toml"
    config.write_text(f"{config.read_text()}\n{sample.replace('/etc/retaild', str(shop))}")
    told = ctl("check")
    assert told.code == 0, told.out + told.err
    shown = ctl("plugin", "show", f"my-{kind}", "--json").json
    assert all(row["description"] for row in shown["settings"])
