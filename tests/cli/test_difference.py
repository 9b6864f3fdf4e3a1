"""What `check --diff` says that people would notice."""

from __future__ import annotations

import pytest

from retaild.cli.difference import _PAUSES, expected_pauses
from retaild.runtime.plans import STAGES

NOTHING = {"started": [], "stopped": [], "replaced": []}


@pytest.mark.parametrize(
    ("replaced", "expected"),
    [
        ([], ["Nobody notices: no process is replaced."]),
        (["serve"], ["serve: nobody waits"]),
        (["source.a", "source.b"], ["source.a, source.b: pauses"]),
        (
            ["ingest", "source.a", "stream"],
            ["ingest: every source waits", "stream: the lake"],
        ),
    ],
)
def test_what_is_replaced_is_what_pauses(replaced: list[str], expected: list[str]) -> None:
    found = expected_pauses({**NOTHING, "replaced": replaced})
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_a_source_that_goes_takes_in_nothing_more() -> None:
    found = expected_pauses({**NOTHING, "stopped": ["source.a", "alert.b"]})
    assert found == ["source.a: takes in nothing any more"]


def test_every_kind_of_process_has_its_words() -> None:
    assert set(_PAUSES) == set(STAGES)
