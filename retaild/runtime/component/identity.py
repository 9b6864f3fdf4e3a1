"""Runs the identity provider: answers the server and the command line on `run/identity.sock`.

Calls may block for seconds; a few run at the same time, a few more wait, the rest are sent away.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from retaild.api.errors import RetaildError, TransientError
from retaild.api.identity import Identity, IdentityProviderSpec
from retaild.config.paths import DataDir
from retaild.host.lifecycle import closing_always
from retaild.runtime.access.errors import NoAbilityError
from retaild.runtime.access.identity import MAX_BYTES, SOCKET, as_json, known_roles
from retaild.runtime.component import ComponentContext

_log = logging.getLogger(__name__)

#: Calls that run at the same time: a password's hash costs memory and a core.
AT_ONCE = 4
#: Calls that may wait for them.
WAITING = 16
#: A client that says nothing for so long, or does not read its answer, is sent away (seconds).
IDLE_SECONDS = 5.0
BEAT_SECONDS = 0.5
#: While a call runs longer than this, there is no heartbeat: the watchdog decides.
SLOW_SECONDS = 2.0

#: Method -> the ability of the Spec that it belongs to.
ABILITIES: Mapping[str, str] = {
    "login": "passwords",
    "begin": "codes",
    "finish": "codes",
    "logout": "codes",
    "bearer": "bearer_tokens",
    "users": "directory",
    "add_user": "directory",
    "change_user": "directory",
    "remove_user": "directory",
}


def run(context: ComponentContext) -> None:
    """Answer until `context.stop`. Raises what the provider's `open` raises."""
    plugin = context.settings.identity
    spec: IdentityProviderSpec = context.plugins.spec("identity", plugin.plugin)
    provider = context.build("identity", context.instance)
    with closing_always(provider, context.name):
        provider.open()
        server = IdentityServer(context.data, spec, provider)
        asyncio.run(server.serve(context.stop.is_set, context.heartbeat))


@dataclass
class IdentityServer:
    """One provider behind a socket that only its owner may open."""

    data: DataDir
    spec: IdentityProviderSpec
    provider: Any
    _running: dict[int, float] = field(default_factory=dict)
    _numbers: int = 0
    _answered: int = 0

    async def serve(self, stopped: Callable[[], bool], beat: Callable[..., None]) -> None:
        threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="identity")
        self._threads = threads
        server = await self._listen()
        try:
            while not stopped():
                oldest = min(self._running.values(), default=float("inf"))
                if time.monotonic() - oldest < SLOW_SECONDS or not self._running:
                    beat(answered=self._answered, waiting=len(self._running))
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            server.close()
            (self.data.run / SOCKET).unlink(missing_ok=True)
            threads.shutdown(wait=False, cancel_futures=True)

    async def _listen(self) -> asyncio.Server:
        (self.data.run / SOCKET).unlink(missing_ok=True)
        directory = os.open(self.data.run, os.O_RDONLY | os.O_DIRECTORY)
        before = os.umask(0o177)
        try:
            # An address holds 107 bytes; through /proc any path fits.
            address = f"/proc/self/fd/{directory}/{SOCKET}"
            return await asyncio.start_unix_server(self._serve_one, address, limit=MAX_BYTES)
        finally:
            os.umask(before)
            os.close(directory)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), IDLE_SECONDS)
            writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
            await asyncio.wait_for(writer.drain(), IDLE_SECONDS)
        except (OSError, ValueError, TimeoutError) as error:
            _log.debug("a connection broke off: %s", type(error).__name__)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
            call, arguments = str(message["call"]), dict(message["arguments"])
        except (ValueError, TypeError, KeyError):
            return _fault("identity.unreadable", "This is no request.")
        if call == "abilities":
            own = {name: getattr(self.spec, name) for name in sorted(set(ABILITIES.values()))}
            return {"result": {"plugin": self.spec.name, "summary": self.spec.summary, **own}}
        ability = ABILITIES.get(call)
        if ability is None or not getattr(self.spec, ability):
            error = NoAbilityError(self.spec.name, ability or call)
            return _fault(error.key, error.message, error.hint)
        if len(self._running) >= AT_ONCE + WAITING:
            return _fault("identity.not_ready", "Too many people sign in at once.", "Try again.")
        return await self._call(call, arguments)

    async def _call(self, call: str, arguments: dict[str, Any]) -> dict[str, Any]:
        number = self._numbers = self._numbers + 1
        self._running[number] = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._threads, self._ask, call, arguments, number)
        except TransientError as error:
            return _fault("identity.not_ready", error.message, error.hint)
        except RetaildError as error:
            return _fault(error.key, error.message, error.hint)
        except Exception as error:  # the arguments may hold a password: they are not logged
            _log.exception("%s failed", call)
            return _fault("identity.failed", f"The identity provider failed: {error}.")
        finally:
            del self._running[number]
            self._answered += 1
        return {"result": as_json(result) if isinstance(result, Identity) else result}

    def _ask(self, call: str, arguments: dict[str, Any], number: int) -> Any:
        self._running[number] = time.monotonic()
        if arguments.get("roles") is not None:
            arguments["roles"] = known_roles(arguments["roles"])
        result = getattr(self.provider, call)(**arguments)
        return [dict(user) for user in result] if call == "users" else result


def _fault(key: str, message: str, hint: str = "") -> dict[str, Any]:
    return {"error": {"key": key, "message": message, "hint": hint}}
