"""A real Keycloak: started once on a free port, with a realm of its own for each test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.identities.keycloak.realm import ADMIN, Realm

ROOT = Path(__file__).parents[4]
UNPACKED = ROOT / "packaging/keycloak/target"
#: A shared machine may take its time with a JVM.
START_SECONDS = 240


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address. RETAILD_TEST_KEYCLOAK names one that runs already (admin/admin)."""
    running = os.environ.get("RETAILD_TEST_KEYCLOAK")
    if running:
        yield running
        return
    homes = sorted(UNPACKED.glob("keycloak-*/bin/kc.sh"))
    if not homes or not shutil.which("java"):
        pytest.skip("needs Java 17 and Keycloak: run `make keycloak` (it needs Maven)")
    folder = tmp_path_factory.mktemp("keycloak")
    # A copy: the server writes its database and its build into its own folder.
    home = folder / "home"
    shutil.copytree(homes[-1].parents[1], home)
    port = _free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [home / "bin/kc.sh", "start-dev", "--http-host=127.0.0.1", f"--http-port={port}",
             "--cache=local"],
            stdout=log, stderr=log, start_new_session=True,
            env={
                **os.environ,
                "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
                "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
                "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN,
            },
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(process, f"{address}/realms/master", folder / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def realm(keycloak: str) -> Iterator[Realm]:
    """For tests that leave it as it is: making one takes seconds."""
    yield from _realm(keycloak)


@pytest.fixture
def own_realm(keycloak: str) -> Iterator[Realm]:
    """For tests that change its keys, settings or sessions."""
    yield from _realm(keycloak)


def _realm(keycloak: str) -> Iterator[Realm]:
    realm = Realm.create(keycloak, f"store-{uuid.uuid4().hex[:8]}")
    yield realm
    realm.remove()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"Keycloak did not start:\n{log.read_text('utf-8', 'replace')[-3000:]}")
