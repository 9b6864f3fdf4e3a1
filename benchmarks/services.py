"""What each managed service takes when nothing asks anything of it, and the profile as a whole.

Each by its plugin and keeper, alone on empty data: seconds until it answers at its first start and
at the next, memory of all its processes (proportional set size), its data and its software on the
disk. Then the daemon with the profile `appliance` (Kafka, Redis, Elasticsearch, the stream on
Spark) beside the one of the profile `edge`. Software that is missing is fetched first.

    python -m benchmarks.services [--software DIR] [--settle SECONDS] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from retaild.api import BuildContext, ServiceSpec
from retaild.api.service import Debian, Software, software_home
from retaild.demo import cluster
from retaild.demo.choice import SOFTWARE
from retaild.demo.footprint import Footprint, pss
from retaild.demo.shop import Shop
from retaild.host.registry import PluginRegistry
from retaild.runtime.services.keeper import Keeper
from retaild.runtime.services.software import install
from retaild.runtime.state import State
from retaild.testing.service import family_of, free_ports, running, with_free_ports

NAMES = ("kafka", "redis", "elasticsearch", "spark", "flink", "hive", "nifi", "flume")
#: Seconds that a daemon may take until all of it runs.
PATIENCE = 300.0
_MIB = 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    stated = os.environ.get("RETAILD_SOFTWARE")
    parser.add_argument("--software", type=Path, default=Path(stated) if stated else SOFTWARE)
    parser.add_argument("--settle", type=float, default=10.0, help="seconds of rest before a look")
    parser.add_argument("--only", nargs="*", choices=NAMES, help="these services, not the whole")
    arguments = parser.parse_args()
    # What the servers print goes where errors go: standard output is the report's.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    report: dict[str, Any] = {"load_before": os.getloadavg()[0], "service": {}}
    for name in arguments.only or NAMES:
        with tempfile.TemporaryDirectory() as root:
            report["service"][name] = alone(name, arguments.software, Path(root), arguments.settle)
        print(f"  {name}: {report['service'][name]}", file=out, flush=True)
    for profile in () if arguments.only else ("edge", "appliance"):
        with tempfile.TemporaryDirectory() as root:
            environment = {"RETAILD_SOFTWARE": str(arguments.software)}
            with patch.dict(os.environ, environment):
                report[profile] = whole(profile, Path(root), arguments.settle)
        print(f"  profile {profile}: {report[profile]}", file=out, flush=True)
    report["load_after"] = os.getloadavg()[0]
    print(json.dumps(report), file=out, flush=True)


# -- one alone -------------------------------------------------------------------------------------


def alone(name: str, software: Path, root: Path, settle: float) -> dict[str, Any]:
    spec = _spec(name)
    for wanted in spec.software:
        install(wanted, software)
    # Flume has nothing to do without a broker, which is not counted.
    with _broker(software, root) if name == "flume" else nullcontext({}) as settings:
        config = with_free_ports(spec, **settings)
        context = _context(name, software, root)
        first, _ = _started(spec, config, context, 0.0)
        again, figures = _started(spec, config, context, settle)
        return {
            "first_start_s": first,
            "start_s": again,
            **figures,
            "data_mib": _disk(context.state_dir),
            "software_mib": round(sum(_software(one, software) for one in spec.software) / _MIB),
            "planned_mib": spec.memory_mib,
        }


def _started(
    spec: ServiceSpec, config: Any, context: BuildContext, settle: float
) -> tuple[float, dict[str, int]]:
    """Seconds until it answered; its processes after `settle` seconds, and their memory."""
    began = time.monotonic()
    with running(spec, config, context) as keeper:
        seconds = round(time.monotonic() - began, 1)
        _rest(keeper, settle)
        pids = family_of(keeper)
        return seconds, {
            "processes": len(pids),
            "memory_mib": round(sum(pss(pid) for pid in pids) / _MIB),
        }


def _rest(keeper: Keeper, seconds: float) -> None:
    """Probed as always meanwhile: that is a service's idle life."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        keeper.watch()
        time.sleep(0.1)


