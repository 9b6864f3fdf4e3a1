"""The fork server: `python -m retaild.runtime.isolation.forkserver DESCRIPTOR`.

Imports once what every component needs and forks a process for each: milliseconds and a few MiB
instead of a second and a hundred. It has one thread and opens nothing; it reaps what ends, says
so, and kills what a dead component left behind. It dies with the daemon, and its children with it.

Messages are JSON, one a packet. In: {"order": number, ...Order} with the descriptors for the log
and for "ready". Out: {"order", "pid"} with a pidfd, or {"order", "error"}; {"ended": pid, "code"}.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from retaild.runtime.isolation import family
from retaild.runtime.isolation.birth import Order, become_component
from retaild.runtime.process import bind_to_parent

#: What components need anyway; each is here because it costs them memory and time otherwise.
PRELOADED = (
    "asyncio",
    "http.client",
    "pyarrow.compute",
    "pyarrow.ipc",
    "retaild.config.settings",
    "retaild.events.arrow",
    "retaild.host.registry",
    "retaild.runtime.component.main",
    "retaild.runtime.state",
    "ssl",
    "urllib.request",
)
MAX_BYTES = 64 * 1024
_PR_SET_CHILD_SUBREAPER = 36


class ForkServer:
    """`run()` until the daemon closes its end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._components: set[int] = set()
        self._wake, wake = os.pipe()
        for descriptor in (self._wake, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it goes when the daemon lets go of it

    def run(self) -> None:
        while True:
            watched = [self._connection.fileno(), self._wake]
            ready, _, _ = select.select(watched, [], [])
            if self._wake in ready:
                with suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            self._reap()
            if watched[0] in ready and not self._serve():
                family.kill_strays(os.getpid(), ())
                return

    def _serve(self) -> bool:
        """Answer one request; False when the daemon has gone."""
        packet, descriptors, _, _ = socket.recv_fds(self._connection, MAX_BYTES, 2)
        if not packet:
            return False
        message = json.loads(packet)
        try:
            log, ready = descriptors
            pid = self._fork(Order.of(message), log, ready)
        except OSError as error:
            self._say({"order": message["order"], "error": str(error)})
        else:
            self._components.add(pid)
            pidfd = os.pidfd_open(pid)
            self._say({"order": message["order"], "pid": pid}, [pidfd])
            os.close(pidfd)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _say(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._connection, [json.dumps(message).encode()], descriptors or [])

    def _fork(self, order: Order, log: int, ready: int) -> int:
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            _live(order, server, log, ready)
        return pid

    def _reap(self) -> None:
        """Say which components ended, and end what they left: by then it is our own child."""
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if info is None:
                break
            self._reap_one(info.si_pid)

    def _reap_one(self, pid: int) -> None:
        if pid not in self._components:
            os.waitpid(pid, 0)
            family.kill_strays(os.getpid(), self._components)
            return
        # The group first: once it is reaped, its number may be given to a stranger.
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        self._components.discard(pid)
        family.kill_strays(os.getpid(), self._components)
        self._say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _live(order: Order, server: int, log: int, ready: int) -> NoReturn:
    """The child's whole life. Never returns into the server's loop."""
    code = 1
    try:
        become_component(order, server, log, ready)
        if order.python is not None:
            _become_other_python(order)
        sys.path[:0] = order.path
        gc.enable()
        main = import_module("retaild.runtime.component.main")
        code = main.main(order)
    except BaseException:  # also SystemExit: a plugin may raise anything
        with suppress(Exception):
            sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        # Not sys.exit: a thread that a plugin left would keep the process.
        os._exit(code)


def _become_other_python(order: Order) -> NoReturn:
    assert order.python is not None
    command = [order.python, "-m", "retaild.runtime.component.main", json.dumps(order.message())]
    os.execv(order.python, command)


def main() -> int:
    bind_to_parent()
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    preload()
    ForkServer(connection).run()
    return 0


def preload() -> None:
    """Import what is shared, and leave its pages alone from then on."""
    # A collection between import and fork would write to pages that the children shall share.
    gc.disable()
    for name in PRELOADED:
        import_module(name)
    import_module("retaild.host.discovery")
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
