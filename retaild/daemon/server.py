"""The control socket's server: a line of JSON in, a line out (client: `runtime/control.py`)."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir
from retaild.runtime.control import MAX_BYTES, Message

_log = logging.getLogger(__name__)

#: A client that says nothing for so long is sent away.
IDLE_SECONDS = 10.0

#: Command -> what answers it, given the request's other fields.
Commands = Mapping[str, Callable[[Message], Message | Awaitable[Message]]]


class ControlServer:
    """Answers in the daemon's own thread: commands may touch the supervisor directly."""

    def __init__(self, data: DataDir, commands: Commands) -> None:
        self._data, self._commands = data, commands
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; a socket that a killed daemon left is replaced. Only the owner may connect."""
        self._data.socket.unlink(missing_ok=True)
        directory = os.open(self._data.run, os.O_RDONLY | os.O_DIRECTORY)
        before = os.umask(0o177)
        try:
            # An address holds 107 bytes; through /proc any path fits.
            address = f"/proc/self/fd/{directory}/{self._data.socket.name}"
            self._server = await asyncio.start_unix_server(self._serve, address, limit=MAX_BYTES)
        finally:
            os.umask(before)
            os.close(directory)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._data.socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), IDLE_SECONDS)
            writer.write(json.dumps(await self._answer(line), default=str).encode() + b"\n")
            await asyncio.wait_for(writer.drain(), IDLE_SECONDS)
        except (OSError, ValueError, TimeoutError) as error:
            _log.debug("a control connection broke off: %s", error)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> Message:
        try:
            message = json.loads(line)
            command = self._commands[message["command"]]
        except (ValueError, TypeError, KeyError):
            known = ", ".join(sorted(self._commands))
            return _fault("control.unknown", "This is no command.", f"Known: {known}.")
        try:
            answer = command(message)
            return await answer if isinstance(answer, Awaitable) else answer
        except RetaildError as error:
            return _fault(error.key, error.message, error.hint, run_id=getattr(error, "run_id", 0))
        except Exception as error:
            _log.exception("command %s", message)
            return _fault("control.failed", f"It failed: {error}", "The daemon's log says more.")


def _fault(key: str, message: str, hint: str, **details: Any) -> Message:
    return {"error": {"key": key, "message": message, "hint": hint, **details}}
