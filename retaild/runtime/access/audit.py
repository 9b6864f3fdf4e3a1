"""The audit log: who changed what, from what to what. Append-only, each entry chained to the last.

The chain (SHA-256 over the entry and the digest before it) shows that an entry was changed or
taken out by somebody who had the file; it does not prevent it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import time
from typing import Any

from retaild.runtime.state import State


def record(
    state: State,
    who: str,
    what: str,
    target: str,
    *,
    via: str,
    before: Any = None,
    after: Any = None,
    request_id: str = "",
) -> None:
    """Write an entry durably.

    `who`: "user ann", "key web-shop", "system user root" (the command line), "retaild" (the host
    itself). `via`: "web", "api", "command", "host". `what`: "job.run", "price.approve",
    "instance.resume", ... `before` and `after` are JSON; never secrets.
    """
    entry = [time.time(), who, via, what, target, json.dumps(before), json.dumps(after), request_id]
    with state.transaction(durably=True) as connection:
        last = connection.execute("SELECT digest FROM audit ORDER BY id DESC LIMIT 1").fetchone()
        digest = chain(last[0] if last else "", entry)
        connection.execute(
            "INSERT INTO audit (at, who, via, what, target, before, after, request_id, digest) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [*entry, digest],
        )


def chain(before: str, entry: list[Any]) -> str:
    """The digest of an entry that follows one with the digest `before`."""
    return hashlib.sha256(json.dumps([before, *entry]).encode()).hexdigest()


def system_user() -> str:
    """Who works at this machine's command line, as `who` of an entry."""
    try:
        return f"system user {pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"system user {os.getuid()}"
