"""The command line as a script sees it: speed, exit codes, JSON, no colours."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ctl = Callable[..., Any]
ROOT = Path(__file__).parents[2]
HEAVY = ("pydantic", "rich", "pandas", "pyarrow", "numpy", "duckdb", "fastapi", "deltalake",
         "polars", "mlflow", "sqlalchemy", "apscheduler", "asyncio", "pluggy")  # fmt: skip


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["job", "--help"]])
def test_nothing_heavy_is_loaded(shop: Path, arguments: list[str]) -> None:
    script = (
        "import sys; from retaild.cli import main; code = main(sys.argv[1:]); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["status"]])
def test_it_starts_in_a_blink(process: Ctl, arguments: list[str]) -> None:
    """Processor time, the best of five: what else the machine does must not count."""
    process(*arguments)
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process(*arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(times) < 0.2, times


def test_not_running(process: Ctl) -> None:
    said = process("status")
    assert said.code == 3
    assert "No retaild is running on" in said.err
    assert "retaildctl run" in said.err
    said = process("status", "--json")
    assert (said.code, said.json["running"]) == (3, False)
    for command in (["recommend", "1"], ["price", "list"], ["stop"], ["worker", "list"]):
        said = process(*command, "--json")
        assert said.code == 3
        assert json.loads(said.err)["error"] == "daemon.not_running"
        assert said.out == ""


def test_wrong_command_lines(process: Ctl) -> None:
    said = process("statsu")
    assert said.code == 2
    assert "Did you mean 'status'?" in said.err
    assert process("job", "rnu").code == 2
    assert process("job", "run", "x", "--argument", "noequals", "--no-wait").code == 2
    assert process("import", "nothing-here.csv").code == 2
    assert process().code == 0


def test_faults(process: Ctl, shop: Path) -> None:
    (shop / "retaild.toml").write_text("[api]\nprot = 1\n")
    said = process("check")
    assert said.code == 4
    assert "retaild.toml:2: error: [api] has no setting 'prot'." in said.out
    said = process("check", "--json")
    assert said.code == 4
    assert said.json["faults"][0]["line"] == 2
    assert said.json["ok"] is False
    # A command that needs the configuration says the same, with the same code.
    said = process("config", "show", "--json")
    assert said.code == 4
    assert json.loads(said.err)["faults"][0]["path"] == "api.prot"
    said = process("run")
    assert said.code == 4
    assert "Did you mean 'port'?" in said.err


def test_no_such_thing(process: Ctl) -> None:
    assert process("plugin", "show", "bus", "embeded").code == 5
    assert process("job", "history").code == 5
    assert process("lake", "tables").code == 5


def test_colours_only_where_they_are_wanted(process: Ctl) -> None:
    assert "\x1b[" not in process("plugin", "list").out
    assert "\x1b[" not in process("statsu").err


def test_completion(process: Ctl) -> None:
    for shell in ("bash", "zsh", "fish"):
        script = process("completion", shell).out
        assert "_RETAILDCTL_COMPLETE" in script
    completed = process(
        _RETAILDCTL_COMPLETE="bash_complete", COMP_WORDS="retaildctl job hi", COMP_CWORD="2"
    )
    assert completed.out.strip() == "plain,history"


def test_a_closed_pipe_is_no_error(shop: Path) -> None:
    command = f"{sys.executable} -m retaild.cli plugin show tabular | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=shop,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0"
    assert "Traceback" not in done.stderr
