"""Managed services and engines: software, Java, ports, memory, disk."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from retaild.api.errors import RetaildError
from retaild.api.service import Endpoint, Service, ServiceSpec
from retaild.host.registry import PluginRegistry
from retaild.runtime.component import process_name
from retaild.runtime.doctor.finding import Finding
from retaild.runtime.doctor.patient import Patient
from retaild.runtime.services.keeper import PortTakenError, check_free
from retaild.runtime.services.overview import Services
from retaild.runtime.services.software import shelf

_MIB = 1024 * 1024
_JAVA_SECONDS = 20.0
#: What else runs on the box needs some memory too: retaild itself, the system.
_OTHERS_MIB = 1024


def software(patient: Patient) -> Iterator[Finding]:
    """What the configuration uses must be on the disk, as this version of the plugin pins it."""
    services = _services(patient)
    if services is None:
        return
    for plugin, wanted in services.needed().items():
        states = {one.name: shelf(one, services.software_dir) for one in wanted}
        hint = f"Run `retaildctl service install {plugin}`."
        missing = [name for name, state in states.items() if state == "missing"]
        other = [name for name, state in states.items() if state == "other"]
        if missing:
            summary = f"The software of {plugin!r} is not here: {', '.join(missing)}."
            yield Finding("service-software", "error", summary, hint, plugin)
        elif other:
            summary = f"{', '.join(other)} is here in another version than {plugin!r} is made for."
            hint += f" Then `retaildctl service restart`, if {plugin!r} runs."
            yield Finding("service-software", "warning", summary, hint, plugin)


def software_disk(patient: Patient) -> Iterator[Finding]:
    """There must be room for what is to be fetched yet."""
    services = _services(patient)
    if services is None:
        return
    wanted = {one.name: one for found in services.needed().values() for one in found}
    missing = [one for one in wanted.values() if shelf(one, services.software_dir) != "installed"]
    need = sum(one.disk_mib for one in missing)
    place = _existing(services.software_dir)
    free = shutil.disk_usage(place).free // _MIB
    if need > free:
        yield Finding(
            "service-disk", "error",
            f"{', '.join(one.name for one in missing)} take about {need} MiB in {place}, where "
            f"{free} MiB are free.",
            "Make room, or set retaild.software_dir to a directory on another disk.",
        )  # fmt: skip


def _existing(path: Path) -> Path:
    return path if path.exists() or path == path.parent else _existing(path.parent)


def java(patient: Patient) -> Iterator[Finding]:
    """The newest that a configured service asks for."""
    wanted = {name: spec.java for name, spec in _configured(patient).items() if spec.java}
    if not wanted:
        return
    least = max(wanted.values())
    who = ", ".join(sorted(wanted))
    hint = f"Install it: `apt-get install openjdk-{least}-jre-headless`."
    found = java_version()
    if found is None:
        summary = f"There is no Java on this machine, which {who} run on."
        yield Finding("service-java", "error", summary, hint)
    elif found < least:
        summary = f"The Java here is version {found}; {who} ask for {least}."
        yield Finding(
            "service-java", "error", summary,
            f"{hint} If it is here already, `update-alternatives --config java` chooses it.",
        )  # fmt: skip


def java_version() -> int | None:
    """Of the `java` on the path: 17 for "17.0.19", 8 for "1.8.0_392"; None if it does not run."""
    try:
        said = subprocess.run(
            ["java", "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_JAVA_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    return int(match[1]) if match else None


def memory(patient: Patient) -> Iterator[Finding]:
    """All that is configured must fit on the box, and what does not run yet into what is free."""
    configured = _configured(patient)
    if not configured:
        return
    total, available = _memory_mib()
    need = sum(spec.memory_mib for spec in configured.values())
    waiting = {n: spec.memory_mib for n, spec in configured.items() if not _runs(patient, n)}
    names = ", ".join(f"{name} {spec.memory_mib}" for name, spec in sorted(configured.items()))
    hint = (
        "Leave out services that you do not need, give them smaller heaps (their own settings), "
        "run them on another machine, or add memory."
    )
    if need + _OTHERS_MIB > total:
        summary = f"The services take about {need} MiB ({names}); this machine has {total} MiB."
        yield Finding("service-memory", "error", summary, hint)
    elif sum(waiting.values()) > available:
        summary = (
            f"{', '.join(sorted(waiting))} are to start and take about {sum(waiting.values())} "
            f"MiB; {available} MiB are available."
        )
        yield Finding("service-memory", "warning", summary, hint)


def _memory_mib() -> tuple[int, int]:
    """Of the box: all, and what programs may still take."""
    facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(facts[key].split()[0]) // 1024 for key in ("MemTotal", "MemAvailable"))
    return total, available


def ports(patient: Patient) -> Iterator[Finding]:
    """Those of services that do not run must be free, and each the port of one service only."""
    taken: dict[int, str] = {}
    for name, endpoint in _endpoints(patient):
        other = taken.setdefault(endpoint.port, name)
        if other != name:
            yield Finding(
                "service-port", "error",
                f"Services {other!r} and {name!r} are both to listen on port {endpoint.port}.",
                "Give one of them another port in the configuration.", name,
            )  # fmt: skip
        elif not _runs(patient, name):
            try:
                check_free(endpoint)
            except PortTakenError as error:
                yield Finding("service-port", "error", error.message, error.hint, name)


def _endpoints(patient: Patient) -> Iterator[tuple[str, Endpoint]]:
    """Of services whose configuration can be read; what is wrong with others is told elsewhere."""
    for name in _configured(patient):
        for endpoint in _endpoints_of(patient, name):
            yield name, endpoint


def _endpoints_of(patient: Patient, name: str) -> list[Endpoint]:
    assert patient.settings is not None
    section = patient.settings.service[name]
    plugins = PluginRegistry.load(patient.data)
    try:
        service: Service = plugins.build("service", name, section, patient.settings, patient.data)
    except RetaildError:
        return []
    with suppress(RetaildError):  # without its software its servers are not known
        if not service.servers():
            return []
    return list(service.endpoints())


def _runs(patient: Patient, name: str) -> bool:
    workers = patient.status["workers"] if patient.status else []
    process = process_name("service", name)
    return any(row["name"] == process and row["pid"] for row in workers)


def _services(patient: Patient) -> Services | None:
    if patient.settings is None:
        return None
    return Services(patient.settings, patient.data, PluginRegistry.load(patient.data))


def _configured(patient: Patient) -> dict[str, ServiceSpec]:
    """Instance -> Spec of each configured service that is not a stranger's."""
    services = _services(patient)
    if services is None:
        return {}
    specs = services.specs()
    configured = services.settings.service.items()
    return {name: specs[one.plugin] for name, one in configured if one.plugin in specs}
