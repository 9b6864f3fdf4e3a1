"""A server where everybody has to sign in, with the local provider behind its real socket."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from retaild_plugins.identities.local.config import LocalConfig
from retaild_plugins.identities.local.plugin import retaild_identity_providers
from retaild_plugins.identities.local.provider import LocalIdentity

from retaild.api.identity import IdentityProviderSpec, Role
from retaild.config.paths import DataDir
from retaild.runtime.access.identity import SOCKET
from retaild.runtime.component.identity import IdentityServer
from tests.rest.serving import InThread
from tests.runtime.serving.shops import wait_for

#: The least that the plugin takes: tests sign in often.
CHEAP = LocalConfig(memory_mib=19, passes=2)
CLOSED = '[access]\nrequired = "always"\n'
PASSWORDS: dict[str, tuple[str, Role]] = {
    "vera": ("four violet walruses", "viewer"),
    "olga": ("nine orange octopuses", "operator"),
    "ada": ("seven amber alpacas", "admin"),
}


class IdentityThread:
    """The identity component's server in a thread of this process."""

    def __init__(
        self, data: DataDir, provider: Any = None, spec: IdentityProviderSpec | None = None
    ) -> None:
        self.data = data
        self.provider = provider or LocalIdentity(CHEAP, data.state_dir("identity", "identity"))
        self.server = IdentityServer(data, spec or retaild_identity_providers()[0], self.provider)
        self.beats = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.run(self.server.serve(self._stop.is_set, self._beat))

    def _beat(self, **_: float) -> None:
        self.beats += 1

    def __enter__(self) -> IdentityThread:
        self.provider.open()
        self._thread.start()
        wait_for((self.data.run / SOCKET).exists)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.provider.close()


@contextmanager
def closed_server(root: Path, more: str = "", people: Sequence[str] = tuple(PASSWORDS)
                  ) -> Iterator[InThread]:  # fmt: skip
    """The real server, pages and all, closed; with users of each role."""
    server = InThread(root, more if "[access]" in more else CLOSED + more, pages=True)
    token = key(server, "metrics", name="probe")
    server.client.headers["authorization"] = f"Bearer {token}"
    with IdentityThread(server.context.data) as identity:
        for name in people:
            password, role = PASSWORDS[name]
            identity.provider.add_user(name, password, frozenset({role}))
        with server:
            del server.client.headers["authorization"]
            yield server


def key(server: InThread, *scopes: str, name: str = "test") -> str:
    """A fresh API key."""
    from retaild.runtime.access.keys import ApiKeys

    return ApiKeys(server.context.state).create(name, scopes, "test", 1)[1]


def browser(server: InThread, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=20, follow_redirects=False, **options)


def sign_in(
    client: httpx.Client, name: str, password: str = "", onward: str = ""
) -> httpx.Response:
    """Fill in the login form as a browser does."""
    page = client.get("/login", params={"next": onward} if onward else {})
    form = {
        "attempt": field(page.text, "attempt"),
        "next": field(page.text, "next"),
        "name": name,
        "password": password or PASSWORDS[name][0],
    }
    return client.post("/login", data=form, headers={"origin": str(client.base_url).rstrip("/")})


def field(page: str, name: str) -> str:
    """The last one: the header's form of the colours has a `next` too."""
    found = re.findall(rf'name="{name}" value="([^"]*)"', page)
    assert found, f"no field {name}"
    return str(found[-1])
