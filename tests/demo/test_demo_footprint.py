"""What processes take, and whether they still run."""

from __future__ import annotations

import subprocess
import sys

from retaild.demo.footprint import Footprint

#: Touches so many MiB, starts a child that does nothing, and says when both are there.
_TAKES = """
import subprocess, sys
block = bytearray(64 * 1024 * 1024)
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print("there", flush=True)
input()
child.communicate(b"\\n")
"""


def test_a_family_is_weighed_as_a_whole_and_missed_when_it_has_gone() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    footprint = Footprint(process.pid, lambda: {"worker": process.pid, "gone": None})
    footprint.look()
    summary = footprint.summary()
    # 64 MiB and two interpreters, which take some ten each.
    assert 64 < summary["peak_mib"] < 128
    assert summary["peak_mib_by_process"] == {"worker": summary["peak_mib"]}
    assert len(footprint.alive(patience=0)) == 2
    process.communicate("\n")
    assert footprint.alive(patience=5) == []
    footprint.look()
    assert footprint.summary() == summary
