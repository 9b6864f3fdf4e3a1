"""The quality gate."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retaild_plugins.gates.quality import plugin

from retaild.api import Gate, GateSpec, TrainingResult
from retaild.api.base import BuildContext
from retaild.testing.gate import METRIC, GateConformance, result


def _spec() -> GateSpec:
    (spec,) = plugin.retaild_gates()
    return spec


def _gate(**settings: Any) -> Gate:
    spec = _spec()
    nowhere = Path("/nonexistent")
    context = BuildContext(instance="quality", state_dir=nowhere, lake_dir=nowhere)
    gate: Gate = spec.build(spec.config(**settings), context)
    return gate


class TestQuality(GateConformance):
    @pytest.fixture
    def gate(self) -> Gate:
        return _gate()


@pytest.fixture
def good(tmp_path: Path) -> TrainingResult:
    (tmp_path / "model.bin").write_bytes(bytes(2 * 1024 * 1024))
    return result(tmp_path, 0.30, popular=0.10, repeat=0.20)


def test_the_reason_has_the_figures(good: TrainingResult) -> None:
    verdict = _gate().judge(good, {METRIC: 0.24})
    assert verdict.reason == (
        "ndcg 0.3 beats the champion 0.24 (+25.0%), popular 0.1 (+200.0%), repeat 0.2 (+50.0%)."
    )
    assert verdict.passed


def test_the_champion_must_be_beaten_by_the_margin(good: TrainingResult) -> None:
    # Two percent of 0.294 is 0.00588: 0.29988 is the figure to beat, and 0.3 does.
    assert _gate(champion_margin=0.02).judge(good, {METRIC: 0.294}).passed
    # Two percent of 0.295 is 0.0059: 0.3009 is not beaten.
    verdict = _gate(champion_margin=0.02).judge(good, {METRIC: 0.295})
    assert not verdict.passed
    assert verdict.reason == "ndcg 0.3 does not beat the champion (0.295, +1.7%) by 2.0%."


def test_equal_is_not_better(good: TrainingResult) -> None:
    assert not _gate(champion_margin=0).judge(good, {METRIC: 0.30}).passed
    assert not _gate().judge(replace(good, baselines={"repeat": {METRIC: 0.30}}), None).passed


def test_every_baseline_must_be_beaten(good: TrainingResult) -> None:
    better = replace(good, baselines={**good.baselines, "personal": {METRIC: 0.31}})
    verdict = _gate().judge(better, None)
    assert not verdict.passed
    assert verdict.reason == "ndcg 0.3 does not beat baseline personal (0.31, -3.2%)."


def test_a_model_without_baselines_does_not_pass(good: TrainingResult) -> None:
    verdict = _gate().judge(replace(good, baselines={}), None)
    assert not verdict.passed
    assert "no baseline" in verdict.reason


def test_less_may_be_better(good: TrainingResult) -> None:
    error = replace(good, greater_is_better=False, baselines={"mean": {METRIC: 0.40}})
    assert _gate().judge(error, {METRIC: 0.31}).passed
    assert not _gate().judge(error, {METRIC: 0.29}).passed


def test_a_negative_metric_has_its_margin_on_the_better_side(good: TrainingResult) -> None:
    # A log likelihood: ten percent better than -2.0 is -1.8.
    likelihood = replace(good, metrics={METRIC: -1.75}, baselines={"mean": {METRIC: -3.0}})
    assert _gate(champion_margin=0.1).judge(likelihood, {METRIC: -2.0}).passed
    assert not _gate(champion_margin=0.2).judge(likelihood, {METRIC: -2.0}).passed


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
def test_what_was_not_measured_does_not_pass(good: TrainingResult, figure: float) -> None:
    assert not _gate().judge(replace(good, metrics={METRIC: figure}), None).passed
    assert not _gate().judge(good, {METRIC: figure}).passed
    assert not _gate().judge(replace(good, baselines={"mean": {METRIC: figure}}), None).passed


def test_limits_hold_and_are_all_named(good: TrainingResult) -> None:
    fits = _gate(minimum={"customers": 400}, maximum={"milliseconds": 2}, maximum_mib=2.5)
    assert fits.judge(good, None).passed
    tight = _gate(minimum={"customers": 500}, maximum={"milliseconds": 1}, maximum_mib=1)
    assert tight.judge(good, None).reason == (
        "customers is 400; at least 500 is needed. "
        "milliseconds is 2; at most 1 is allowed. "
        "Its files hold 2.0 MiB; 1 are allowed."
    )


def test_a_limit_on_what_was_not_measured_does_not_pass(good: TrainingResult) -> None:
    verdict = _gate(maximum={"seconds": 9}).judge(good, None)
    assert not verdict.passed
    assert verdict.reason == "seconds was not measured; at most 9 is allowed."


def test_a_gate_for_another_metric_lets_it_pass_unjudged(good: TrainingResult) -> None:
    gate = _gate(only_for_metric="wape", minimum={"weeks": 30})
    assert gate.judge(good, {METRIC: 0.9}).passed
    assert not _gate(only_for_metric=METRIC).judge(good, {METRIC: 0.9}).passed


figures = st.floats(min_value=-1e6, max_value=1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(challenger=figures, champion=figures, margin=st.floats(min_value=0, max_value=0.99))
def test_two_models_never_both_beat_each_other(
    challenger: float, champion: float, margin: float
) -> None:
    gate = _gate(champion_margin=margin)
    low = {"none": {METRIC: -1e9}}

    def beats(one: float, other: float) -> bool:
        trained = replace(result(Path("/nonexistent"), one), baselines=low)
        return gate.judge(trained, {METRIC: other}).passed

    assert not (beats(challenger, champion) and beats(champion, challenger))
    assert beats(challenger, champion) <= (challenger > champion)


def test_the_sample_is_a_valid_configuration() -> None:
    folder = Path(plugin.__file__).parent
    text = (folder / "sample.toml").read_text("utf-8")
    sample = tomllib.loads(text)["gate"]["quality"]
    assert sample.pop("plugin") == _spec().name
    _spec().config.model_validate(sample)
    commented = "\n".join(line.removeprefix("# ") for line in text.splitlines()[7:])
    _spec().config.model_validate(tomllib.loads(commented))
    assert text in (folder / "README.md").read_text("utf-8")
