"""Stands in for `systemctl` and systemd: really starts, kills and reaps what our template says.

    python systemctl_peer.py show|set-property|start|kill ... UNIT

It reads the template that is shipped. Of systemd's rules it keeps those that retaild relies on:
`start` returns when the program runs; a unit outlives who started it; how its main process ended
is forgotten where that was in order; what the main process leaves is ended with it.
"""

from __future__ import annotations

import configparser
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

#: Where units' facts are kept, the template's folder, and who may do what.
HOME = Path(os.environ["PEER_HOME"])
TEMPLATE = Path(os.environ["PEER_TEMPLATE"])
_NONE = {"ActiveState": "inactive", "MainPID": "0", "ExecMainCode": "0", "ExecMainStatus": "0"}


def facts(unit: str) -> dict[str, str]:
    path = HOME / f"{unit}.json"
    known = json.loads(path.read_text()) if path.exists() else dict(_NONE)
    return {**known, "LoadState": "loaded" if TEMPLATE.exists() else "not-found"}


def keep(unit: str, **changed: str) -> None:
    path = HOME / f"{unit}.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps({**facts(unit), **changed}))
    new.replace(path)


def start(unit: str) -> int:
    if facts(unit)["ActiveState"] == "active":
        return 0
    keep(unit, ActiveState="activating")
    if os.fork():
        while facts(unit)["ActiveState"] not in ("active", "failed"):
            time.sleep(0.01)
        return 0
    os.setsid()
    for number in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    _supervise(unit)
    os._exit(0)


def _supervise(unit: str) -> None:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.read(TEMPLATE)
    instance = unit.partition("@")[2].removesuffix(".service")
    line = parser["Service"]["ExecStart"].replace("%i", instance)
    command = line.replace("/usr/lib/retaild/bin/python", sys.executable)
    command = command.replace("/run/retaild", os.environ["RUNTIME_DIRECTORY"])
    main = subprocess.Popen(
        command.split(" "), start_new_session=True, env={"PATH": "/usr/bin:/bin"}
    )
    keep(unit, ActiveState="active", MainPID=str(main.pid))
    code = main.wait()
    with suppress(ProcessLookupError):
        os.killpg(main.pid, signal.SIGKILL)
    in_order = code in (0, 143, -signal.SIGTERM)
    how = {} if in_order else {"ExecMainCode": "1" if code >= 0 else "2",
                               "ExecMainStatus": str(abs(code))}  # fmt: skip
    keep(unit, **{**_NONE, **how, "ActiveState": "inactive" if in_order else "failed"})


def kill(unit: str, number: str, whom: str) -> int:
    pid = int(facts(unit)["MainPID"])
    if not pid:
        print(f"Failed to kill unit {unit}: No main process to kill", file=sys.stderr)
        return 1
    send = os.kill if whom == "main" else os.killpg
    send(pid, signal.Signals[f"SIG{number}"])
    return 0


def main(arguments: list[str]) -> int:
    with (HOME / "asked").open("a") as file:
        file.write(" ".join(arguments) + "\n")
    options = dict(a[2:].split("=", 1) for a in arguments if a.startswith("--") and "=" in a)
    verb, *rest = [a for a in arguments if not a.startswith("--")]
    if verb == "show":
        print("".join(f"{key}={facts(rest[0])[key]}\n" for key in options["property"].split(",")))
        return 0
    if (HOME / "denied").exists():
        print("Interactive authentication required.", file=sys.stderr)
        return 1
    if verb == "set-property":
        return 0
    return start(rest[0]) if verb == "start" else kill(rest[0], options["signal"],
                                                      options["kill-whom"])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
