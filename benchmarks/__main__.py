"""Every benchmark, one after the other, on a machine with nothing else to do.

python -m benchmarks            all
python -m benchmarks NAME ...   some

Those with the appliance's servers (kafka, stream_engines, gold_engines, als) are told where their
software lies, so they are run by themselves (services knows where the demo keeps it); soak, backup
and reload take their time or a place.
"""

from __future__ import annotations

import subprocess
import sys

#: Name -> further arguments.
ALL: dict[str, tuple[str, ...]] = {
    "ingest": (),
    "ingest_parse": (),
    "lake": (),
    "serving": (),
    "freshness": (),
    "http_ingest": (),
    "recommender_latency": (),
    "recommender_quality": ("online-retail",),
    "pricing": (),
    "features": (),
    "startup": (),
    "footprint": ("--seconds", "15"),
    "services": (),
    "isolation": (),
    "isolation_source": (),
    "neighbour": (),
}


def main() -> int:
    names = sys.argv[1:] or list(ALL)
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *ALL[name]]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"\nfailed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
