"""Limits that a log shows: what is found, what is not, and what a surrogate makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prime_fast.errors import DataError
from prime_fast.space import DesignSpace
from prime_fast.surrogate import Surrogate, TrainingData, TrainingSettings, train
from prime_fast.surrogate.constraints import LearnedConstraint, learn_constraints, violations
from prime_fast.surrogate.unlogged import expected_constraints

SPACE = DesignSpace.from_toml(
    """
    name = "memories"
    [[parameter]]
    name = "pes"
    values = [1, 2, 4, 8, 16, 32]
    [[parameter]]
    name = "memory"
    values = [1, 2, 4, 8, 16, 32, 64]
    [[parameter]]
    name = "cores"
    values = [1, 2, 4, 8]
    [[parameter]]
    name = "lanes"
    values = [1, 2, 3, 4, 5, 6]
    [[parameter]]
    name = "offset"
    values = [-1, 0, 1]
    [[parameter]]
    name = "order"
    kind = "categorical"
    values = ["a", "b", "c"]
    [[metric]]
    name = "area_mm2"
    expression = "pes * lanes + memory"
    """
)
CHANCE = 1e-6
TINY = TrainingSettings(width=32, members=2, steps=200, selection_steps=100, batch=64)


def values_of(ranks: np.ndarray) -> dict[str, np.ndarray]:
    """Return each numeric parameter's values."""
    numeric = [name for name, values in zip(SPACE.names, SPACE.values, strict=True) if values[0] != "a"]
    return {
        name: np.asarray(SPACE.values[place], float)[ranks[:, place]] for place, name in enumerate(numeric)
    }


def truth(ranks: np.ndarray) -> np.ndarray:
    """Return which designs have enough memory, and enough of it for a core."""
    value = values_of(ranks)
    return np.asarray((value["pes"] * value["memory"] >= 32) & (value["memory"] / value["cores"] >= 2))


def test_limits_on_a_product_and_on_a_ratio_are_found_and_told_as_in_a_space() -> None:
    ranks = SPACE.sample(2000, 0)
    good = truth(ranks)
    found = learn_constraints(SPACE, ranks[good], ranks[~good], CHANCE)
    assert {str(constraint) for constraint in found} == {"pes * memory >= 32", "memory / cores >= 2"}
    assert sum(constraint.infeasible for constraint in found) == (~good).sum()
    others = SPACE.sample(2000, 1)
    assert np.array_equal(violations(found, SPACE, others) == 0.0, truth(others))


def test_a_limit_on_a_metric_is_told_by_its_name() -> None:
    ranks = SPACE.sample(2000, 0)
    good = SPACE.metric("area_mm2", ranks) <= 100
    (only,) = learn_constraints(SPACE, ranks[good], ranks[~good], CHANCE)
    assert (only.quantity, only.at_least) == ("area_mm2", False)
    assert only.bound == SPACE.metric("area_mm2", ranks[good]).max()


@pytest.mark.parametrize("seed", range(10))
def test_where_chance_decides_what_is_feasible_nothing_is_found(seed: int) -> None:
    ranks = SPACE.sample(1000, seed)
    good = np.random.default_rng(seed).random(len(ranks)) < 0.5
    assert learn_constraints(SPACE, ranks[good], ranks[~good], CHANCE) == ()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(0, 300), st.floats(1e-9, 0.5))
def test_no_feasible_design_logged_is_ever_rejected(seed: int, good: int, bad: int, chance: float) -> None:
    ranks = SPACE.sample(good + bad, seed)
    found = learn_constraints(SPACE, ranks[:good], ranks[good:], chance)
    assert (violations(found, SPACE, ranks[:good]) == 0.0).all()
    rejected = violations(found, SPACE, ranks[good:]) > 0.0
    assert rejected.sum() == sum(constraint.infeasible for constraint in found)


