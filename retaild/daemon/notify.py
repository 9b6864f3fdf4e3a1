"""Telling systemd (sd_notify(3)); nothing happens where NOTIFY_SOCKET is not set."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def notify(message: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send `READY=1`, `STATUS=...`, `WATCHDOG=1`, `STOPPING=1`; False if nobody listens."""
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.connect(address)
            connection.sendall(message.encode())
    except OSError:
        return False
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How often to send WATCHDOG=1: half of what systemd allows; None if it does not watch us."""
    allowed = environment.get("WATCHDOG_USEC")
    meant_for = environment.get("WATCHDOG_PID")
    if not allowed or (meant_for and int(meant_for) != os.getpid()):
        return None
    return int(allowed) / 2e6
