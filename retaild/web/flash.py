"""One-line messages after an action, named in the address: `?done=approved&n=3`.

Only keys and counts travel, the words are here: nobody can put text of his own on a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flash:
    level: str
    text: str


def _products(count: int) -> str:
    return "1 price" if count == 1 else f"{count} prices"


def flash_of(query: Mapping[str, str]) -> Flash | None:
    key = query.get("done", "")
    count = int(n) if (n := query.get("n", "0")).isascii() and n.isdigit() and len(n) < 7 else 0
    texts = {
        "approved": ("good", f"{_products(count)} approved and written to the ledger."),
        "rejected": ("good", f"{_products(count)} rejected; the current price stays."),
        "gone": ("warn", "Nothing changed: it was decided already, or a newer run replaced it."),
        "nothing": ("warn", "Nothing was chosen. Tick at least one row first."),
        "started": ("good", f"Run {count} was started."),
        "promoted": ("good", f"Version {count} is champion now; the server follows in a second."),
        "rolled-back": ("good", "The champion before is champion again."),
        "replayed": ("good", f"{count} accepted on replay."),
        "acknowledged": ("good", "Taken on: nobody is told again."),
        "silenced": ("good", "Silenced: nobody is told of it for a while."),
        "unsilenced": ("good", "The silence has ended."),
        "mended": ("good", "Mended."),
        "not-mended": ("bad", "It could not be mended; the command line says more."),
        "reloading": ("good", "The reload has begun; this page says how it goes."),
        "refused": ("warn", f"{count} still refused on replay; the reason stands beside each."),
        "instance-resume": ("good", "Out of quarantine: it goes on where it stopped."),
        "instance-enable": ("good", "Enabled: it goes on where it stopped."),
        "instance-disable": ("good", "Disabled: it is stopped until somebody enables it."),
        "instance-quarantine": ("good", "In quarantine: it is stopped for an examination."),
        "instance-restart": ("good", "It is ended in an orderly way and started again."),
        "signed-out": ("good", "You are signed out."),
        "user-added": ("good", "The user was added."),
        "user-changed": ("good", "Done; the user's sessions were ended."),
        "key-revoked": ("good", "The key opens nothing any more."),
        "session-ended": ("good", "The session was ended."),
    }  # fmt: skip
    return Flash(*texts[key]) if key in texts else None
