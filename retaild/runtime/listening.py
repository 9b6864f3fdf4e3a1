"""The listening socket of pages and REST.

The daemon holds it and the serve worker inherits it: while one server ends and the next begins,
connections wait in the kernel's queue instead of being refused.
"""

from __future__ import annotations

import socket

from retaild.api.errors import RetaildError

#: Name the descriptor of the socket that a serve worker shall listen on, and the one to which a
#: process that was started beside another says, by a byte, that it is ready.
LISTEN_VARIABLE = "RETAILD_LISTEN_FD"
READY_VARIABLE = "RETAILD_READY_FD"
#: Connections that may wait while nobody accepts any.
BACKLOG = 4096


class PortTakenError(RetaildError):
    key = "serve.port_taken"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"The server cannot listen on {host}:{port}: {reason}.",
            hint="Is another retaild running? Set api.port to a free port.",
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; a port that a killed process held is free at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise PortTakenError(host, port, error.strerror or str(error)) from error
    listening.setblocking(False)
    return listening
