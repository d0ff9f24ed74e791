"""The verdict as plain values, and back."""

from __future__ import annotations

import json
import math

from headstart.lifecycle import gate
from headstart.lifecycle.verdict import Table, Verdict


def test_a_verdict_comes_back_from_json_as_it_was() -> None:
    old, new = [0, 0, 0, 1, 1, 1, 0, 1], [1, 1, 1, 0, 1, 1, 0, 1]
    for groups in (None, [1] * 8):  # one group: bounds and variance are infinite
        verdict = gate.compare(old, new, slices={"a": [0, 1, 3], "b": [4, 5, 6, 7]}, groups=groups)
        stored = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
        assert Verdict.from_dict(stored) == verdict
        assert (stored["overall"]["lower"] is None) == (stored["overall"]["upper"] is None) == bool(groups)
    assert list(stored) == ["decision", "reasons", "overall", "slices", "regressed", "settings"]
    assert stored["regressed"] == [3] and [table["name"] for table in stored["slices"]] == ["a", "b"]


def test_a_table_keeps_finite_numbers_and_says_none_for_infinite_bounds() -> None:
    table = Table("x", 5, 2, 1, 0.2, 0.5, 0.25, -math.inf, 0.75, 0.05, 0.4)
    assert table.to_dict() == {
        "name": "x",
        "n": 5,
        "b": 2,
        "c": 1,
        "d": 0.2,
        "p_value": 0.5,
        "p_worse": 0.25,
        "lower": None,
        "upper": 0.75,
        "margin": 0.05,
        "variance": 0.4,
        "decision": "inconclusive",
    }
    assert Table.from_dict(table.to_dict()) == table


def test_without_items_nothing_is_known() -> None:
    verdict = Verdict.without_items("no gate items")
    assert (verdict.decision, verdict.reasons, verdict.settings) == ("hold", ("no gate items",), {})
    assert (verdict.slices, verdict.regressed) == ((), ())
    nothing = Table("overall", 0, 0, 0, 0.0, 1.0, 1.0, -math.inf, math.inf, 0.0, 0.0, "inconclusive")
    assert verdict.overall == nothing
