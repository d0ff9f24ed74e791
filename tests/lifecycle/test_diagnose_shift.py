"""The tests for a shift, against scipy, by their error rates and by what they must find."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from headstart.lifecycle.diagnose.inputs import column_names, input_table
from headstart.lifecycle.diagnose.shift import class_shift, column_shift, kolmogorov_p, mmd, sample
from headstart.lifecycle.tasks.base import Examples, Schema
from headstart.nn.streams import generator


def test_kolmogorov_smirnov_agrees_with_scipy() -> None:
    random = np.random.default_rng(0)
    old, new = random.normal(size=(400, 4)), random.normal([0.0, 0.1, 0.3, 1.0], 1, size=(300, 4))
    distances, adjusted = column_shift(old, new)
    truths = [stats.ks_2samp(old[:, j], new[:, j], method="asymp") for j in range(4)]
    assert distances == pytest.approx([t.statistic for t in truths])
    assert list(adjusted) == sorted(adjusted, reverse=True)
    effective = 400 * 300 / 700
    for x in (0.3, 0.8, 1.36, 2.0, 3.0):
        assert kolmogorov_p(x / np.sqrt(effective), effective) == pytest.approx(
            stats.kstwobign.sf(x), rel=1e-9
        )
    assert kolmogorov_p(0.0, effective) == 1.0


def test_p_values_of_columns_are_corrected_for_their_number() -> None:
    random = np.random.default_rng(1)
    old, new = random.normal(size=(200, 1)), random.normal(0.35, 1, size=(200, 1))
    alone = column_shift(old, new)[1][0]
    noise = random.normal(size=(200, 19))
    among = column_shift(np.hstack([old, noise]), np.hstack([new, noise]))[1][0]
    assert among == pytest.approx(20 * alone)


def test_mmd_agrees_with_its_definition() -> None:
    random = np.random.default_rng(2)
    old, new = random.normal(size=(12, 3)), random.normal(0.7, 1, size=(9, 3))
    both = np.vstack([old, new])
    squared = ((both[:, None] - both[None]) ** 2).sum(-1)
    width = np.median(squared[squared > 0])

    def mean_kernel(a: np.ndarray, b: np.ndarray) -> float:
        values = np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / width)
        pairs = values.size - (len(a) if a is b else 0)
        return float((values.sum() - (len(a) if a is b else 0)) / pairs)

    expected = mean_kernel(old, old) + mean_kernel(new, new) - 2 * mean_kernel(old, new)
    assert mmd(old, new, np.random.default_rng(0))[0] == pytest.approx(expected)


def test_class_shares_are_compared_by_chi_squared() -> None:
    random = np.random.default_rng(3)
    old, new = (
        random.choice(4, 500, p=[0.4, 0.3, 0.2, 0.1]),
        random.choice(4, 300, p=[0.33, 0.33, 0.22, 0.12]),
    )
    table = np.stack([np.bincount(part, minlength=4) for part in (old, new)])
    distance, p = class_shift(old, new, np.random.default_rng(0))
    assert p == pytest.approx(stats.chi2_contingency(table).pvalue, abs=0.03)
    shares = table / table.sum(1, keepdims=True)
    assert distance == pytest.approx(0.5 * np.abs(shares[0] - shares[1]).sum())


def test_one_class_alone_cannot_shift() -> None:
    assert class_shift(np.zeros(9), np.zeros(5), np.random.default_rng(0)) == (0.0, 1.0)


@pytest.mark.parametrize("kind", ["inputs", "classes", "columns"])
def test_a_shift_is_found_and_none_is_invented(kind: str) -> None:
    """False alarms at 5 % stay at 5 %; a shift of half a standard deviation is nearly always seen."""
    tests: dict[str, Callable[[np.random.Generator, float], float]] = {
        "inputs": lambda r, by: mmd(r.normal(size=(60, 5)), r.normal(by, 1, size=(60, 5)), r)[1],
        "classes": lambda r, by: class_shift(
            r.choice(3, 300), r.choice(3, 300, p=np.array([1 + by, 1, 1 - by]) / 3), r
        )[1],
        "columns": lambda r, by: column_shift(r.normal(size=(150, 6)), r.normal(by, 1, (150, 6)))[1].min(),
    }
    random = np.random.default_rng(4)
    alarms = sum(tests[kind](random, 0.0) <= 0.05 for _ in range(150))
    found = sum(tests[kind](random, 0.5) <= 0.05 for _ in range(30))
    assert alarms <= stats.binom.ppf(0.9999, 150, 0.05)
    assert found >= 28


def test_a_sample_is_sorted_without_repeats_and_complete_when_it_may_be() -> None:
    drawn = sample(1000, 50, np.random.default_rng(0))
    assert len(set(drawn)) == 50
    assert (np.diff(drawn) > 0).all()
    assert list(sample(5, 50, np.random.default_rng(0))) == [0, 1, 2, 3, 4]


RANDOM = generator(0, "inputs")

# ---- inputs as a table ---------------------------------------------------------------------------


def table_of(inputs: torch.Tensor | tuple[torch.Tensor, ...], rows: torch.Tensor | None = None) -> np.ndarray:
    count = len(inputs[0]) if isinstance(inputs, tuple) else len(inputs)
    return input_table(Examples(inputs, torch.zeros(count), rows), np.random.default_rng(0))


def test_numbers_stay_and_what_is_not_finite_counts_as_zero() -> None:
    table = table_of(torch.tensor([[1.0, float("nan")], [float("inf"), 4.0]]))
    assert table.tolist() == [[1.0, 0.0], [0.0, 4.0]]


@pytest.mark.parametrize(
    "inputs",
    [
        torch.rand(6, 3, 40, 40, generator=RANDOM),
        torch.randint(0, 255, (6, 28, 28), generator=RANDOM, dtype=torch.uint8),
        torch.randint(0, 9000, (6, 30), generator=RANDOM),
        torch.randint(0, 9, (6,), generator=RANDOM),
        torch.rand(6, generator=RANDOM),
        torch.rand(6, 4, generator=RANDOM).half(),
        (
            torch.rand(6, 2, generator=RANDOM),
            torch.randint(0, 5, (6, 3), generator=RANDOM, dtype=torch.int32),
            torch.ones(6, 3, dtype=torch.bool),
        ),
    ],
    ids=["image", "bytes", "tokens", "one token", "one number", "half", "several"],
)
def test_every_kind_of_input_becomes_a_narrow_table(inputs: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
    table = table_of(inputs)
    assert table.shape[0] == 6
    assert table.shape[1] <= 512 * (len(inputs) if isinstance(inputs, tuple) else 1)
    assert np.isfinite(table).all()


def test_tokens_become_shares_whatever_their_order() -> None:
    table = table_of(torch.tensor([[3, 3, 1, 0], [0, 1, 3, 3]]))
    assert table[0].tolist() == table[1].tolist()
    assert table[0, :4].tolist() == [0.25, 0.25, 0.0, 0.5]


def test_windows_of_one_text_count_once() -> None:
    rows = torch.tensor([7, 7, 2])
    table = table_of(torch.tensor([[1.0], [3.0], [10.0]]), rows)
    assert table.tolist() == [[10.0], [2.0]]


def test_large_inputs_are_sampled() -> None:
    assert table_of(torch.arange(5000.0)[:, None]).shape == (2000, 1)


def test_columns_have_their_names_where_names_mean_something() -> None:
    columns = {
        "age": {"kind": "number", "mean": [0.0]},
        "city": {"kind": "category", "values": ["a", "b"]},
        "spot": {"kind": "vector", "mean": [0.0, 0.0]},
    }
    schema = Schema(columns, {})
    names = column_names(schema, Examples(torch.zeros(2, 5), torch.zeros(2)))
    assert names == ["age", "city=a", "city=b", "spot[0]", "spot[1]"]
    assert column_names(schema, Examples(torch.zeros(2, 6), torch.zeros(2))) == []
    assert (
        column_names(Schema({"text": {"kind": "text"}}, {}), Examples(torch.zeros(2, 9), torch.zeros(2)))
        == []
    )
