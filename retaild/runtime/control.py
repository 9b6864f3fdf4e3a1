"""Talking to the running daemon: one line of JSON there, one line back.

The client costs the standard library only. The socket lies in the data directory with mode 0600:
who may use it is who owns the directory.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from retaild.api.errors import RetaildError
from retaild.config.paths import DataDir

#: A request or a reply larger than this is refused.
MAX_BYTES = 1024 * 1024

Message = dict[str, Any]


class NotRunningError(RetaildError):
    key = "daemon.not_running"

    def __init__(self, data: DataDir) -> None:
        super().__init__(
            f"No retaild is running on {data.root}.",
            hint="Start it with `retaildctl run`, or name its directory with --data.",
        )


class NoAnswerError(RetaildError):
    key = "daemon.no_answer"

    def __init__(self, data: DataDir, reason: str) -> None:
        super().__init__(
            f"The retaild on {data.root} does not answer: {reason}.",
            hint=f"Look into {data.worker_log('daemon')}.",
        )


class RefusedError(RetaildError):
    """The daemon's own words for why it did not do it; `key` is the daemon's."""

    def __init__(self, key: str, message: str, hint: str, details: Message) -> None:
        super().__init__(message, hint=hint)
        self.key = key
        self.details = details


def request(data: DataDir, command: str, *, timeout: float = 5.0, **fields: Any) -> Message:
    """Ask the daemon of `data` and return its answer.

    Commands: `status`; `run-job` (job, arguments, trigger) -> {run_id}; `stop`; `restart-worker`
    (worker). Raises NotRunningError, NoAnswerError, or RefusedError with the daemon's reason.
    """
    line = json.dumps({"command": command, **fields}).encode() + b"\n"
    try:
        answer = json.loads(_exchange(data, line, timeout))
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotRunningError(data) from None
    except (OSError, ValueError) as error:
        raise NoAnswerError(data, str(error) or type(error).__name__) from None
    if "error" in answer:
        fault = answer["error"]
        raise RefusedError(fault["key"], fault["message"], fault.get("hint", ""), fault)
    result: Message = answer
    return result


def is_running(data: DataDir) -> bool:
    try:
        request(data, "ping", timeout=2.0)
    except RetaildError:
        return False
    return True


def _exchange(data: DataDir, line: bytes, timeout: float) -> bytes:
    directory = os.open(data.run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            # An address holds 107 bytes; through /proc any path fits.
            connection.connect(f"/proc/self/fd/{directory}/{data.socket.name}")
            connection.sendall(line)
            return _read_line(connection)
    finally:
        os.close(directory)


def _read_line(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        chunk = connection.recv(65536)
        if not chunk or len(received) > MAX_BYTES:
            raise ValueError("the answer broke off")
        received += chunk
    return received
