"""Every finding against the same number found another way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import nn

import headstart as hs
from headstart.errors import UserCodeError
from headstart.lifecycle.data.rows import Rows
from headstart.lifecycle.diagnose import diagnose, health, shifted
from headstart.lifecycle.diagnose.shift import class_shift, column_shift, mmd
from headstart.lifecycle.tasks.base import Examples, Schema, Task
from headstart.protocols import Finding

WIDTH = 4
SCHEMA = Schema(
    {f"x{i}": {"kind": "number", "mean": [0.0]} for i in range(WIDTH)},
    {"column": "y", "kind": "class", "classes": ["a", "b", "c"]},
)


def task(**options: object) -> Task:
    return Task(target="y", model=lambda: nn.Linear(WIDTH, 3), **options)  # type: ignore[arg-type]


def sample(
    seed: int, n: int = 120, move: float = 0.0, shares: tuple[float, ...] = (0.5, 0.3, 0.2)
) -> Examples:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(n, WIDTH))
    inputs[:, 1] += move
    return Examples(torch.from_numpy(inputs).float(), torch.from_numpy(random.choice(3, n, p=shares)))


def rows(examples: Examples) -> Rows:
    assert isinstance(examples.inputs, torch.Tensor)
    return Rows({"x": examples.inputs.numpy(), "y": examples.targets.numpy()})


def found(
    old: Examples, new: Examples, model: nn.Module | None = None, **options: object
) -> dict[str, Finding]:
    findings = diagnose(
        task(**options),
        model=model,
        old=old,
        new=new,
        new_rows=rows(new),
        schema=SCHEMA,
        seed=0,
        old_rows=rows(old),
    )
    return {finding.name: finding for finding in findings}


# ---- statistics of a shift --------------------------------------------------------------------------


def test_column_shift_is_kolmogorov_smirnov_with_holm() -> None:
    random = np.random.default_rng(0)
    old, new = random.normal(size=(150, 3)), random.normal([0.0, 0.4, 0.1], size=(90, 3))
    distances, adjusted = column_shift(old, new)
    effective = 150 * 90 / 240
    truth = [stats.ks_2samp(old[:, j], new[:, j], method="asymp").statistic for j in range(3)]
    assert distances == pytest.approx(truth)
    raw = np.array([special.kolmogorov(math.sqrt(effective) * d) for d in truth])
    order = np.argsort(raw)
    expected = np.maximum.accumulate(raw[order] * [3, 2, 1]).clip(max=1)
    assert adjusted[order] == pytest.approx(expected)


def test_mmd_is_the_unbiased_estimate_and_its_permutation_test() -> None:
    random = np.random.default_rng(1)
    old, new = random.normal(size=(7, 2)), random.normal(size=(5, 2)) + 1.0
    both = np.concatenate([old, new])
    squared = ((both[:, None] - both[None]) ** 2).sum(-1)
    kernel = np.exp(-squared / np.median(squared[squared > 1e-12]))

    def discrepancy(left: tuple[int, ...]) -> float:
        right = tuple(set(range(12)) - set(left))
        inside = [
            np.mean([kernel[i, j] for i, j in itertools.permutations(side, 2)]) for side in (left, right)
        ]
        return float(inside[0] + inside[1] - 2 * kernel[np.ix_(left, right)].mean())

    value, p = mmd(old, new, random)
    assert value == pytest.approx(discrepancy(tuple(range(7))))
    larger = [discrepancy(left) >= value - 1e-9 for left in itertools.combinations(range(12), 7)]
    assert p == pytest.approx(np.mean(larger), abs=0.08)


def test_class_shift_is_the_chi_squared_test_and_the_total_variation() -> None:
    random = np.random.default_rng(2)
    old, new = random.choice(4, 300, p=[0.4, 0.3, 0.2, 0.1]), random.choice(4, 200, p=[0.34, 0.3, 0.2, 0.16])
    table = np.array([np.bincount(part, minlength=4) for part in (old, new)])
    distance, p = class_shift(old, new, random)
    assert distance == pytest.approx(np.abs(table[0] / 300 - table[1] / 200).sum() / 2)
    assert p == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, abs=0.03)


def test_data_that_did_not_change_rarely_raise_an_alarm() -> None:
    """Three tests at 1 % each, over 60 draws: more than 6 alarms is a chance below 1 in 200."""
    alarms = sum(shifted(list(found(sample(k), sample(1000 + k)).values())) for k in range(60))
    assert alarms <= 6


def test_each_shift_is_found_by_its_own_test() -> None:
    moved = found(sample(1), sample(2, move=2.0))
    assert moved["covariate-shift"].severity == moved["column-shift"].severity == "warning"
    assert moved["label-shift"].severity == "info"
    assert [column[0] for column in moved["column-shift"].details["columns"]] == ["x1"]
    assert "x1" in moved["column-shift"].text
    labels = found(sample(1), sample(2, shares=(0.1, 0.2, 0.7)))
    assert [name for name, finding in labels.items() if finding.severity == "warning"] == ["label-shift"]
    assert shifted(list(moved.values())) and shifted(list(labels.values()))
    assert not shifted([])
    assert not shifted([Finding(name="gradient-ratio", value=9.0, severity="warning")])


def test_a_target_that_is_a_number_is_compared_by_its_distribution() -> None:
    old, new = sample(1), sample(2)
    schema = Schema(SCHEMA.columns, {"column": "y", "kind": "number"})
    values = [
        Examples(part.inputs, torch.randn(120, generator=torch.manual_seed(k)) + k)
        for k, part in enumerate((old, new))
    ]
    findings = diagnose(
        task(binary=False),
        model=None,
        old=values[0],
        new=values[1],
        new_rows=rows(new),
        schema=schema,
        seed=0,
    )
    label = next(finding for finding in findings if finding.name == "label-shift")
    truth = stats.ks_2samp(values[0].targets.numpy(), values[1].targets.numpy())
    assert label.value == pytest.approx(truth.statistic)
    assert label.severity == "warning"


def test_novelty_counts_rows_not_seen_before() -> None:
    old = sample(1, 20)
    new = Examples(
        torch.cat([old.inputs[:15], sample(2, 5).inputs]), torch.cat([old.targets[:15], sample(2, 5).targets])
    )
    novelty = found(old, new)["novelty"]
    assert (novelty.value, novelty.severity) == (0.25, "notice")
    assert novelty.details == {"new": 5, "repeated": 15, "known": 20}
    alone = diagnose(task(), model=None, old=None, new=new, new_rows=rows(new), schema=SCHEMA, seed=0)
    assert [(finding.name, finding.value) for finding in alone] == [("novelty", 1.0)]


# ---- the champion -----------------------------------------------------------------------------------


def test_scores_and_losses_of_the_champion_with_welchs_interval() -> None:
    torch.manual_seed(0)
    model, old, new = nn.Linear(WIDTH, 3), sample(1), sample(2, move=3.0)
    by_name = found(old, new, model)
    with torch.no_grad():
        outputs = [model(part.inputs) for part in (old, new)]
    rights = [
        (out.argmax(1) == part.targets).double().numpy()
        for out, part in zip(outputs, (old, new), strict=True)
    ]
    losses = [
        nn.functional.cross_entropy(out, part.targets, reduction="none").double().numpy()
        for out, part in zip(outputs, (old, new), strict=True)
    ]
    for name, (before, after) in (("champion-score", rights), ("champion-loss", losses)):
        finding = by_name[name]
        error = math.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
        gap = after.mean() - before.mean()
        assert finding.value == pytest.approx(gap, rel=1e-5)
        assert (finding.lower, finding.upper) == pytest.approx(
            (gap - 1.96 * error, gap + 1.96 * error), rel=1e-3
        )
    norm = math.sqrt(sum(float((p**2).sum()) for p in model.parameters()))
    assert by_name["weight-norm"].value == pytest.approx(norm)


def test_one_example_has_no_interval() -> None:
    finding = found(sample(1), sample(2, 1), nn.Linear(WIDTH, 3))["champion-score"]
    assert (finding.lower, finding.upper, finding.severity) == (None, None, "info")


def test_gradient_norms_are_those_of_backward() -> None:
    torch.manual_seed(1)
    model, examples = nn.Sequential(nn.Linear(WIDTH, 5), nn.Tanh(), nn.Linear(5, 3)), sample(1, 6)
    with torch.no_grad():
        _, norms = health.losses_and_gradients(task(), model, examples)
    assert all(p.grad is None for p in model.parameters())
    for index, norm in enumerate(norms):
        model.zero_grad()
        nn.functional.cross_entropy(
            model(examples.inputs[index : index + 1]), examples.targets[index : index + 1]
        ).backward()
        assert float(norm) == pytest.approx(
            math.sqrt(sum(float((p.grad**2).sum()) for p in model.parameters())), rel=1e-5
        )


def test_dead_and_dormant_units_of_a_net_built_so() -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(torch.tensor([1.0, 1.0, 1.0, -1.0, 0.001]))
    finding = found(sample(1), sample(2), model)["dormant-units"]
    assert finding.value == pytest.approx(2 / 5)
    assert finding.details == {"dead": pytest.approx(1 / 5), "units": 5}
    assert finding.severity == "notice"
    assert health.silent_units([torch.zeros(4)]) == (1.0, 1.0, 4)


@pytest.mark.parametrize(
    ("singular", "rank"),
    [([1, 1, 1, 0], 3.0), ([2, 0, 0, 0], 1.0), ([0, 0, 0, 0], 0.0), ([3, 1, 0, 0], 4 / 3**0.75)],
)
def test_effective_rank_of_matrices_with_known_singular_values(singular: list[float], rank: float) -> None:
    left = torch.linalg.qr(torch.randn(9, 4, generator=torch.manual_seed(0), dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(4, 4, generator=torch.manual_seed(1), dtype=torch.float64))[0]
    matrix = left @ torch.diag(torch.tensor(singular, dtype=torch.float64)) @ right
    assert health.effective_rank(matrix) == pytest.approx(rank, abs=1e-6)


class Noisy(nn.Module):
    """Draws from the global state even when it is not trained; its norm stays in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH).eval()
        self.last = nn.Linear(WIDTH, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(self.norm(inputs) + 0.01 * torch.randn_like(inputs))
        return out


def test_nothing_is_left_changed_and_all_is_repeatable() -> None:
    model = Noisy()
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    once, again = found(sample(1), sample(2), model), found(sample(1), sample(2), model)
    assert once == again
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # type: ignore[arg-type]
    assert model.training and model.last.training and not model.norm.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(2 * WIDTH, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(inputs)
        return out


def test_a_model_or_a_loss_that_fails_is_the_users() -> None:
    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("mine")

    for model, options in ((Broken(), {}), (nn.Linear(WIDTH, 3), {"loss_fn": loss})):
        with pytest.raises(UserCodeError) as caught:
            found(sample(1), sample(2), model, **options)
        assert all(caught.value.to_dict().values())
        assert caught.value.__cause__ is not None


def test_a_frozen_champion_is_read_too() -> None:
    model = nn.Linear(WIDTH, 3).requires_grad_(False)
    by_name = found(sample(1), sample(2), model)
    assert "champion-score" in by_name
    assert "gradient-ratio" not in by_name


def test_a_language_model_is_examined() -> None:
    language = hs.tasks.LanguageModel(context=8, width=8, depth=1)
    parts = [Rows({"text": np.array([word * 12] * 6, dtype=object)}) for word in ("ab ", "ba ab")]
    schema = language.infer(parts[0])
    torch.manual_seed(0)
    model = language.build(schema)
    old, new = (language.encode(part, schema) for part in parts)
    findings = diagnose(
        language, model=model, old=old, new=new, new_rows=parts[1], schema=schema, seed=0, old_rows=parts[0]
    )
    by_name = {finding.name: finding for finding in findings}
    assert {"covariate-shift", "label-shift", "champion-loss", "gradient-ratio", "effective-rank"} <= set(
        by_name
    )
    assert by_name["label-shift"].severity == "info"  # tokens of one text are not independent: no test
    assert all(math.isfinite(finding.value) for finding in findings)
