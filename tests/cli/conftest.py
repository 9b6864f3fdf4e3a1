"""The command line, called in this process and in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Ctl = Callable[..., Result]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, without the caller's configuration."""
    for name in list(os.environ):
        if name.startswith("RETAILD"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ctl(shop: Path, capsys: pytest.CaptureFixture[str]) -> Ctl:
    """Run a command line in this process."""
    from retaild.cli import main

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return run


@pytest.fixture
def process(shop: Path) -> Ctl:
    """Run a command line in a process of its own."""

    def run(*arguments: object, **environment: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "retaild.cli", *map(str, arguments)],
            capture_output=True, text=True, timeout=60, cwd=shop,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", **environment},
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    return run
