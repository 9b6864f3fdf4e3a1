"""A server on a free loopback port: in a thread to look into, or a process to kill."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx

from retaild.api import Spec, TrainerSpec
from retaild.api.recommender import Catalogue, CustomerState, Recommendation
from retaild.host.registry import Registered
from retaild.rest import serve
from retaild.runtime import registry
from retaild.runtime.context import WorkerContext
from retaild.runtime.serving import services as services_module
from retaild.runtime.serving.services import Services
from tests.runtime.serving.shops import context, wait_for

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class InThread:
    """The real serve worker's `main` in a thread of this process."""

    def __init__(self, root: Path, more: str = "", *, pages: bool = False) -> None:
        self.context = context(root, free_port(), more)
        self.url = f"http://127.0.0.1:{self.context.settings.api.port}"
        self.client = httpx.Client(base_url=self.url, timeout=20)
        self.services: Services | None = None
        self._pages = pages
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None

    def _run(self) -> None:
        try:
            serve.main(self.context)
        except BaseException as error:
            self._error = error

    def __enter__(self) -> InThread:
        build = serve.build
        routes = serve.page_routes

        def remembering(context: WorkerContext) -> Services:
            self.services = build(context)
            return self.services

        serve.build = remembering
        if not self._pages:
            serve.page_routes = lambda _: ()
        self._thread.start()
        try:
            wait_for(self._ready)
        finally:
            serve.build, serve.page_routes = build, routes
        return self

    def _ready(self) -> bool:
        assert self._error is None, self._error
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.context.stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def events(self, *events: dict[str, Any]) -> dict[str, Any]:
        answer = self.client.post("/api/v1/events", json={"events": list(events)})
        assert answer.status_code == 202, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    def offered(self, customer: str, count: int = 10) -> list[str]:
        answer = self.client.get(f"/api/v1/customers/{customer}/recommendations?count={count}")
        assert answer.status_code == 200, answer.text
        return [offer["product_id"] for offer in answer.json()["recommendations"]]


class AsProcess:
    """`python -m retaild.runtime.worker serve`."""

    def __init__(self, root: Path) -> None:
        made = context(root, free_port())
        self.url = f"http://127.0.0.1:{made.settings.api.port}"
        self._command = [sys.executable, "-m", "retaild.runtime.worker", "serve"]
        self._command += ["--data", str(root / "data"), "--config", str(root / "retaild.toml")]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
        self.process = subprocess.Popen(self._command, env={**os.environ, "PYTHONPATH": paths})
        wait_for(self._ready, 60)

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the server ended"
        try:
            return httpx.get(f"{self.url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(20) == 0


@dataclass
class Ordered:
    """A recommender that offers products in one order, by id; it says which version it is."""

    version: int

    def bind(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def recommend(
        self, customer: CustomerState | None, basket: Sequence[int], now: float, count: int
    ) -> list[Recommendation]:
        """Odd versions offer a, b, c, ...; even ones the other way round. Ignores all rules."""
        ids = self._catalogue.product_ids[: len(self._catalogue.price)]
        order = sorted(range(len(ids)), key=ids.__getitem__, reverse=self.version % 2 == 0)
        seen = len(customer.views) if customer else 0
        reason = f"by {self.version}, after {seen} views"
        return [Recommendation(p, 1.0, reason, "test") for p in order[:count]]

    def similar(self, product: int, count: int) -> list[Recommendation]:
        return self.recommend(None, (), 0.0, count)


class FakeTrainer:
    def load(self, artifact: Path) -> Ordered:
        return Ordered(int(artifact.read_text()))


class FakeRegistry:
    """Stands where `retaild.runtime.registry` is asked for the champion."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current: registry.ModelVersion | None = None

    def crown(self, version: int) -> None:
        artifact = self._folder / f"model-{version}"
        artifact.write_text(str(version))
        self._current = registry.ModelVersion("recommender", version, artifact, "run", 0.0)

    def champion(self, _: object, trainer: str) -> registry.ModelVersion | None:
        return self._current if trainer == "recommender" else None


def install(server: InThread, monkeypatch: Any, folder: Path) -> FakeRegistry:
    """Let the server follow a registry of the test's own, with `Ordered` models."""
    spec = TrainerSpec(name="recommender", summary="", build=lambda *_: FakeTrainer())
    _register(server.context, spec)
    fake = FakeRegistry(folder)
    stand_in = ModuleType("registry")
    stand_in.champion = fake.champion  # type: ignore[attr-defined]
    monkeypatch.setattr(services_module, "registry", stand_in)
    return fake


def _register(context: WorkerContext, spec: Spec) -> None:
    context.plugins.registered["trainer", spec.name] = Registered(
        "trainer", spec, spec.name, "test", "0", __name__
    )
