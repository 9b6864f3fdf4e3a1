"""What is over is kept for a while, and never more than so much."""

from __future__ import annotations

from collections.abc import Sequence

from retaild.runtime.state import State

#: Past alerts, and messages that were sent, at most.
MAX_KEPT = 10_000


def trim(state: State, now: float, days: int, sinks: Sequence[str]) -> None:
    """Forget what ended more than `days` ago, and all of a sink that was long taken out."""
    before = now - days * 86_400
    marks = ", ".join("?" * len(sinks))
    with state.transaction() as connection:
        connection.execute("DELETE FROM alert WHERE settled < ?", [before])
        connection.execute(
            "DELETE FROM alert WHERE settled IS NOT NULL AND id <= (SELECT max(id) FROM alert) - ?",
            [MAX_KEPT],
        )
        connection.execute(
            "DELETE FROM alert_delivery WHERE current = 0 AND finished IS NOT NULL AND "
            "(finished < ? OR number <= (SELECT max(number) FROM alert_delivery) - ?)",
            [before, MAX_KEPT],
        )
        connection.execute(
            f"DELETE FROM alert_delivery WHERE created < ? AND sink NOT IN ({marks})",
            [before, *sinks],
        )
        connection.execute("DELETE FROM alert_silence WHERE until < ?", [before])
