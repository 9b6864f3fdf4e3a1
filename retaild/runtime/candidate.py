"""`python -m retaild.runtime.candidate`: read files and environment, check all, say what is wrong.

A process of its own, so that the daemon imports no plugin: it writes the configuration that it
has read to `--to`, and its findings to `--answer`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from retaild.config.active import Active
from retaild.config.documents import read_documents
from retaild.config.faults import Fault
from retaild.config.locate import locate_config
from retaild.config.paths import DataDir
from retaild.host.registry import PluginRegistry
from retaild.runtime.check import check_all
from retaild.runtime.process import bind_to_parent


@dataclass(frozen=True, slots=True)
class Findings:
    """`plugins`: "kind.plugin" -> the distribution and version that it comes from."""

    faults: tuple[Fault, ...] = ()
    plugins: Mapping[str, str] | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError and ValueError."""
        stored = json.loads(path.read_text("utf-8"))
        return cls(tuple(Fault(**fault) for fault in stored["faults"]), stored["plugins"])

    @property
    def errors(self) -> list[Fault]:
        return [fault for fault in self.faults if fault.severity == "error"]


def examine(config: Path | None, data: Path, to: Path, *, listening: bool) -> Findings:
    """What was read goes to `to`, and exactly that is checked: later edits change nothing."""
    main = locate_config(config)
    document = read_documents(main, os.environ)
    Active.of(document, main, data).write(to)
    faults = [*document.faults, *check_all(to, data, listening=listening)]
    return Findings(tuple(faults), _versions(data))


def _versions(data: Path) -> dict[str, str]:
    registered = PluginRegistry.load(DataDir(data)).registered
    return {
        f"{kind}.{name}": f"{item.distribution} {item.distribution_version}"
        for (kind, name), item in registered.items()
    }


def command(
    config: Path | None, data: Path, to: Path, answer: Path, *, listening: bool
) -> list[str]:
    """The command line of `examine` in a process of its own."""
    words = [sys.executable, "-m", "retaild.runtime.candidate", "--data", str(data)]
    words += ["--config", str(config)] if config else []
    words += ["--to", str(to), "--answer", str(answer)]
    return [*words, "--listening"] if listening else words


def main() -> int:
    bind_to_parent()
    parser = argparse.ArgumentParser(prog="retaild.runtime.candidate")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--answer", type=Path, required=True)
    parser.add_argument("--listening", action="store_true", help="the port is taken by right")
    options = parser.parse_args()
    findings = examine(options.config, options.data, options.to, listening=options.listening)
    options.answer.write_text(json.dumps(asdict(findings)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
