"""Online search: what counts as a query, what the curve says, and what is refused."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from search_problems import FEASIBLE, MOBILENET, PRIME, SMALL, Floats, Ranks, distance

import prime_fast as pf
from prime_fast import ConfigurationError, DataError, NoFeasibleDesignError
from prime_fast.benchmark.online import ONLINE_METHODS, SimulatedObjective, online_search

pytest.importorskip("optuna", reason="the extra `baselines` is not installed")

METHODS = tuple(ONLINE_METHODS)


class Recorder:
    """A score that fails for a third of the designs, and remembers what it was asked."""

    def __init__(self) -> None:
        self.designs: list[Any] = []
        self.scores: list[float] = []

    def __call__(self, ranks: Ranks) -> Floats:
        scores = np.where(ranks[:, 2] % 3 == 0, np.nan, 1.0 + distance(ranks))
        self.designs += [tuple(design) for design in ranks.tolist()]
        self.scores += scores.tolist()
        return scores


@pytest.mark.parametrize("method", METHODS)
def test_each_design_asked_counts_once_and_the_curve_is_the_best_so_far(method: str) -> None:
    asked = Recorder()
    found = online_search(method, asked, SMALL, {"sum": 20.0}, queries=90, seed=4)
    assert found.queries == found.asked == len(asked.designs) == 90
    assert found.stopped_by == "queries"
    # Free: what breaks a constraint or a limit is never asked, nor anything twice.
    ranks: Ranks = np.array(asked.designs, SMALL.rank_dtype)
    assert len(np.unique(SMALL.indices(ranks))) == 90
    assert (SMALL.check(ranks) == -1).all()
    assert SMALL.metric("sum", ranks).max() <= 20.0
    scores = np.array(asked.scores)
    assert 0 < found.feasible == np.isfinite(scores).sum() < 90
    best = np.fmin.accumulate(np.where(np.isnan(scores), np.inf, scores))
    assert [found.best_after(made) for made in range(1, 91)] == best.tolist()
    assert found.score == best[-1]
    assert found.queries_to(found.score) == int(np.argmin(best)) + 1
    assert found.queries_to(0.5) is None
    assert found.best_after(0) == math.inf
    assert found.design is not None
    assert 1.0 + distance(found.design[None])[0] == found.score
    again = online_search(method, Recorder(), SMALL, {"sum": 20.0}, queries=90, seed=4)
    assert again.curve == found.curve
    assert online_search(method, Recorder(), SMALL, {"sum": 20.0}, queries=90, seed=5).curve != found.curve


@pytest.mark.parametrize("method", [method for method in METHODS if method != "bayesian"])
def test_search_ends_when_nothing_is_left_to_ask(method: str) -> None:
    limits = {"sum": 5.0}
    within = int((SMALL.metric("sum", FEASIBLE) <= 5.0).sum())
    found = online_search(method, Recorder(), SMALL, limits, queries=10_000, seed=0)
    assert (found.stopped_by, found.queries) == ("exhausted", within)


def test_bayesian_optimisation_ends_when_nothing_is_left_to_ask() -> None:
    space = pf.DesignSpace.from_toml(
        'name = "tiny"\n[[parameter]]\nname = "a"\nvalues = [1, 2, 3, 4, 5, 6]\n'
        '[[parameter]]\nname = "b"\nkind = "categorical"\nvalues = ["x", "y", "z", "u", "v", "w"]\n'
    )
    found = online_search("bayesian", lambda ranks: 1.0 + ranks.sum(axis=1), space, queries=100)
    assert (found.stopped_by, found.queries, found.score) == ("exhausted", 36, 1.0)


@pytest.mark.parametrize("method", ["genetic", "firefly", "bayesian"])
def test_search_learns_from_what_it_asks(method: str) -> None:
    def score(ranks: Ranks) -> Floats:
        return 1.0 + distance(ranks)

    def middle(name: str) -> float:
        runs = [online_search(name, score, SMALL, queries=150, seed=seed).score for seed in range(5)]
        return float(np.median(runs))

    assert middle(method) < middle("random")


def test_a_design_costs_a_query_of_each_application() -> None:
    both = SimulatedObjective([MOBILENET, pf.Simulator("MobileNetV3")])
    asked = 0

    def counted(ranks: Ranks) -> Floats:
        nonlocal asked
        asked += len(ranks)
        return both(ranks)

    found = online_search("genetic", counted, PRIME, {"area_mm2": 29.0}, queries=101, seed=0, cost=both.cost)
    assert (asked, found.asked, found.queries) == (50, 50, 100)
    assert all(made % 2 == 0 for made, _ in found.curve)
    assert online_search("genetic", both, PRIME, {"area_mm2": 29.0}, queries=101).curve == found.curve
    with pytest.raises(ConfigurationError, match="1 queries are not enough for one design, which costs 2"):
        online_search("genetic", both, PRIME, queries=1)


def test_objective_of_several_applications() -> None:
    simulators = [MOBILENET, pf.Simulator("MobileNetV3")]
    designs = PRIME.sample(500, seed=0)
    a, b = (simulator.score(designs).latency_us for simulator in simulators)
    assert 0 < np.isfinite(a + b).sum() < 500

    def close(objective: SimulatedObjective, expected: Floats) -> bool:
        return np.allclose(objective(designs), expected, equal_nan=True)

    assert close(SimulatedObjective(simulators), np.sqrt(a * b))
    assert close(SimulatedObjective(simulators, "arithmetic"), (a + b) / 2)
    assert close(SimulatedObjective(simulators, "arithmetic", weights=[3, 1]), (3 * a + b) / 4)
    assert close(SimulatedObjective(simulators, "geometric", weights=[3, 1]), (a**3 * b) ** 0.25)
    worst = SimulatedObjective(simulators, "worst", references=[200.0, 400.0])
    assert close(worst, np.maximum(a / 200.0, b / 400.0))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"simulators": []}, "no simulator was given"),
        ({"combine": "median"}, "must be geometric, arithmetic or worst"),
        ({"combine": "worst"}, "needs references"),
        ({"weights": [1.0, 2.0]}, "must be 1 positive"),
        ({"weights": [-1.0]}, "must be 1 positive"),
        ({"combine": "worst", "references": [math.nan]}, "must be 1 positive"),
    ],
)
def test_unusable_objectives_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        SimulatedObjective(**({"simulators": [MOBILENET]} | fields))


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (lambda ranks: np.zeros(len(ranks)), "score 0.0; it must be positive"),
        (lambda ranks: np.full(len(ranks), np.inf), "score inf"),
        (lambda ranks: np.ones(len(ranks) + 1), "scores for"),
        (lambda ranks: np.ones((len(ranks), 2)), "shape"),
        (lambda _ranks: "fast", "real numbers"),
    ],
)
def test_unusable_scores_are_refused(score: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        online_search("genetic", score, SMALL, queries=20)


def test_unusable_arguments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="unknown online method `grid`; known: genetic, firefly"):
        online_search("grid", Recorder(), SMALL)
    with pytest.raises(ConfigurationError, match="queries is 0"):
        online_search("genetic", Recorder(), SMALL, queries=0)
    for method in METHODS:
        with pytest.raises(NoFeasibleDesignError):
            online_search(method, Recorder(), SMALL, {"sum": 1.0}, queries=10)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'prime-fast\[baselines\]'"):
        online_search("bayesian", Recorder(), SMALL)
    assert online_search("genetic", Recorder(), SMALL, queries=20).queries == 20


def test_time_that_is_up_ends_the_search() -> None:
    for method in METHODS:
        found = online_search(method, Recorder(), SMALL, queries=500, seconds=1e-9)
        assert found.stopped_by == "time"
        assert found.queries < 500


def test_all_infeasible_is_a_result_not_an_error() -> None:
    for method in METHODS:
        found = online_search(method, lambda ranks: np.full(len(ranks), np.nan), SMALL, queries=40)
        assert (found.queries, found.feasible, found.design, found.curve) == (40, 0, None, [])
        assert found.score == math.inf
