"""The daemon: `run_daemon.py CONFIG NAME=FUNCTION ...` with dummy workers, or `CONFIG real`."""

from __future__ import annotations

import sys
from pathlib import Path

from retaild.daemon.service import Daemon
from retaild.runtime import logs
from retaild.runtime.context import surroundings

HERE = Path(__file__).parent


def main() -> int:
    config = Path(sys.argv[1])
    if sys.argv[2:] == ["real"]:
        settings, data = surroundings(config, None)
        logs.set_up("info")
        return Daemon(settings, data, config).run()
    workers = dict(pair.split("=") for pair in sys.argv[2:])
    settings, data = surroundings(config, None)
    logs.set_up("info")

    def command(run: dict[str, object]) -> list[str]:
        what = dict(run["arguments"]).get("what", "0.1")  # type: ignore[call-overload]
        return [sys.executable, str(HERE / "dummies.py"), str(data.root), str(run["job"]),
                str(run["id"]), what]  # fmt: skip

    kinds = dict.fromkeys(("gold", "trim", "refresh", "compact", "quality", "materialize"))
    return Daemon(
        settings, data, config, workers={n: f"dummies:{f}" for n, f in workers.items()},
        kinds=kinds, command=command,
    ).run()  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
