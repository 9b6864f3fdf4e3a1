"""Tests with the servers of the appliance profile, which are fetched once and kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from retaild.api import BuildContext, Software
from retaild.runtime.services.software import install


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.appliance)


@pytest.fixture(scope="session")
def software_dir() -> Path:
    """Kept over test runs: what is there is not fetched again."""
    stated = os.environ.get("RETAILD_SOFTWARE")
    path = Path(stated) if stated else Path.home() / ".cache" / "retaild" / "software"
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="session")
def installed(software_dir: Path) -> Callable[[Software], Path]:
    """Installs the software of a plugin; skips where what fetches or runs it is missing."""

    def fetch(software: Software) -> Path:
        for program, why in (("java", "runs"), ("mvn", "fetches")):
            if shutil.which(program) is None:
                pytest.skip(f"there is no {program}, which {why} {software.name}")
        return install(software, software_dir)

    return fetch


@pytest.fixture(scope="session")
def programs(software_dir: Path) -> None:
    """What runs and fetches all servers of the profile; skips where one is missing."""
    for program in ("java", "mvn", "redis-server"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program}, which the appliance's servers need")


@pytest.fixture
def context_of(tmp_path: Path, software_dir: Path) -> Callable[..., BuildContext]:
    """A build context for an instance of a kind, below the test's own directory."""

    def make(instance: str, kind: str = "service") -> BuildContext:
        return BuildContext(
            instance=instance,
            state_dir=tmp_path / kind / instance,
            lake_dir=tmp_path / "lake",
            software_dir=software_dir,
            services_dir=tmp_path / "service",
        )

    return make