def test_a_violation_counts_the_limits_broken_and_grows_with_the_distance() -> None:
    limit = LearnedConstraint("pes * memory", (1, 1, 0, 0, 0, 0), True, 32.0, 10)
    other = LearnedConstraint("cores", (0, 0, 1, 0, 0, 0), False, 4.0, 10)
    ranks = np.array([[5, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 3, 0, 0, 0]])
    expected = [0.0, 1 + np.log(2), 1 + np.log(32), 2 + np.log(32) + np.log(2)]
    assert np.allclose(violations([limit, other], SPACE, ranks), expected)


def a_log(seed: int = 0, poor: float = 0.6) -> TrainingData:
    """Return a log without its fastest feasible designs; memory costs time."""
    ranks = SPACE.sample(3000, seed)
    value = values_of(ranks)
    cost = 1000.0 * value["memory"] ** 0.3 / (value["pes"] * value["lanes"])
    good = truth(ranks)
    kept = ~good | (cost >= np.quantile(cost[good], poor))
    return TrainingData(SPACE, ranks[kept], np.where(good, cost, np.nan)[kept], good[kept])


@pytest.fixture(scope="module")
def trained() -> Surrogate:
    return train(a_log(), TINY, 0)


def test_a_surrogate_learns_them_and_rejects_what_breaks_them(trained: Surrogate) -> None:
    (found,) = trained.constraints
    assert "pes * memory >= 32" in {str(constraint) for constraint in found}
    ranks = SPACE.sample(2000, 5)
    broken = violations(found, SPACE, ranks) > 0.0
    assert not truth(ranks)[broken].any()
    assert (trained.predict(ranks).feasible_probability[broken] < 0.05).all()
    assert (trained.search_score(ranks)[1][broken] >= 1.0).all()


def test_no_limit_is_learned_from_designs_that_would_beat_the_log() -> None:
    data = a_log()
    # Fast designs are logged only where they fail, for a reason of their own.
    value = values_of(data.ranks)
    cost = 1000.0 * value["memory"] ** 0.3 / (value["pes"] * value["lanes"])
    fast = cost < np.nanmin(data.objective)
    assert (fast & ~data.feasible).sum() > 20
    assert not (fast & data.feasible).any()
    (found,) = train(data, TINY, 0).constraints
    assert not any(constraint.exponents[3] > 0 and not constraint.at_least for constraint in found)


def test_each_application_has_its_own_and_an_unlogged_one_what_they_lead_to_expect() -> None:
    one, other = a_log(0), a_log(1)
    ranks = other.ranks.copy()
    value = values_of(ranks)
    good = value["pes"] * value["memory"] >= 8
    data = TrainingData(
        SPACE,
        np.concatenate([one.ranks, ranks]),
        np.concatenate([one.objective, np.where(good, 1000.0 / (value["pes"] * value["lanes"]), np.nan)]),
        np.concatenate([one.feasible, good]),
        applications=("large", "small"),
        contexts=np.array([[2.0, 1.0], [1.0, 3.0]]),
        application=np.repeat([0, 1], [len(one.ranks), len(ranks)]),
    )
    surrogate = train(data, TINY, 0)
    assert "pes * memory >= 32" in {str(constraint) for constraint in surrogate.constraints_of("large")}
    assert [str(constraint) for constraint in surrogate.constraints_of([1.0, 3.0])] == ["pes * memory >= 8"]
    # They differ in the memory that suffices: that of a third is not known.
    assert surrogate.constraints_of([1.5, 1.5]) == ()
    limit = surrogate.varying_limit([1.5, 1.5])
    assert limit is not None
    assert (str(limit), limit.expected) == ("pes * memory >= 16", True)
    assert surrogate.varying_limit("large") is surrogate.varying_limit([1.0, 3.0]) is None
    # Alike, they are a limit of a third too, which no log shows: of its probability nothing is known.
    same = replace(surrogate, constraints=(surrogate.constraints[1],) * 2)
    (expected,) = same.constraints_of([1.5, 1.5])
    assert (str(expected), expected.infeasible) == ("pes * memory >= 8", 0)
    assert same.varying_limit([1.5, 1.5]) is None
    broken = expected.excess(SPACE, ranks) > 0.0
    assert (same.predict(ranks, [1.5, 1.5]).feasible_probability[broken] <= 0.5).all()
    assert (same.search_score(ranks, [1.5, 1.5])[1][broken] >= 1.0).all()


