"""What the demo says while it works: a line per stage, alive on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Console:
    """Writes to standard error, so that standard output stays for the summary."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self.seconds: dict[str, float] = {}

    def say(self, text: str = "") -> None:
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def stage(self, name: str, text: str) -> Iterator[None]:
        """Time a stage; its seconds are kept under `name`."""
        began = time.monotonic()
        if self._live:
            self._redraw(f"  …  {text}")
        try:
            yield
        except BaseException:
            self._close(f"  ✗  {text}")
            raise
        self.seconds[name] = round(time.monotonic() - began, 2)
        self._close(f"  ✓  {text} ({self.seconds[name]:.1f} s)")

    def progress(self, fraction: float, text: str) -> None:
        """Within a stage, on a terminal: a bar and what is being done."""
        if self._live:
            filled = round(24 * min(max(fraction, 0.0), 1.0))
            self._redraw(f"     {'━' * filled}{'─' * (24 - filled)} {fraction:4.0%}  {text}"[:100])

    def _redraw(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()

    def _close(self, text: str) -> None:
        self.say(f"\r\x1b[2K{text}" if self._live else text)
