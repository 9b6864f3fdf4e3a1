"""The doctor looks at managed services: each check by the fault it is there for."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from retaild.config.paths import DataDir
from retaild.runtime.doctor import services
from retaild.runtime.doctor.patient import Patient
from tests.runtime.doctor.findings import add, found, one

REDIS = '[service.redis]\nplugin = "redis"\nport = {port}\n'
SEARCH = '[service.search]\nplugin = "elasticsearch"\nport = {port}\n'


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_without_services_there_is_nothing_to_say(patient: Patient) -> None:
    for check in ("software", "disk", "java", "memory", "port"):
        assert found(patient, f"service-{check}") == []


def test_a_port_that_another_program_has(patient: Patient, config: Path, taken: int) -> None:
    add(config, REDIS.format(port=taken))
    finding = one(patient, "service-port")
    assert (finding.severity, finding.target) == ("error", "redis")
    assert f"Port {taken}" in finding.summary
    assert f"Process {os.getpid()}" in finding.summary


def test_a_free_port_is_well(patient: Patient, config: Path) -> None:
    add(config, REDIS.format(port=_free()))
    assert found(patient, "service-port") == []


def test_two_services_with_one_port(patient: Patient, config: Path) -> None:
    port = _free()
    add(config, REDIS.format(port=port) + SEARCH.format(port=port))
    finding = one(patient, "service-port")
    assert "'redis' and 'search'" in finding.summary


def test_software_that_is_missing_comes_with_the_command(patient: Patient, config: Path) -> None:
    add(config, SEARCH.format(port=_free()))
    finding = one(patient, "service-software")
    assert finding.severity == "error"
    assert "retaildctl service install elasticsearch" in finding.hint


def test_software_of_other_pins_is_told(patient: Patient, config: Path, data: DataDir) -> None:
    add(config, SEARCH.format(port=_free()))
    old = data.software / "elasticsearch" / "1.0-0123456789"
    old.mkdir(parents=True)
    old.with_name("current").symlink_to(old.name)
    finding = one(patient, "service-software")
    assert finding.severity == "warning"
    assert "another version" in finding.summary


def test_too_little_room_for_what_is_to_be_fetched(
    patient: Patient, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(config, SEARCH.format(port=_free()))
    usage = SimpleNamespace(total=10**9, used=10**9, free=3 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    finding = one(patient, "service-disk")
    assert finding.severity == "error"
    assert "3 MiB are free" in finding.summary


def _java(directory: Path, version: str) -> None:
    program = directory / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)


@pytest.mark.parametrize("version", ["11.0.22", "1.8.0_392"])
def test_java_that_is_too_old(
    patient: Patient, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    add(config, SEARCH.format(port=_free()))
    _java(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    finding = one(patient, "service-java")
    assert finding.severity == "error"
    assert ("8" if version.startswith("1.") else "11") + "; search ask for 17" in finding.summary


def test_no_java_at_all(
    patient: Patient, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(config, SEARCH.format(port=_free()))
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = one(patient, "service-java")
    assert "no Java" in finding.summary
    assert "openjdk-17" in finding.hint


def test_java_that_is_new_enough(
    patient: Patient, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(config, SEARCH.format(port=_free()))
    _java(tmp_path, "21.0.2")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert found(patient, "service-java") == []


@pytest.mark.parametrize(
    ("box", "severity", "words"),
    [
        ((1024, 900), "error", "this machine has 1024 MiB"),
        ((16_384, 300), "warning", "300 MiB are available"),
    ],
)
def test_memory_that_does_not_suffice(
    patient: Patient, config: Path, monkeypatch: pytest.MonkeyPatch,
    box: tuple[int, int], severity: str, words: str,
) -> None:  # fmt: skip
    add(config, SEARCH.format(port=_free()))
    monkeypatch.setattr(services, "_memory_mib", lambda: box)
    finding = one(patient, "service-memory")
    assert finding.severity == severity
    assert words in finding.summary


def test_memory_is_read_from_the_machine() -> None:
    total, available = services._memory_mib()
    assert total == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    assert 0 < available <= total
