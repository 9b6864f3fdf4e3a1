"""A stranger's plugin from its first file to its removal, on an appliance that runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retaild.config.paths import DataDir
from retaild.runtime.state import State
from tests.host.wheels import wheel

ROOT = Path(__file__).parents[2]
Ctl = Callable[..., Any]


def test_installed_listed_shown_removed_and_written_down(ctl: Ctl, shop: Path) -> None:
    assert ctl("init").code == 0
    installed = ctl("plugin", "install", wheel(shop / "dist"), "--json").json
    assert (installed["after"], installed["plugins"]) == ("1.0", ["source acme"])
    assert "not running" in installed["running"]
    rows = ctl("plugin", "list", "--kind", "source", "--json").json["plugins"]
    assert [(r["name"], r["distribution"]) for r in rows if r["name"] == "acme"] == [
        ("acme", "retaild-acme 1.0")
    ]
    shown = ctl("plugin", "show", "acme", "--json").json
    assert [row["name"] for row in shown["settings"]] == ["level"]
    with (shop / "retaild.toml").open("a") as file:
        file.write('\n[source.door]\nplugin = "acme"\n')
    refused = ctl("plugin", "remove", "acme")
    assert refused.code == 1
    assert "in use by [source.door]" in refused.err
    assert ctl("plugin", "remove", "acme", "--force").code == 0
    assert ctl("plugin", "versions", "--json").json == []
    state = State(DataDir(shop / "retaild-data").state_db)
    rows = state.rows("SELECT what, target, before, after, via FROM audit ORDER BY id", ())
    state.close()
    assert [tuple(row.values()) for row in rows] == [
        ("plugin.install", "retaild-acme", None, "1.0", "command"),
        ("plugin.remove", "retaild-acme", "1.0", None, "command"),
    ]


@pytest.fixture
def appliance(ctl: Ctl, shop: Path) -> Iterator[subprocess.Popen[bytes]]:
    assert ctl("init").code == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    with (shop / "daemon.out").open("wb") as out:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "retaild.daemon"],
            cwd=shop, env={**environment, "RETAILD__API__PORT": port}, stdout=out, stderr=out,
        )  # fmt: skip
        try:
            wait_for(lambda: ctl("status").code == 0, "the daemon does not start")
            yield daemon
        finally:
            daemon.terminate()
            daemon.wait(60)


def wait_for(true: Callable[[], bool], otherwise: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, otherwise
        time.sleep(0.3)


@pytest.mark.slow
def test_from_new_to_removed_on_a_running_appliance(
    ctl: Ctl, shop: Path, appliance: subprocess.Popen[bytes]
) -> None:
    """The same daemon runs from the beginning to the end."""

    def accepted() -> int:
        state = State(DataDir(shop / "retaild-data").state_db)
        rows = state.sources()
        state.close()
        return sum(row["accepted"] or 0 for row in rows if row["instance"] == "door")

    assert ctl("plugin", "new", "source", "door", "project").code == 0
    first = build(shop / "project", shop / "dist")
    assert "source door" in ctl("plugin", "install", first).out
    readings = shop / "readings.jsonl"
    readings.write_bytes(reading(1) + reading(2))
    with (shop / "retaild.toml").open("a") as file:
        file.write(f'\n[source.door]\nplugin = "door"\npath = "{readings}"\n')
    assert ctl("reload").code == 0
    wait_for(lambda: accepted() == 2, "the first version reads nothing")

    project = shop / "project/pyproject.toml"
    project.write_text(project.read_text().replace('version = "0.1.0"', 'version = "0.2.0"'))
    upgraded = ctl("plugin", "upgrade", build(shop / "project", shop / "dist"))
    assert "The running retaild knows it." in upgraded.out, upgraded.out + upgraded.err
    with readings.open("ab") as file:
        file.write(reading(3))
    wait_for(lambda: accepted() == 3, "the second version does not go on where the first was")

    config = shop / "retaild.toml"
    config.write_text(config.read_text().partition("\n[source.door]")[0])
    assert ctl("reload").code == 0
    assert ctl("plugin", "remove", "door").code == 0
    assert not list((shop / "retaild-data/plugins").glob("retaild-door/*"))
    assert appliance.poll() is None


def reading(value: int) -> bytes:
    told = {"time": f"2026-01-05T09:00:0{value}Z", "subject": "door", "value": value}
    return json.dumps(told).encode() + b"\n"


def build(project: Path, into: Path) -> Path:
    """As the guide says, without a network."""
    before = set(into.glob("*.whl"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation"]
    command += ["--no-deps", "--wheel-dir", str(into), str(project)]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = set(into.glob("*.whl")) - before
    return made
