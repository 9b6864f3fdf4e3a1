"""The few words of Thrift's binary protocol that ask a metastore for names."""

from __future__ import annotations

import socket
import struct

#: A probe waits so long for each answer.
SECONDS = 4.0
_VERSION = 0x80010000
_CALL, _REPLY = 1, 2
_STOP, _STRING, _LIST = 0, 11, 15


class AnswerError(Exception):
    """It answered something else than a list of names."""


def names(connection: socket.socket, method: str, argument: str | None = None) -> list[str]:
    """What a method that returns a list of names returns. Raises AnswerError and OSError."""
    message = struct.pack(">I", _VERSION | _CALL) + _text(method) + struct.pack(">i", 0)
    if argument is not None:
        message += struct.pack(">bh", _STRING, 1) + _text(argument)
    connection.sendall(message + struct.pack(">b", _STOP))
    head = _number(connection, ">I")
    _take(connection, _number(connection, ">i"))  # the method's name again
    _number(connection, ">i")
    if head != _VERSION | _REPLY or _number(connection, ">b") != _LIST:
        raise AnswerError(f"it refuses {method}")
    _number(connection, ">h")
    kind, count = _number(connection, ">b"), _number(connection, ">i")
    if kind != _STRING:
        raise AnswerError(f"{method} returns no names")
    found = [_take(connection, _number(connection, ">i")).decode() for _ in range(count)]
    _number(connection, ">b")  # the end of the answer
    return found


def _text(value: str) -> bytes:
    content = value.encode()
    return struct.pack(">i", len(content)) + content


def _number(connection: socket.socket, form: str) -> int:
    (value,) = struct.unpack(form, _take(connection, struct.calcsize(form)))
    return int(value)


def _take(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise AnswerError("it hung up")
        content += part
    return content
