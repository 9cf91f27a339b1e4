"""Gradient-boosted trees as a surrogate: what they learn, contexts, and what they refuse."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau
from search_problems import EVERYTHING, OTHER, SMALL, TARGET, Floats, Ranks

import prime_fast as pf
from prime_fast import ConfigurationError, DataError
from prime_fast.search import minimize
from prime_fast.surrogate import TrainingData
from prime_fast.surrogate.trees import GATE, Trees, train_trees

pytest.importorskip("lightgbm", reason="the extra `baselines` is not installed")


def slow(ranks: Ranks, target: Ranks = TARGET) -> Floats:
    """Return a positive objective, least at a target."""
    return np.asarray(np.exp(np.square(ranks.astype(float) - target).sum(axis=1) / 30.0))


def passes(ranks: Ranks) -> Any:
    return ranks[:, 2] + ranks[:, 4] >= 5


def logged(designs: int = 1_500, **fields: Any) -> TrainingData:
    """Return a log of random designs, a quarter of them infeasible."""
    ranks = SMALL.sample(designs, seed=1)
    return TrainingData(SMALL, ranks, slow(ranks), passes(ranks), **fields)


@pytest.fixture(scope="module")
def trees() -> Trees:
    return train_trees(logged(), seed=3)


def test_trees_rank_designs_and_tell_what_fails(trees: Trees) -> None:
    predicted = trees.predict(EVERYTHING)
    good = passes(EVERYTHING)
    assert kendalltau(predicted.objective[good], slow(EVERYTHING)[good]).statistic > 0.8
    assert np.mean((predicted.feasible_probability >= GATE) == good) > 0.97
    scores, violations = trees.search_score(EVERYTHING)
    assert np.allclose(scores, np.log(predicted.objective))
    assert np.array_equal(violations == 0.0, predicted.feasible_probability >= GATE)
    assert not predicted.deviation.any()


def test_search_on_trees_finds_better_designs_than_the_log(trees: Trees) -> None:
    found = minimize(SMALL, trees.search_score, evaluations=3_000, batch=256, seed=0)
    assert passes(found.designs).mean() > 0.9
    log = logged()
    assert slow(found.designs[:1])[0] <= log.objective[log.feasible].min()


def test_same_seed_same_trees_and_a_trace_of_the_choice(trees: Trees) -> None:
    told: list[dict[str, Any]] = []
    again = train_trees(logged(), seed=3, record=told.append)
    assert np.array_equal(again.predict(EVERYTHING).objective, trees.predict(EVERYTHING).objective)
    candidates = trees.selection["candidates"]
    assert len(candidates) > 1
    chosen = max(candidates, key=lambda choice: choice["tau"])
    assert (trees.selection["leaves"], trees.selection["rounds"]) == (chosen["leaves"], chosen["rounds"])
    assert told[:-2] == [{"event": "candidate", **choice} for choice in candidates]
    assert told[-2] == {"event": "selected", **chosen}
    assert told[-1]["event"] == "held_out"


def test_contexts_tell_applications_apart() -> None:
    ranks = SMALL.sample(3_000, seed=1)
    application = np.arange(len(ranks)) % 2
    objective = np.where(application == 0, slow(ranks), 1_000 * slow(ranks, OTHER))
    contexts = np.array([[1.0, 0.5], [3.0, 0.5]])
    model = train_trees(
        TrainingData(
            SMALL,
            ranks,
            objective,
            np.ones(len(ranks), bool),
            applications=("near", "far"),
            contexts=contexts,
            application=application,
        )
    )
    for context, target, unit in zip(contexts, (TARGET, OTHER), (1.0, 1_000.0), strict=True):
        predicted = model.predict(EVERYTHING, context)
        truth = unit * slow(EVERYTHING, target)
        assert kendalltau(predicted.objective, truth).statistic > 0.8
        assert np.median(np.abs(np.log(predicted.objective / truth))) < 0.3
        assert (predicted.feasible_probability == 1.0).all()
    with pytest.raises(DataError, match=r"shape \(0,\) was given; the trees need 2 finite numbers"):
        model.predict(EVERYTHING)
    with pytest.raises(DataError, match="2 finite numbers"):
        model.search_score(EVERYTHING, [1.0, np.nan])


def test_values_without_order_split_into_any_sets() -> None:
    space = pf.DesignSpace.from_toml(
        'name = "mixed"\n[[parameter]]\nname = "kind"\nkind = "categorical"\n'
        'values = ["a", "b", "c", "d", "e", "f"]\n'
        '[[parameter]]\nname = "size"\nvalues = [1, 2, 3, 4, 5, 6, 7, 8]\n'
    )
    everything = space.ranks(np.arange(space.size, dtype=np.uint64))
    log = np.tile(everything, (20, 1))
    fast = np.isin(log[:, 0], [0, 2, 5])
    objective = np.where(fast, 1.0, 10.0) * (1.0 + log[:, 1])
    model = train_trees(TrainingData(space, log, objective, np.ones(len(log), bool)))
    predicted = model.predict(everything).objective
    assert np.allclose(predicted, objective[: len(everything)], rtol=0.2)


def test_limits_on_learned_metrics_gate_the_search() -> None:
    ranks = SMALL.sample(1_500, seed=1)
    power: Floats = np.asarray(5.0 + 10.0 * ranks[:, 1], np.float64)
    power[::7] = np.nan
    model = train_trees(TrainingData(SMALL, ranks, slow(ranks), passes(ranks), metrics={"power_mw": power}))
    truth = 5.0 + 10.0 * EVERYTHING[:, 1]
    assert np.allclose(model.predict(EVERYTHING).metrics["power_mw"], truth, rtol=0.1)
    _, free = model.search_score(EVERYTHING)
    _, limited = model.search_score(EVERYTHING, limits={"power_mw": 40.0})
    assert np.array_equal(limited > free, truth > 40.0)


def test_a_log_of_ten_designs_is_enough() -> None:
    ranks = SMALL.sample(10, seed=5)
    model = train_trees(TrainingData(SMALL, ranks, slow(ranks), np.ones(10, bool)))
    predicted = model.predict(ranks)
    assert np.isfinite(predicted.objective).all()
    assert np.ptp(predicted.objective) > 0.0


def test_unusable_calls_are_refused(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigurationError, match="limit power_mw: the trees learned no such metric; they know none"
    ):
        trees.search_score(EVERYTHING, limits={"power_mw": 1.0})
    with pytest.raises(DataError, match="is not below its 9 values"):
        trees.predict(np.full((1, 5), 20))
    with pytest.raises(DataError, match=r"shape \(1,\) was given; the trees need 0"):
        trees.predict(EVERYTHING, [1.0])
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'prime-fast\[baselines\]'"):
        train_trees(logged())