@contextmanager
def _broker(software: Path, root: Path) -> Iterator[dict[str, object]]:
    """A broker, and the settings of an agent that writes to it."""
    spec = _spec("kafka")
    for wanted in spec.software:
        install(wanted, software)
    config = with_free_ports(spec)
    (root / "tills").mkdir()
    with running(spec, config, _context("kafka", software, root)):
        yield {
            "bootstrap_servers": f"127.0.0.1:{config.port}",
            "topic": "tills",
            "follow": (rf"{root}/tills/.*\.log",),
            "folders": (root / "incoming",),
        }


def _spec(name: str) -> ServiceSpec:
    found = PluginRegistry.load().spec("service", name)
    assert isinstance(found, ServiceSpec)
    return found


def _context(name: str, software: Path, root: Path) -> BuildContext:
    services = root / "service"
    state = services / name
    state.mkdir(parents=True, exist_ok=True)
    return BuildContext(name, state, root / "lake", software_dir=software, services_dir=services)


# -- disk ------------------------------------------------------------------------------------------


def _disk(directory: Path) -> int:
    return round(_bytes(directory) / _MIB)


def _bytes(directory: Path) -> int:
    """On the disk: a sparse file counts for what it takes. A link's target is not followed."""
    found = (path.lstat() for path in directory.rglob("*"))
    return sum({one.st_ino: one.st_blocks * 512 for one in found}.values())


def _software(software: Software, directory: Path) -> int:
    """What is in the software's home, and packages of the operating system, in bytes."""
    packages = [step for step in software.steps if isinstance(step, Debian)]
    home = 0 if len(packages) == len(software.steps) else _bytes(
        software_home(directory, software.name)
    )  # fmt: skip
    return home + sum(_package(step) for step in packages)


def _package(step: Debian) -> int:
    """Of the package that holds the program, where dpkg knows it; else the program itself."""
    program = shutil.which(step.program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program is not None
    real = Path(program).resolve()
    owner = subprocess.run(["dpkg", "-S", str(real)], capture_output=True, text=True, check=False)
    if owner.returncode:
        return real.stat().st_size
    name = owner.stdout.partition(":")[0]
    asked = ["dpkg-query", "-W", "-f", "${Installed-Size}", name]
    said = subprocess.run(asked, capture_output=True, text=True, check=True)
    return int(said.stdout) * 1024


# -- the whole -------------------------------------------------------------------------------------


def whole(profile: str, root: Path, settle: float) -> dict[str, Any]:
    """A daemon with an empty lake: seconds until all of it runs, its memory at rest."""
    shop = Shop(root / "shop", free_ports(1)[0], profile)
    # Ports of its own: somebody's broker may have the usual ones.
    with patch("retaild.demo.choice._is_free", return_value=False):
        shop.lay_out()
    if profile == "appliance":
        cluster.install(shop, cluster.settings_of(shop), print)
    began = time.monotonic()
    pid = shop.start()
    try:
        while not _whole(shop):
            shop.check_alive()
            assert time.monotonic() - began < PATIENCE, f"{profile} is not whole; see {shop.log}"
            time.sleep(0.1)
        seconds = round(time.monotonic() - began, 1)
        time.sleep(settle)
        found = Footprint(pid, lambda: {row["name"]: row["pid"] for row in _workers(shop)})
        found.look()
        summary = found.summary()
        return {
            "start_s": seconds,
            "memory_mib": summary["peak_mib"],
            "memory_mib_by_process": summary["peak_mib_by_process"],
        }
    finally:
        shop.stop()


def _whole(shop: Shop) -> bool:
    """Whether the server answers and every worker, keepers among them, runs."""
    workers = _workers(shop) if shop.answers("/health/live") else []
    names = {row["name"] for row in workers}
    wanted = {"stream", *(f"service.{name}" for name in cluster.settings_of(shop).service)}
    return wanted <= names and all(row["state"] == "running" for row in workers)


def _workers(shop: Shop) -> list[dict[str, Any]]:
    state = State(shop.data.state_db)
    try:
        return list(state.workers())
    finally:
        state.close()


if __name__ == "__main__":
    main()
