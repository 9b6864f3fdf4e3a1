"""What the tests of reload say when something is missing."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.daemon.whereabouts import Whereabouts

FILES = {"r1": "tills/1.csv", "r2": "tills/2.csv"}


READ = frozenset({"tills/2.csv"})
BEHIND = "A backlog, nothing is lost (2 were written): 1 waiting in the"
LOST = "NOT only a backlog (2 were written): 1 LOST"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Whereabouts(FILES), f"{BEHIND} folder"),
        (Whereabouts(FILES, READ, log={"r2": 7}, carried=7), f"{BEHIND} log"),
        (Whereabouts(FILES, READ), f"{LOST} between folder and log: its file counts as read"),
        (
            Whereabouts(FILES, log={"r2": 7}, carried=8),
            f"{LOST} between log and silver, nor bronze",
        ),
        (
            Whereabouts(FILES, log={"r2": 7}, carried=8, bronze=frozenset({"r2"})),
            f"{LOST} between log and silver, but bronze has it",
        ),
        (Whereabouts({}), f"{LOST}: not even in the folder"),
    ],
)
def test_what_is_missing_has_its_place_named(found: Whereabouts, said: str) -> None:
    found.silver["r1"] = 1
    assert found.explain(["r1", "r2"]) == f"{said}, such as r2."


def test_what_is_there_twice_or_was_never_written_is_no_backlog() -> None:
    found = Whereabouts(FILES, silver=Counter({"r1": 2, "r2": 1}))
    assert "NOT only" in found.explain(["r1", "r2"])
    assert "1 in silver 2 times" in found.explain(["r1", "r2"])
    assert "never written" in Whereabouts({}, silver=Counter({"r9": 1})).explain([])
    assert Whereabouts(FILES, silver=Counter({"r1": 1, "r2": 1})).explain(["r1", "r2"]) == ""