def limits(quantity: str, bounds: list[float | None], infeasible: int, *, at_least: bool) -> list[Any]:
    """Return an application's constraint for each bound, or none."""
    exponents = tuple(int(name == quantity) for name in SPACE.names)
    return [
        () if bound is None else (LearnedConstraint(quantity, exponents, at_least, bound, infeasible),)
        for bound in bounds
    ]


def test_what_is_expected_is_on_the_safe_side_but_for_the_limit_that_decides_most() -> None:
    memory = limits("memory", [4.0, 8.0, 16.0, None], 100, at_least=True)
    lanes = limits("lanes", [2.0, 4.0, None, None], 10, at_least=False)
    pes = limits("pes", [4.0, None, None, None], 500, at_least=True)
    learned = [(*one, *other, *third) for one, other, third in zip(memory, lanes, pes, strict=True)]
    kept, varying = expected_constraints(learned)
    assert str(varying) == "memory >= 8"
    # Of two bounds, one deviation from the mean is beyond the strictest; of one application, none is a rule.
    assert [str(one) for one in kept] == ["lanes <= 2"]
    assert expected_constraints(learned[:1]) == expected_constraints([]) == ((), None)
    assert expected_constraints([(), (), *memory[:1], ()]) == ((), None)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=9), st.booleans(), st.randoms())
def test_what_is_expected_lies_within_what_is_logged_in_any_order(
    bounds: list[float], at_least: bool, random: Any
) -> None:
    # A second limit that rejects more and differs more leaves the first one a constraint.
    first = limits("memory", [*bounds], 1, at_least=at_least)
    second = limits("pes", [float(1 + place) for place in range(len(bounds))], 10**6, at_least=True)
    both = [one + other for one, other in zip(first, second, strict=True)]
    kept, varying = expected_constraints(both)
    (only,) = kept
    assert min(bounds) * (1 - 1e-9) <= only.bound <= max(bounds) * (1 + 1e-9)
    mean = np.exp(np.mean(np.log(bounds)))
    assert only.bound >= mean * (1 - 1e-9) if at_least else only.bound <= mean * (1 + 1e-9)
    assert varying is not None
    assert varying.quantity == "pes"
    random.shuffle(both)
    (again,), _ = expected_constraints(both)
    assert again.bound == pytest.approx(only.bound, rel=1e-9)


def two_applications(small: int) -> TrainingData:
    """Return one application with a whole log, and another with so many feasible designs."""
    one, other = a_log(0), a_log(1)
    rows = np.concatenate([np.flatnonzero(other.feasible)[:small], np.flatnonzero(~other.feasible)])
    return TrainingData(
        SPACE,
        np.concatenate([one.ranks, other.ranks[rows]]),
        np.concatenate([one.objective, other.objective[rows]]),
        np.concatenate([one.feasible, other.feasible[rows]]),
        applications=("large", "small"),
        contexts=np.array([[2.0, 1.0], [1.0, 3.0]]),
        application=np.repeat([0, 1], [len(one.ranks), len(rows)]),
    )


def test_an_application_with_few_designs_takes_the_selection_from_no_other() -> None:
    records: list[dict[str, Any]] = []
    surrogate = train(two_applications(small=20), TINY, 0, record=records.append)
    assert "pes * memory >= 32" in {str(constraint) for constraint in surrogate.constraints_of("large")}
    assert surrogate.constraints_of("small") == ()
    reason = surrogate.selection["reason"]
    assert reason.endswith("; with too few feasible designs to judge by: small")
    assert any(record["event"] == "candidate" for record in records)
    assert "small" not in train(two_applications(small=60), TINY, 0).selection["reason"]


