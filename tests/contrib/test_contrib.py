"""Each project of contrib/ as a stranger would take it: wheel, environment, tests, types, style."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

CONTRIB = Path(__file__).parents[2] / "contrib"
PROJECTS = sorted(path.parent.name for path in CONTRIB.glob("*/pyproject.toml"))
ALLOWED = ("retaild.api", "retaild.events", "retaild.pipeline", "retaild.testing")


def test_there_are_projects() -> None:
    assert PROJECTS == ["mqtt-source", "postgresql-source", "webhook-alert"]


@pytest.mark.parametrize("project", PROJECTS)
def test_it_uses_the_public_doors_alone(project: str) -> None:
    for file in (CONTRIB / project).rglob("*.py"):
        if "build" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                host = name == "retaild" or name.startswith("retaild.")
                assert not host or name.startswith(ALLOWED), f"{file}: {name}"


@pytest.mark.slow
@pytest.mark.parametrize("project", PROJECTS)
def test_it_is_installed_and_passes_its_own_tests(project: str, tmp_path: Path) -> None:
    """retaild and the requirements come from this environment, the project from its wheel."""
    folder = CONTRIB / project
    _run(
        folder, sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q",
        "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), ".",
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    package = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["name"]
    held = zipfile.ZipFile(wheel).namelist()
    assert f"{package.replace('-', '_')}/sample.toml" in held
    assert any(name.endswith("licenses/LICENSE") for name in held)

    python = _environment(tmp_path / "venv", wheel)
    # Not the sources beside the tests but what the wheel installed.
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "pythonpath=tests"]
    _run(folder, python, *tests)
    _run(folder, python, "-m", "mypy", "--cache-dir", str(tmp_path / "mypy"))
    _run(folder, python, "-m", "ruff", "check", "--no-cache", ".")


def _environment(folder: Path, wheel: Path) -> str:
    """A virtual environment that also sees this one's packages."""
    _run(folder.parent, sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = str(folder / "bin/python")
    library = next(folder.glob("lib/python*/site-packages"))
    beside = [path for path in sys.path if path.endswith("site-packages")]
    # addsitedir follows the .pth files there, as retaild's own editable installation needs.
    lines = [f"import site; site.addsitedir({path!r})" for path in beside]
    (library / "beside.pth").write_text("\n".join(lines) + "\n")
    _run(
        folder.parent, sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q",
        "--no-deps", "--target", str(library), str(wheel),
    )  # fmt: skip
    return python


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (
        f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    )
