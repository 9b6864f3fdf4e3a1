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
        "mended": ("good", "Mended."),
        "not-mended": ("bad", "It could not be mended; the command line says more."),
        "refused": ("warn", f"{count} still refused on replay; the reason stands beside each."),
    }  # fmt: skip
    return Flash(*texts[key]) if key in texts else None
