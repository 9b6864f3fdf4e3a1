"""Calling pip: to fetch a wheel, to find out what it needs, to install it somewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from retaild.api.errors import RetaildError

#: pip may take so long for one call, in seconds: large packages, slow lines.
LIMIT_SECONDS = 900.0


class PipError(RetaildError):
    """pip did not do it; `said` is its own explanation."""

    key = "plugin.pip"

    def __init__(self, what: str, said: str, hint: str = "") -> None:
        self.said = said
        super().__init__(f"pip cannot {what}: {said}", hint=hint or "Nothing was installed.")


def download(name: str, into: Path, options: Sequence[str]) -> Path:
    """The wheel of a distribution, from where `options` say. Raises PipError."""
    words = ["download", "--no-deps", "--only-binary", ":all:", "--dest", str(into), *options, name]
    _pip(f"fetch {name}", words)
    return next(into.glob("*.whl"))


def resolve(
    requirements: Sequence[str], constraints: Sequence[str], options: Sequence[str]
) -> dict[str, str]:
    """Name -> version of what would have to be installed beside the host. Raises PipError."""
    with tempfile.TemporaryDirectory() as scratch:
        limits, report = Path(scratch, "constraints.txt"), Path(scratch, "report.json")
        limits.write_text("\n".join(constraints), "utf-8")
        words = ["install", "--dry-run", "--report", str(report), "-c", str(limits)]
        _pip("find what it needs", [*words, "--only-binary", ":all:", *options, *requirements])
        found = json.loads(report.read_bytes())["install"]
    return {item["metadata"]["name"]: item["metadata"]["version"] for item in found}


def install(requirements: Sequence[str], target: Path, options: Sequence[str]) -> None:
    """Just these, without what they need, into a directory. Raises PipError."""
    words = ["install", "--no-deps", "--only-binary", ":all:", "--target", str(target), "--upgrade"]
    _pip("install it", [*words, *options, *requirements])


def _pip(what: str, words: Sequence[str]) -> None:
    # -P: a folder `pip` where somebody happens to stand is not pip.
    command = [sys.executable, "-P", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PIP_ROOT_USER_ACTION": "ignore"}
    try:
        done = subprocess.run(
            [*command, *words], capture_output=True, text=True, timeout=LIMIT_SECONDS,
            env=environment, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PipError(what, f"it takes longer than {LIMIT_SECONDS:g} s.") from None
    if done.returncode:
        if "No module named pip" in done.stderr:
            raise PipError(what, "there is none.", "Install pip into retaild's Python environment.")
        raise PipError(what, _explained(done.stderr))


def _explained(text: str) -> str:
    """The lines that say why: what follows "The conflict is caused by", and errors."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.startswith("The conflict")), None)
    if start is not None:
        ends = [i for i, line in enumerate(lines) if i > start and line.startswith("To fix this")]
        return "; ".join(lines[start + 1 : ends[0] if ends else start + 6])[:1000] + "."
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return " ".join(errors or lines[-2:])[:1000]
