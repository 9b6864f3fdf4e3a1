"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from retaild.api.lake import Lake

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def block(language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (text,) = [text for text in found if containing in text]
    return str(text)


def retaildctl(directory: Path, *arguments: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "retaild.cli", *arguments],
        cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """`retaildctl init`, as the README says."""
    retaildctl(tmp_path, "init")
    assert (tmp_path / "retaild.toml").exists()
    return tmp_path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def add_to_config(shop: Path, text: str) -> None:
    with (shop / "retaild.toml").open("a") as file:
        file.write("\n" + text)


def test_the_german_till_of_the_readme_is_read_with_its_commas_and_dates(shop: Path) -> None:
    folder = shop / "tills"
    folder.mkdir()
    add_to_config(shop, block("toml", "[source.tills]").replace("/srv/tills", str(folder)))
    retaildctl(shop, "check")
    export = shop / "old-year.csv"
    export.write_text(
        "Bon;Artikel;Bezeichnung;Menge;Preis;Datum;Kundenkarte\n"
        "1001;A1;Käse jung;0,455;12,90;24.12.2025 09:15:00;4711\n"
        "1001;PFAND;Pfand;1;0,25;24.12.2025 09:15:00;4711\n"
        "S1002;A1;Käse jung;-0,455;12,90;27.12.2025;4711\n"
        "1003;A1;Käse jung;viel;12,90;27.12.2025;4711\n",
        "utf-8",
    )
    done = retaildctl(shop, "import", str(export), "--source", "tills", "--json")
    assert (done["accepted"], done["dead"]) == (3, 1)
    retaildctl(shop, "import", str(export), "--source", "tills")
    rows = Lake(shop / "retaild-data/lake").dataset("silver.sale").to_table().to_pylist()
    found = sorted((r["receipt_id"], r["line_type"], str(r["amount"])) for r in rows)
    # 0.455 kg x 12.90 = 5.8695; the deposit is no product; the Storno takes it back.
    assert found == [
        ("1001", "sale", "5.8695"),
        ("1001", "service", "0.2500"),
        ("S1002", "return", "-5.8695"),
    ]
    # 09:15 in Berlin's winter is 08:15 UTC.
    assert min(r["event_time"] for r in rows).isoformat() == "2025-12-24T08:15:00+00:00"
    letters = retaildctl(shop, "deadletter", "list", "--json")
    assert "viel" in json.dumps(letters, ensure_ascii=False)


def test_the_plugin_in_twenty_lines_is_found_configured_and_run(shop: Path) -> None:
    """Installed as a wheel would be: a module and its entry point on the path."""
    site = shop / "site"
    metadata = site / "door_counter-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "door_counter.py").write_text(block("python", "door_counter.py"))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: door-counter\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[retaild.plugins]\ndoor-counter = door_counter\n")
    counter = shop / "counter.txt"
    counter.write_text("3\n5\n")
    add_to_config(shop, f'[source.door]\nplugin = "door-counter"\npath = "{counter}"\n')
    plugins = retaildctl(shop, "plugin", "list", "--json", PYTHONPATH=str(site))
    assert "door-counter" in json.dumps(plugins)
    port = str(free_port())
    daemon = subprocess.Popen(
        [sys.executable, "-m", "retaild.daemon"],
        cwd=shop, env={**os.environ, "PYTHONPATH": str(site), "RETAILD__API__PORT": port},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        lake = Lake(shop / "retaild-data/lake")
        assert _wait_for_rows(lake, 2) == {3.0, 5.0}
        with counter.open("a") as file:
            file.write("8\n")
        assert _wait_for_rows(lake, 3) == {3.0, 5.0, 8.0}
    finally:
        daemon.terminate()
        assert daemon.wait(30) == 0


def _wait_for_rows(lake: Lake, rows: int) -> set[float]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if lake.exists("silver.external") and lake.table("silver.external").count() >= rows:
            break
        time.sleep(0.1)
    return set(lake.dataset("silver.external").to_table()["value"].to_pylist())


def test_files_the_readme_points_to_exist() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert linked
    assert [path for path in linked if not (ROOT / path).exists()] == []
