"""Asking the identity process: one line of JSON there, one line back, over a 0600 socket.

The only place where passwords travel inside the machine. Standard library only.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from retaild.api.errors import RetaildError
from retaild.api.identity import ROLES, Identity, Role
from retaild.config.paths import DataDir
from retaild.runtime.access.errors import IdentityDownError

#: A request or an answer larger than this is refused.
MAX_BYTES = 256 * 1024
#: A provider may take some seconds (it may have to ask a server itself).
SECONDS = 15.0
SOCKET = "identity.sock"


class RefusedError(RetaildError):
    """The provider's own words for what is wrong."""

    def __init__(self, key: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.key = key


@dataclass(frozen=True)
class IdentityClient:
    """The provider's methods, asked in its process. Each call blocks, up to `seconds`.

    Raises IdentityDownError while the process does not answer, RefusedError with its reason.
    """

    data: DataDir
    seconds: float = SECONDS

    def abilities(self) -> dict[str, Any]:
        """plugin, summary, passwords, codes, bearer_tokens, directory."""
        return dict(self.ask("abilities"))

    def login(self, username: str, password: str) -> Identity | None:
        return _identity(self.ask("login", username=username, password=password))

    def begin(self, redirect_uri: str, state: str, nonce: str, challenge: str) -> str:
        return str(
            self.ask(
                "begin", redirect_uri=redirect_uri, state=state, nonce=nonce, challenge=challenge
            )
        )

    def finish(self, redirect_uri: str, code: str, nonce: str, verifier: str) -> Identity | None:
        return _identity(
            self.ask("finish", redirect_uri=redirect_uri, code=code, nonce=nonce, verifier=verifier)
        )

    def logout(self, session: Mapping[str, str], redirect_uri: str) -> str | None:
        address = self.ask("logout", session=dict(session), redirect_uri=redirect_uri)
        return None if address is None else str(address)

    def bearer(self, token: str) -> Identity | None:
        return _identity(self.ask("bearer", token=token))

    def users(self) -> list[dict[str, Any]]:
        return list(self.ask("users"))

    def add_user(self, name: str, password: str, roles: frozenset[Role]) -> None:
        self.ask("add_user", name=name, password=password, roles=sorted(roles))

    def change_user(
        self,
        name: str,
        *,
        password: str | None = None,
        roles: frozenset[Role] | None = None,
        disabled: bool | None = None,
    ) -> None:
        stated = None if roles is None else sorted(roles)
        self.ask("change_user", name=name, password=password, roles=stated, disabled=disabled)

    def remove_user(self, name: str) -> None:
        self.ask("remove_user", name=name)

    def ask(self, call: str, **arguments: Any) -> Any:
        """Call a method in the identity process."""
        line = json.dumps({"call": call, "arguments": arguments}).encode() + b"\n"
        try:
            answer = json.loads(self._exchange(line))
        except (FileNotFoundError, ConnectionRefusedError):
            raise IdentityDownError("its process does not run") from None
        except (OSError, ValueError) as error:
            raise IdentityDownError(str(error) or type(error).__name__) from None
        if "error" in answer:
            fault = answer["error"]
            raise RefusedError(fault["key"], fault["message"], fault["hint"])
        return answer["result"]

    def _exchange(self, line: bytes) -> bytes:
        directory = os.open(self.data.run, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.seconds)
                # An address holds 107 bytes; through /proc any path fits.
                connection.connect(f"/proc/self/fd/{directory}/{SOCKET}")
                connection.sendall(line)
                received = b""
                while not received.endswith(b"\n"):
                    chunk = connection.recv(65_536)
                    if not chunk or len(received) > MAX_BYTES:
                        raise ValueError("the answer broke off")
                    received += chunk
                return received
        finally:
            os.close(directory)


def as_json(identity: Identity | None) -> dict[str, Any] | None:
    if identity is None:
        return None
    return {
        "subject": identity.subject,
        "name": identity.name,
        "roles": sorted(identity.roles),
        "session": dict(identity.session),
        "expires": identity.expires,
    }


def _identity(answer: Any) -> Identity | None:
    if answer is None:
        return None
    return Identity(
        str(answer["subject"]), str(answer["name"]), known_roles(answer["roles"]),
        {str(key): str(value) for key, value in answer["session"].items()}, answer["expires"],
    )  # fmt: skip


def known_roles(names: Any) -> frozenset[Role]:
    """Those of `names` that are roles of ours; a provider's others mean nothing here."""
    return frozenset(cast("Role", name) for name in names if name in ROLES)
