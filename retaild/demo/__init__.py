"""`retaildctl demo`: a year of a real shop, from its till lines to answers on a page.

Everything goes through the doors and jobs that a shop would use; this package only lays out the
files, presses the buttons, and checks the answers. `run` is the entry.
"""

from __future__ import annotations

from pathlib import Path


def run(
    data: Path | None = None,
    port: int | None = None,
    *,
    once: bool = False,
    profile: str = "edge",
    engine: str = "spark",
    without: str = "",
    extra: str = "",
) -> int:
    """Run the demo; returns the exit code. With `once`: check, print JSON last, and stop.

    `engine`, `without` and `extra` (names, comma between) are the appliance's; see `choice`.
    """
    from retaild.demo.choice import Choice, names
    from retaild.demo.main import main

    choice = Choice(engine, names(without), names(extra))
    return main(data, port, once=once, profile=profile, choice=choice)
