"""What every gate must do. Subclass `GateConformance`, give it a `gate`, run pytest."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest

from retaild.api import Gate, TrainingResult, Verdict

METRIC = "ndcg"


def result(artifact: Path, value: float, **baselines: float) -> TrainingResult:
    """A training whose primary metric is `value`, with baselines by name."""
    return TrainingResult(
        artifact=artifact,
        metrics={METRIC: value, "customers": 400.0, "milliseconds": 2.0},
        baselines={name: {METRIC: figure} for name, figure in baselines.items()},
        split="sales before 2011-11-01 | after it",
        primary_metric=METRIC,
    )


class GateConformance:
    """Provide the fixture `gate`, set up so that it lets `good` pass."""

    @pytest.fixture
    def gate(self) -> Gate:
        raise NotImplementedError

    @pytest.fixture
    def good(self, tmp_path: Path) -> TrainingResult:
        (tmp_path / "model.txt").write_text("weights")
        return result(tmp_path, 0.30, popular=0.10, repeat=0.20)

    def test_a_good_first_version_passes(self, gate: Gate, good: TrainingResult) -> None:
        verdict = gate.judge(good, None)
        assert isinstance(verdict, Verdict)
        assert verdict.passed, verdict.reason

    def test_a_verdict_is_a_sentence(self, gate: Gate, good: TrainingResult) -> None:
        for champion in (None, {METRIC: 0.25}, {METRIC: 0.9}):
            reason = gate.judge(good, champion).reason
            assert reason.endswith(".")
            assert "\n" not in reason

    def test_what_was_not_measured_is_judged_without_an_exception(
        self, gate: Gate, good: TrainingResult
    ) -> None:
        for metrics in ({}, {METRIC: math.nan}, {METRIC: math.inf}):
            broken = replace(good, metrics=metrics)
            assert isinstance(gate.judge(broken, {METRIC: 0.2}), Verdict)
        assert isinstance(gate.judge(good, {}), Verdict)
        assert isinstance(gate.judge(replace(good, baselines={"popular": {}}), None), Verdict)

    def test_judging_changes_nothing_and_repeats_itself(
        self, gate: Gate, good: TrainingResult
    ) -> None:
        champion = {METRIC: 0.25}
        before = copy.deepcopy((good, champion))
        assert gate.judge(good, champion) == gate.judge(good, champion)
        assert (good, champion) == before