def test_without_enough_designs_of_any_application_there_is_no_selection() -> None:
    data = two_applications(small=20)
    rows = np.concatenate(
        [np.flatnonzero(data.feasible & (data.application_of_row == place))[:20] for place in (0, 1)]
        + [np.flatnonzero(~data.feasible)]
    )
    few = replace(
        data, ranks=data.ranks[rows], objective=data.objective[rows], feasible=data.feasible[rows],
        application=data.application_of_row[rows],
    )  # fmt: skip
    surrogate = train(few, TINY, 0)
    assert surrogate.constraints == ((), ())
    assert surrogate.selection["reason"].endswith("too few to hold out: the weakest push was taken")


def test_those_of_the_only_application_logged_hold_for_no_other() -> None:
    log = a_log()
    alone = TrainingData(
        SPACE, log.ranks, log.objective, log.feasible, applications=("one",), contexts=np.array([[2.0, 1.0]])
    )
    surrogate = train(alone, replace(TINY, steps=20), 0)
    assert (
        surrogate.constraints_of() == surrogate.constraints_of("one") == surrogate.constraints_of([2.0, 1.0])
    )
    assert surrogate.constraints_of("one") != ()
    assert surrogate.constraints_of([50.0, -3.0]) == ()
    assert surrogate.varying_limit([50.0, -3.0]) is None


def test_a_metric_without_a_logarithm_elsewhere_counts_as_broken() -> None:
    space = DesignSpace.from_toml(
        'name = "s"\n[[parameter]]\nname = "a"\nvalues = [1, 2, 3, 4]\n'
        '[[metric]]\nname = "m"\nexpression = "a - 2"\n'
    )
    limit = LearnedConstraint("m", (), True, 1.0, 10)
    assert violations([limit], space, np.array([[0], [1], [2], [3]])).tolist() == [51.0, 51.0, 0.0, 0.0]


@pytest.mark.parametrize("changes", [{"constraint_chance": None}, {"feasibility_weight": 0.0}])
def test_none_are_learned_where_none_are_wanted(changes: dict[str, Any]) -> None:
    assert train(a_log(), replace(TINY, steps=20, selection_steps=20, **changes), 0).constraints == ((),)


def test_a_log_whose_infeasible_designs_are_all_explained_needs_no_gate() -> None:
    ranks = SPACE.sample(2000, 0)
    value = values_of(ranks)
    good = value["memory"] >= 4
    data = TrainingData(SPACE, ranks, np.where(good, 100.0 / value["pes"], np.nan), good)
    surrogate = train(data, replace(TINY, censoring=None), 0)
    assert [str(constraint) for constraint in surrogate.constraints[0]] == ["memory >= 4"]
    assert not surrogate.has_gate
    assert (
        surrogate.predict(ranks).feasible_probability == np.where(good, 1.0, 1 / ((~good).sum() + 2))
    ).all()


def test_they_are_saved_and_read_back(trained: Surrogate, tmp_path: Path) -> None:
    trained.save(tmp_path / "surrogate.safetensors")
    again = Surrogate.load(tmp_path / "surrogate.safetensors")
    assert again.constraints == trained.constraints != ((),)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": "area"},
        {"quantity": "pes / memory"},
        {"exponents": [1, 1]},
        {"exponents": [0, 0, 0, 0, 1, 0], "quantity": "offset"},
        {"bound": 0.0},
        {"bound": float("nan")},
        {"infeasible": -2},
        {"exponents": [1, 7, 0, 0, 0, 0]},
        {"exponents": [0, 0, 0, 0, 0, 0], "quantity": ""},
    ],
)
def test_one_that_does_not_fit_the_space_is_refused(changes: dict[str, Any]) -> None:
    limit = LearnedConstraint("pes * memory", (1, 1, 0, 0, 0, 0), True, 32.0, 10)
    assert LearnedConstraint.from_dict(limit.to_dict(), SPACE) == limit
    with pytest.raises(DataError, match="learned constraint"):
        LearnedConstraint.from_dict(limit.to_dict() | changes, SPACE)
