"""Becomes the server that an order names: what retaild-service@.service runs.

    python -m retaild.runtime.services.order FILE

FILE is JSON, for its owner alone: `command`, `environment` (all of it), `directory` or null, `log`,
to which all it prints is appended. The standard library only: it starts in some hundredths of a
second and is gone by then, for the server takes its place and its process id.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

#: As of sysexits.h: the order cannot be read, or not be carried out.
EXIT_CONFIG = 78


def main(file: str) -> int:
    """Returns only when it cannot become the server; systemd's journal has the reason then."""
    try:
        order = json.loads(Path(file).read_text("utf-8"))
        if order["directory"]:
            os.chdir(order["directory"])
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.execvpe(order["command"][0], order["command"], order["environment"])
    except (OSError, ValueError, KeyError) as error:
        print(f"cannot carry out {file}: {error}", file=sys.stderr)
        return EXIT_CONFIG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
