"""Pairs whose truth is known: false promotions stay within alpha, and each rule is needed for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability import gate
from benchmarks.reliability._campaign import Setting


def test_no_regression_is_promoted_too_often_and_no_rule_can_be_left_out(tmp_path: Path) -> None:
    (found,) = gate.run(Setting(folder=tmp_path))
    assert found.violations == 0, found.examples
    assert set(gate.RULES) == {"improvement", "margin", "slices", "few losses", "looks"}
    assert found.cases == 200 * len(gate.TRIALS)


@pytest.mark.parametrize("rule", gate.RULES)
def test_the_count_would_notice_a_rule_that_is_gone(rule: str) -> None:
    trial, blindness = gate.RULES[rule]
    with gate.blind(blindness):
        assert gate.promotions(trial, 100, 1) > gate.allowed(100)
    assert gate.promotions(trial, 100, 1) <= gate.allowed(100)
