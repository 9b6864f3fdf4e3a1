"""What retaild needs when nothing happens: `python -m benchmarks.footprint [--seconds 30]`.

Prints memory (resident, and proportional: shared pages counted once) and processor share of the
daemon and each worker on an empty data directory, beside a bare Python interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._daemon import running_daemon, status

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024.0


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident and proportional set size of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = dict(re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.MULTILINE))
    return int(found["Rss"]) / MIB, int(found["Pss"]) / MIB


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def bare_python_mib() -> float:
    script = "import sys; print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        return memory_mib(bare.pid)[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to watch")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder, running_daemon(Path(folder)) as (config, _):
        data = config.parent / "retaild-data"
        time.sleep(5)  # what happens once at the start is over
        told = status(data)
        pids = {"daemon": told["daemon"]["pid"]}
        pids |= {row["name"]: row["pid"] for row in told["workers"]}
        before = {name: processor_seconds(pid) for name, pid in pids.items()}
        time.sleep(seconds)
        processes = {}
        for name, pid in pids.items():
            resident, proportional = memory_mib(pid)
            share = (processor_seconds(pid) - before[name]) / seconds
            processes[name] = {
                "rss_mib": round(resident, 1),
                "pss_mib": round(proportional, 1),
                "processor_percent": round(100 * share, 2),
            }
    bare = bare_python_mib()
    total = sum(row["pss_mib"] for row in processes.values())
    figures = {
        "processes": processes,
        "total_pss_mib": round(total, 1),
        "total_processor_percent": round(
            sum(row["processor_percent"] for row in processes.values()), 2
        ),
        "bare_python_rss_mib": round(bare, 1),
        "daemon_ratio_to_bare": round(processes["daemon"]["rss_mib"] / bare, 1),
    }
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
