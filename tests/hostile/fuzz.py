"""`make fuzz`: feeds every target with mutated bytes, guided by coverage (atheris, libFuzzer).

    python -m tests.hostile.fuzz [--total N] [TARGET ...]

The inputs are shared out by how fast a target is. An input that breaks something is written to
`crash-*` in the working directory and the exit code is 1; make it a seed when it is mended.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Shares of all inputs. What starts DuckDB or reads a file for each input takes longer.
SHARES = {
    "frames": 360, "shown": 200, "posted": 200, "cards": 150, "configuration": 50,
    "delimited": 20, "numbers": 8, "moments": 8, "json-lines": 4,
    "kafka-message": 40, "kafka-record": 20, "mqtt-payload": 60, "hub-frame": 40, "archive": 20,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.hostile.fuzz")
    parser.add_argument("targets", nargs="*", choices=[[], *SHARES], default=[])
    parser.add_argument("--total", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return _fuzz(options.child, options.total, options.seed)
    chosen = {name: SHARES[name] for name in options.targets or SHARES}
    failed = []
    for name, share in chosen.items():
        runs = max(1, options.total * share // sum(chosen.values()))
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.hostile.fuzz", "--child", name]
        command += ["--total", str(runs), "--seed", str(options.seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - began
        good = done.returncode == 0
        print(f"{name}: {runs:,} inputs in {seconds:.0f} s: {'good' if good else 'BROKEN'}",
              flush=True)  # fmt: skip
        if not good:
            failed.append(name)
            print(done.stderr[-4000:])
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _fuzz(name: str, runs: int, seed: int) -> int:
    import atheris

    with atheris.instrument_imports(
        include=["retaild", "retaild_plugins"], enable_loader_override=False
    ):
        from tests.hostile.targets import TARGETS
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as corpus:
        for number, content in enumerate(target.seeds):
            Path(corpus, f"seed-{number}").write_bytes(content)
        arguments = [sys.argv[0], f"-runs={runs}", f"-seed={seed}", f"-max_len={target.max_bytes}",
                     "-verbosity=0", "-timeout=20", corpus]  # fmt: skip
        atheris.Setup(arguments, target.run)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
