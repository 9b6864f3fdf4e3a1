"""The daemon's side of the fork server: starts it, asks it for processes, hears how they ended."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from retaild.config.paths import DataDir
from retaild.runtime import logs
from retaild.runtime.isolation.birth import Order
from retaild.runtime.isolation.logpump import LogPump
from retaild.runtime.process import Child, child_environment, sweep

_log = logging.getLogger(__name__)

NAME = "forkserver"
#: Tells the children of one fork server from those of another.
SERVER_VARIABLE = "RETAILD_FORKSERVER"
#: A server that does not answer for so long (seconds) hangs: it is ended, another one started.
ANSWER_SECONDS = 30.0
MAX_BYTES = 64 * 1024
#: Stands for the exit code of what ended with the fork server.
LOST = 1 << 16
#: Without its own thread the allocator has nothing that a fork could lose.
_QUIET = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}


class ForkServerError(OSError):
    """No process could be forked; the next attempt starts a new server if it must."""


@dataclass
class ForkedChild:
    """A component's process. The fork server is its parent: the number stays true until then."""

    pid: int
    pidfd: int
    pump: LogPump
    _code: asyncio.Future[int]
    #: It ended because the fork server did: no fault of its own.
    lost: bool = False

    def signal(self, number: signal.Signals) -> None:
        """To the component; SIGKILL to its whole group. One that is gone is no error."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)
            if number == signal.SIGKILL:
                os.killpg(self.pid, number)

    async def over(self) -> int:
        """Wait for its end, and that of all it left; its exit code. Call it once."""
        try:
            code = await self._code
            self.lost = code == LOST
            return -signal.SIGKILL if self.lost else code
        finally:
            self.pump.close()
            os.close(self.pidfd)


@dataclass(frozen=True, slots=True)
class _Born:
    pid: int
    pidfd: int
    code: asyncio.Future[int]


class ForkServer:
    """In the event loop's thread, which must be the main one. Started when first needed."""

    def __init__(self, data: DataDir, environment: dict[str, str] | None = None) -> None:
        self._data, self._extra = data, environment or {}
        self._process: Child | None = None
        self._connection: socket.socket | None = None
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[_Born]] = {}
        #: Process id -> will be its exit code.
        self._codes: dict[int, asyncio.Future[int]] = {}
        self._serial = itertools.count(1)
        self._mark = ""
        self._ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin to preload; whoever asks for a process meanwhile waits."""
        if self._process is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._mark = f"{os.getpid()}-{next(self._serial)}"
        environment = child_environment(self._data.root, threads=1) | _QUIET | self._extra
        environment[SERVER_VARIABLE] = self._mark
        command = [sys.executable, "-m", "retaild.runtime.isolation.forkserver",
                   str(theirs.fileno())]  # fmt: skip
        log = self._data.worker_log(NAME)
        logs.put_aside(log)
        try:
            self._process = Child.spawn(command, environment, log, pass_fds=[theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._connection = ours
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, self._hear)
        self._ending = loop.create_task(self._until_gone(self._process, ours))

    async def _until_gone(self, process: Child, connection: socket.socket) -> None:
        code = await process.over()
        asyncio.get_running_loop().remove_reader(connection)
        while self._hear_one(connection):
            pass
        connection.close()
        self._process = self._connection = None
        # The kernel ends its children with it, not their children.
        sweep(self._data.root, f"{SERVER_VARIABLE}={self._mark}")
        if self._asked or self._codes:
            _log.warning("the fork server has ended (%s); starting it again", code)
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(ForkServerError("the fork server ended"))
        codes, self._codes = self._codes, {}
        for code_of_child in codes.values():
            code_of_child.set_result(LOST)

    async def fork(self, order: Order, bytes_per_second: int, ready: Callable[[], None]
                   ) -> ForkedChild:  # fmt: skip
        """A new process; `ready` is called when it says that it is open. Raises OSError."""
        self.start()
        assert self._connection is not None
        log_in, log_out = os.pipe()
        ready_in, ready_out = os.pipe()
        try:
            born = await self._ask(order, [log_out, ready_out])
        except BaseException:
            os.close(log_in)
            os.close(ready_in)
            raise
        finally:
            os.close(log_out)
            os.close(ready_out)
        pump = LogPump(log_in, self._data.worker_log(order.name), bytes_per_second)
        pump.start()
        _call_when_told(ready_in, ready)
        return ForkedChild(born.pid, born.pidfd, pump, born.code)

    async def _ask(self, order: Order, descriptors: list[int]) -> _Born:
        assert self._connection is not None
        number = next(self._numbers)
        answer: asyncio.Future[_Born] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        packet = json.dumps({"order": number, **order.message()}).encode()
        try:
            socket.send_fds(self._connection, [packet], descriptors)
            return await asyncio.wait_for(answer, ANSWER_SECONDS)
        except BlockingIOError:
            raise ForkServerError("the fork server is busy") from None
        except TimeoutError:
            if self._process is not None:
                self._process.signal(signal.SIGKILL)
            raise ForkServerError("the fork server did not answer") from None
        finally:
            del self._asked[number]

    def _hear(self) -> None:
        if self._connection is not None and not self._hear_one(self._connection):
            asyncio.get_running_loop().remove_reader(self._connection)

    def _hear_one(self, connection: socket.socket) -> bool:
        """Take one message; False when there is none."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(connection, MAX_BYTES, 1)
        except BlockingIOError:
            return False
        except OSError:
            return False
        if packet:
            self._take(json.loads(packet), descriptors)
        return bool(packet)

    def _take(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if "ended" in message:
            ended = self._codes.pop(message["ended"], None)
            if ended is not None:
                ended.set_result(message["code"])
            return
        answer = self._asked.get(message["order"])
        if answer is None or answer.done():  # nobody waits for it any more
            for descriptor in descriptors:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                os.close(descriptor)
        elif "error" in message:
            answer.set_exception(ForkServerError(message["error"]))
        else:
            # At once: that it ended may be the next message.
            code = self._codes[message["pid"]] = asyncio.get_running_loop().create_future()
            answer.set_result(_Born(message["pid"], descriptors[0], code))

    async def stop(self) -> None:
        """End it, and whatever still runs below it."""
        if self._process is not None and self._ending is not None:
            with suppress(OSError):
                assert self._connection is not None
                self._connection.shutdown(socket.SHUT_RDWR)
            _, late = await asyncio.wait([self._ending], timeout=2.0)
            if late and self._process is not None:
                self._process.signal(signal.SIGKILL)
                await self._ending


def _call_when_told(descriptor: int, ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def read() -> None:
        loop.remove_reader(descriptor)
        told = os.read(descriptor, 1)
        os.close(descriptor)
        if told:
            ready()

    loop.add_reader(descriptor, read)
