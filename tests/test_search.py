"""Search from Python: what a run finds, why it ends, where it starts, what is written down of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from search_problems import (
    FEASIBLE,
    MOBILENET,
    PRIME,
    SINGLE,
    SMALL,
    TARGET,
    Floats,
    Ranks,
    distance,
    error_of,
    problem,
    same,
)

import prime_fast as pf
from prime_fast.logs import bundled_log, read_log
from prime_fast.search import METHODS, SearchResult, minimize


class Recorder:
    """A scorer that keeps what it was given."""

    def __init__(self, scorer: Any = distance) -> None:
        self.scorer = scorer
        self.batches: list[Ranks] = []

    def __call__(self, ranks: Ranks) -> Any:
        self.batches.append(ranks)
        return self.scorer(ranks)

    @property
    def ranks(self) -> Ranks:
        return np.concatenate(self.batches) if self.batches else np.empty((0, 5), np.uint8)


# --- what is found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_of_a_separable_problem_is_found(seed: int) -> None:
    found = minimize(SMALL, distance, evaluations=3000, batch=200, seed=seed)
    assert found.best == dict(zip(SMALL.names, TARGET.tolist(), strict=True))
    assert found.best_score == 0
    assert found.feasible
    assert found.note is None
    assert (found.evaluations, found.stopped_by) == (3000, "evaluations")
    # The kept designs are distinct, in order, and bear their own scores.
    assert found.designs.shape == (16, 5)
    assert len(set(SMALL.indices(found.designs).tolist())) == 16
    assert (np.diff(found.scores) >= 0).all()
    np.testing.assert_array_equal(found.scores, distance(found.designs))
    assert (found.violations == 0).all()
    # Each improvement is one.
    evaluations, scores = zip(*found.history, strict=True)
    assert list(evaluations) == sorted(set(evaluations))
    assert list(scores) == sorted(set(scores), reverse=True)
    assert scores[-1] == 0
    assert 0 <= found.scoring_seconds <= found.seconds
    assert found.front().row(0, named=True) == found.best | {"latency_us": 0.0}


@pytest.mark.parametrize("method", [method for method in SINGLE if method != "random"])
def test_every_method_beats_chance(method: str) -> None:
    def total(method: str) -> float:
        # A thirtieth of the space, in batches small enough for methods that learn from each.
        runs = (
            minimize(SMALL, distance, method=method, evaluations=1000, batch=20, seed=seed)
            for seed in range(8)
        )
        return sum(run.best_score for run in runs)

    assert total(method) < 0.5 * total("random")


@pytest.mark.parametrize("method", METHODS)
def test_batches_are_as_asked_and_designs_come_once(method: str) -> None:
    options, score = problem(method)
    scorer = Recorder(score)
    progress: list[tuple[int, float | None, float]] = []

    def callback(evaluations: int, best: float | None, seconds: float) -> None:
        progress.append((evaluations, best, seconds))

    found = minimize(SMALL, scorer, evaluations=1000, batch=300, callback=callback, **options)
    assert [batch.shape for batch in scorer.batches] == [(300, 5), (300, 5), (300, 5), (100, 5)]
    assert {batch.dtype for batch in scorer.batches} == {np.dtype(np.uint8)}
    assert len(set(SMALL.indices(scorer.ranks).tolist())) == found.evaluations == 1000
    assert (SMALL.check(scorer.ranks) == -1).all()
    evaluations, best, seconds = zip(*progress, strict=True)
    assert evaluations == (300, 600, 900, 1000)
    assert best == tuple(distance(scorer.ranks[:n]).min() for n in evaluations)
    assert list(seconds) == sorted(seconds)
    # The result is that of what was scored.
    order = np.lexsort([SMALL.indices(scorer.ranks), distance(scorer.ranks)])[:16]
    np.testing.assert_array_equal(found.designs, scorer.ranks[order])
    lowest = np.minimum.accumulate(distance(scorer.ranks))
    first = np.flatnonzero(np.diff(lowest, prepend=np.inf) < 0)
    assert found.history == [(row + 1, lowest[row]) for row in first.tolist()]


def test_a_kick_of_more_parameters_than_the_space_has_is_one_of_all() -> None:
    def scored(kick: int) -> pl.DataFrame:
        options: dict[str, Any] = {
            "method": "local_search",
            "evaluations": 2000,
            "batch": 100,
            "record": True,
        }
        return minimize(SMALL, distance, kick=kick, **options).evaluated()

    assert scored(2**32 - 1).equals(scored(5))
    assert not scored(4).equals(scored(5))


def test_a_space_of_more_than_256_values() -> None:
    text = 'name = "wide"\n' + "".join(
        f'[[parameter]]\nname = "p{i}"\nvalues = {list(range(1000))}\n' for i in range(3)
    )
    space = pf.DesignSpace.from_toml(text)

    def scorer(ranks: Ranks) -> Floats:
        assert ranks.dtype == np.uint16
        return np.asarray(np.abs(ranks.astype(np.float64) - [700, 3, 999]).sum(axis=1))

    found = minimize(space, scorer, evaluations=20_000, batch=500, population=100)
    assert found.best_score <= 5
    assert found.designs.dtype == np.uint16


@pytest.mark.parametrize("objective", ["latency_us", "energy_uj", "area_mm2"])
def test_threads_make_no_difference(objective: str) -> None:
    def run(threads: int | None, seed: int = 4) -> SearchResult:
        limits = {"area_mm2": 29.0}
        return minimize(
            PRIME, MOBILENET, limits=limits, evaluations=6000, seed=seed, threads=threads, objective=objective
        )

    one = run(1)
    assert all(same(run(threads), one) for threads in (2, 8, None))
    assert not same(run(1, seed=5), one)
    scores = MOBILENET.score(one.designs)
    np.testing.assert_array_equal(one.scores, getattr(scores, objective))
    assert (scores.area_mm2 <= 29).all()


@pytest.mark.parametrize("method", SINGLE)
def test_threads_make_no_difference_to_any_method(method: str) -> None:
    options: dict[str, Any] = {"limits": {"area_mm2": 29.0}, "evaluations": 9000, "batch": 1500}
    runs = [minimize(PRIME, MOBILENET, method=method, threads=threads, **options) for threads in (1, 2, 8)]
    assert same(runs[0], runs[1])
    assert same(runs[0], runs[2])


def test_power_and_energy_can_be_limited() -> None:
    area = {"area_mm2": 29.0}
    free = minimize(PRIME, MOBILENET, limits=area, evaluations=6000)
    scores = MOBILENET.score(free.designs[:1])
    for output, share in {"average_power_mw": 0.7, "peak_power_mw": 0.7, "energy_uj": 0.95}.items():
        limit = share * getattr(scores, output)[0]
        found = minimize(PRIME, MOBILENET, limits=area | {output: limit}, evaluations=6000)
        assert found.feasible
        assert found.best_score > free.best_score
        assert getattr(MOBILENET.score(found.designs[:1]), output)[0] <= limit
    hopeless = minimize(PRIME, MOBILENET, limits=area | {"latency_us": 1.0}, evaluations=2000)
    assert not hopeless.feasible


def test_a_simulator_and_its_score_function_find_the_same() -> None:
    def scorer(ranks: Ranks) -> tuple[Floats, Floats]:
        scores = MOBILENET.score(ranks)
        return scores.latency_us, MOBILENET.violation(ranks)

    options: dict[str, Any] = {"limits": {"area_mm2": 20.0}, "evaluations": 3000, "batch": 500, "seed": 1}
    assert same(minimize(PRIME, scorer, **options), minimize(PRIME, MOBILENET, **options))


@pytest.mark.parametrize("seed", [-1, 0, 1 << 64, (1 << 200) + 17, np.int64(3), np.uint8(200)])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    found = [minimize(SMALL, distance, evaluations=300, batch=100, seed=seed) for _ in range(2)]
    assert same(*found)
    assert not same(found[0], minimize(SMALL, distance, evaluations=300, batch=100, seed=int(seed) + 1))
    assert same(found[0], minimize(SMALL, distance, evaluations=300, batch=100, seed=int(seed)))


@pytest.mark.parametrize("application", pf.prime_application_names())
def test_the_search_converges(application: str) -> None:
    simulator = pf.Simulator(application)
    limits = {"area_mm2": 29.0}
    runs = [minimize(PRIME, simulator, limits=limits, evaluations=50_000, seed=seed) for seed in range(5)]
    assert all(run.feasible and run.evaluations == 50_000 for run in runs)
    # The optimum with proof; `solve` and `score` round differently.
    best = pf.solve(application, limits=limits).score
    assert sum(run.best_score <= (1 + 1e-12) * best for run in runs) >= 4
    by_chance = minimize(PRIME, simulator, limits=limits, evaluations=50_000, method="random")
    assert by_chance.best_score >= (1 - 1e-12) * best


# --- why it ends ------------------------------------------------------------------------------------------


def test_a_target_ends_the_run() -> None:
    free = minimize(SMALL, distance, evaluations=2000, batch=50, seed=3)
    target = free.history[-2][1]
    found = minimize(SMALL, distance, evaluations=2000, batch=50, seed=3, target=target)
    assert found.stopped_by == "target"
    assert found.best_score <= target
    # Within the batch that reached it, and no later.
    reached = next(evaluations for evaluations, score in free.history if score <= target)
    assert found.evaluations == -(-reached // 50) * 50
    # What is infeasible reaches no target.
    found = minimize(SMALL, lambda r: (distance(r), np.ones(len(r))), evaluations=200, target=1e9)
    assert found.stopped_by == "evaluations"


def test_time_ends_the_run() -> None:
    def scorer(ranks: Ranks) -> Floats:
        time.sleep(0.02)
        return distance(ranks)

    found = minimize(SMALL, scorer, batch=10, seconds=0.05)
    assert found.stopped_by == "time"
    assert 10 <= found.evaluations <= 30
    assert found.seconds >= found.scoring_seconds >= 0.05


def test_stagnation_ends_the_run() -> None:
    found = minimize(SMALL, distance, evaluations=20_000, batch=100, stagnation=1000)
    assert found.stopped_by == "stagnation"
    since = found.evaluations - found.history[-1][0]
    assert 1000 <= since < 1100
    # Nothing ever being feasible is no progress either.
    found = minimize(SMALL, lambda r: (distance(r), np.ones(len(r))), batch=100, stagnation=250)
    assert (found.stopped_by, found.evaluations) == ("stagnation", 300)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("overlap", [False, True])
def test_a_space_is_exhausted_exactly(method: str, overlap: bool) -> None:
    options, score = problem(method)
    scorer = Recorder(score)
    limits = {"sum": 9.0}
    found = minimize(SMALL, scorer, limits=limits, evaluations=10**6, batch=700, overlap=overlap, **options)
    kept = FEASIBLE[SMALL.metric("sum", FEASIBLE) <= 9]
    assert (found.evaluations, found.stopped_by) == (len(kept), "exhausted")
    assert sorted(SMALL.indices(scorer.ranks)) == sorted(SMALL.indices(kept))


@pytest.mark.parametrize("method", METHODS)
def test_a_space_of_one_design(method: str) -> None:
    one = pf.DesignSpace.from_toml('name = "one"\n[[parameter]]\nname = "p"\nvalues = [3]\n')
    options, _ = problem(method)
    columns = 2 if method == "nsga2" else 3
    shape = (lambda n: n) if method in SINGLE else (lambda n: (n, columns))
    found = minimize(one, lambda ranks: np.zeros(shape(len(ranks))), **options)
    assert (found.evaluations, found.best, len(found.scores)) == (1, {"p": 3}, 1)
    assert found.stopped_by == "exhausted"


@pytest.mark.parametrize("method", METHODS)
def test_a_population_larger_than_the_space(method: str) -> None:
    if "population" not in error_of(minimize, SMALL, distance, method=method, populatoin=3):
        return  # it has none
    options, scorer = problem(method)
    found = minimize(SMALL, scorer, limits={"sum": 6.0}, population=100_000, **options)
    assert found.stopped_by == "exhausted"
    assert found.evaluations == (SMALL.metric("sum", FEASIBLE) <= 6).sum()


@pytest.mark.parametrize(
    ("method", "space", "limits"),
    [
        *((method, SMALL, {"sum": 1.0}) for method in METHODS),
        # Too many designs to look at all of them: an evolution towards the limits ends in vain.
        *(
            (method, PRIME, {"area_mm2": 0.1})
            for method in METHODS
            if method in ("genetic", "annealing", "nsga2")
        ),
    ],
)
def test_limits_that_nothing_meets_give_the_nearest_design(
    method: str, space: pf.DesignSpace, limits: dict[str, float]
) -> None:
    options, _ = problem(method)
    scorer = Recorder()
    found = minimize(space, scorer, limits=limits, **options)
    assert scorer.batches == []
    assert (found.stopped_by, found.evaluations, found.history) == ("infeasible", 0, [])
    assert not found.feasible
    assert found.designs.shape == (1, len(space.names))
    assert np.isnan(found.best_score)
    assert found.front().height == 0
    assert found.note is not None
    assert found.note.startswith("no design meets the constraints and limits: of ")
    assert f"the nearest misses by {found.violations[0]:.6f} (" in found.note
    assert " ".join(f"{name}={value}" for name, value in found.best.items()) in found.note
    if space is SMALL:
        assert found.designs.sum() <= 2  # 1 too many, or a constraint of the space broken by 1


@pytest.mark.parametrize("method", METHODS)
def test_nothing_feasible_gives_the_least_violation(method: str) -> None:
    options, score = problem(method)
    scorer = Recorder(lambda ranks: (score(ranks), 1.0 + ranks.sum(axis=1)))
    found = minimize(SMALL, scorer, evaluations=500, batch=100, **options)
    assert not found.feasible
    assert found.history == []
    assert found.front().height == 0
    np.testing.assert_array_equal(found.violations, np.sort(1.0 + scorer.ranks.sum(axis=1))[:16])
    np.testing.assert_array_equal(found.violations, 1.0 + found.designs.sum(axis=1))


# --- where it starts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_start_designs_are_scored_first(method: str) -> None:
    options, score = problem(method)
    start = SMALL.sample(40, seed=5)
    kept = start[SMALL.check(start) == -1]
    assert 0 < len(kept) < 41
    scorer = Recorder(score)
    minimize(SMALL, scorer, evaluations=200, batch=15, start=start, **options)
    np.testing.assert_array_equal(scorer.ranks[: len(kept)], kept)
    assert len(set(SMALL.indices(scorer.ranks).tolist())) == 200


@pytest.mark.parametrize("method", SINGLE)
def test_scores_that_are_known_are_not_asked_for(method: str) -> None:
    logged = SMALL.sample(300, seed=1)
    logged = logged[np.sort(np.unique(SMALL.indices(logged), return_index=True)[1])]
    near = distance(logged)
    # Infeasible rows: said so, without a score, infinite.
    feasible = np.arange(len(logged)) % 7 != 0
    scores = pl.Series("near", near).set(pl.Series(np.arange(len(logged)) % 11 == 0), None)
    frame = SMALL.frame(logged).with_columns(scores, pl.Series("feasible", feasible))
    scorer = Recorder()
    start = frame.sample(fraction=1, shuffle=True, seed=1)
    found = minimize(
        SMALL, scorer, evaluations=400, batch=100, start=start, method=method, objective="near", record=True
    )
    assert found.evaluations == len(scorer.ranks) == 400
    known = set(SMALL.indices(logged[SMALL.check(logged) == -1]).tolist())
    assert not known & set(SMALL.indices(scorer.ranks).tolist())
    # They take part from the start: in the history before the first evaluation, in the best, in the record.
    usable = feasible & (np.arange(len(logged)) % 11 != 0) & (SMALL.check(logged) == -1)
    assert min(score for evaluations, score in found.history if evaluations == 0) == near[usable].min()
    everything = np.concatenate([near[usable], distance(scorer.ranks)])
    np.testing.assert_array_equal(found.scores, np.sort(everything)[:16])
    evaluated = found.evaluated()
    assert evaluated.height == 400 + len(known)
    assert evaluated.filter(violation=0).height == 400 + usable.sum()


def test_a_log_is_a_start() -> None:
    log = bundled_log("MobileNetV2")
    best = log.best({"area_mm2": 29.0})
    assert best is not None
    options: dict[str, Any] = {"limits": {"area_mm2": 29.0}, "evaluations": 2000}
    found = minimize(PRIME, MOBILENET, start=log, **options)
    assert found.history[0][0] == 0
    assert found.best_score <= best["latency_us"]
    assert found.evaluations == 2000
    # The log's figures stand, whatever the scorer would have said.
    stubborn = minimize(
        PRIME, lambda r: np.full(len(r), 1e9), start=log, limits={"area_mm2": 29.0}, evaluations=50
    )
    assert stubborn.best_score == best["latency_us"]
    assert stubborn.best == {name: best[name] for name in PRIME.names}


def test_a_log_that_was_read_is_a_start(tmp_path: Path) -> None:
    ranks = MOBILENET.score(PRIME.sample(500, 3))
    assert ranks.feasible.any()
    frame = PRIME.frame(PRIME.sample(500, 3)).with_columns(
        pl.Series("latency_us", ranks.latency_us).fill_nan(None), pl.Series("feasible", ranks.feasible)
    )
    frame.write_parquet(tmp_path / "log.parquet")
    log = read_log(tmp_path / "log.parquet", space=PRIME)
    found = minimize(PRIME, MOBILENET, start=log, evaluations=100, batch=50)
    assert found.history[0][0] == 0
    assert found.best_score <= np.nanmin(ranks.latency_us)


# --- what is written down ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("overlap", [False, True])
def test_the_record_is_what_the_scorer_saw(method: str, overlap: bool) -> None:
    options, score = problem(method)
    scorer = Recorder(lambda ranks: (score(ranks), np.maximum(0.0, ranks[:, 0] - 6.0)))
    found = minimize(SMALL, scorer, evaluations=500, batch=120, record=True, overlap=overlap, **options)
    evaluated = found.evaluated()
    assert evaluated.columns == [*SMALL.names, *found.columns, "violation"]
    np.testing.assert_array_equal(SMALL.ranks_from_frame(evaluated), scorer.ranks)
    scores = score(scorer.ranks).reshape(500, -1)
    np.testing.assert_array_equal(evaluated.select(found.columns).to_numpy(), scores)
    np.testing.assert_array_equal(evaluated["violation"], np.maximum(0.0, scorer.ranks[:, 0] - 6.0))
    # An exact record starts another run, which scores nothing of it again.
    again = Recorder(score)
    start = evaluated.with_columns(feasible=pl.col("violation") == 0)
    minimize(SMALL, again, evaluations=200, batch=100, start=start, **options)
    assert not set(SMALL.indices(scorer.ranks).tolist()) & set(SMALL.indices(again.ranks).tolist())


def test_nothing_is_recorded_unasked() -> None:
    found = minimize(SMALL, distance, evaluations=100)
    message = error_of(found.evaluated)
    assert message == (
        "the designs scored were not recorded; call minimize with record=True, or use an Optimizer"
    )


def test_searches_run_in_threads() -> None:
    def run(seed: int) -> SearchResult:
        return minimize(SMALL, distance, evaluations=600, batch=100, seed=seed)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, range(8)))
    assert all(same(result, run(seed)) for seed, result in enumerate(found))
