"""The header `Retaild-Signature`: made here, and checked by receivers written in Python.

    Retaild-Signature: t=1900000000,v1=<64 hexadecimal digits>

`v1` is HMAC-SHA256 over the digits of `t`, a full stop and the body's bytes. `t` is when the
message was sent (seconds since the epoch, UTC), so that an old one cannot be played again.
"""

from __future__ import annotations

import hmac
import time

HEADER = "Retaild-Signature"
#: How old or how far ahead a message may be (seconds).
TOLERANCE = 300.0


def signature(secret: bytes, body: bytes, moment: int) -> str:
    return f"t={moment},v1={_digest(secret, str(moment), body)}"


def verify(
    secret: bytes,
    header: str,
    body: bytes,
    *,
    now: float | None = None,
    tolerance: float = TOLERANCE,
) -> bool:
    """Whether `body` was signed with `secret` within `tolerance` seconds of `now` (the clock's)."""
    fields = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    moment, given = fields.get("t", ""), fields.get("v1", "")
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 12 and given.isascii()):
        return False
    fresh = abs((time.time() if now is None else now) - int(moment)) <= tolerance
    return hmac.compare_digest(_digest(secret, moment, body), given) and fresh


def _digest(secret: bytes, moment: str, body: bytes) -> str:
    return hmac.digest(secret, moment.encode() + b"." + body, "sha256").hex()
