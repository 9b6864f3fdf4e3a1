"""An examination in a process of its own, for the server: JSON on standard output.

python -m retaild.runtime.doctor --data DIR [--config FILE] [--fix ID]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from retaild.config.active import ActiveStore
from retaild.config.paths import DataDir
from retaild.runtime.doctor.examination import CHECKS, examine, mend
from retaild.runtime.doctor.patient import Patient


def main() -> int:
    parser = argparse.ArgumentParser(prog="retaild.runtime.doctor")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--fix", default="")
    options = parser.parse_args()
    data = DataDir(options.data)
    patient = Patient(data, options.config or _started_with(data))
    named = options.fix.partition(":")[0]
    only = [named] if named else []
    findings = examine(patient, only) if not named or named in CHECKS else []
    applied = mend([finding for finding in findings if finding.id == options.fix])
    answer = {
        "findings": [finding.public() for finding in findings],
        "applied": [
            {"id": item.finding.id, "found": item.finding.summary, "done": item.done,
             "failed": item.failed}
            for item in applied
        ],
    }  # fmt: skip
    print(json.dumps(answer))
    return 0


def _started_with(data: DataDir) -> Path | None:
    active = ActiveStore(data).current()
    return Path(active.main) if active and active.main else None


if __name__ == "__main__":
    sys.exit(main())
