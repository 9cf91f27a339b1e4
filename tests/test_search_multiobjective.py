"""Several objectives: hypervolumes, Pareto fronts by NSGA-II, and the archive of quality and diversity."""

from __future__ import annotations

import itertools
from typing import Any

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from search_problems import (
    FEASIBLE,
    MOBILENET,
    PRIME,
    SMALL,
    Floats,
    Ranks,
    distance,
    distance_and_measures,
    error_of,
    problem,
    same,
    two_distances,
)

from prime_fast.search import Optimizer, SearchResult, hypervolume, minimize

NSGA2, _ = problem("nsga2")
ARCHIVE, _ = problem("quality_diversity")


def non_dominated(points: Floats) -> NDArray[np.bool_]:
    """Say which points no other one dominates, one by one."""
    no_worse = (points[:, None] <= points[None]).all(axis=2)
    better = (points[:, None] < points[None]).any(axis=2)
    return np.logical_not((no_worse & better).any(axis=0))


def sorted_rows(points: Floats) -> Floats:
    return points[np.lexsort(points.T[::-1])]


# --- hypervolume ------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 1 << 32),
    points=st.integers(1, 60),
    objectives=st.sampled_from([2, 3]),
    levels=st.sampled_from([2, 5, 1000]),
    reach=st.sampled_from([0.3, 0.8, 1.0, 2.0]),
)
def test_the_hypervolume_is_moocores(
    seed: int, points: int, objectives: int, levels: int, reach: float
) -> None:
    random = np.random.default_rng(seed)
    # Few levels make for ties; a near reference point leaves points outside.
    array = random.integers(0, levels, (points, objectives)) / levels
    reference = np.full(objectives, reach)
    expected = moocore.hypervolume(array, ref=reference)
    assert hypervolume(array, reference) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    # Neither order nor units nor dominated points make a difference.
    assert hypervolume(array[::-1], reference) == hypervolume(array, reference)
    assert hypervolume(array[non_dominated(array)], reference) == pytest.approx(
        expected, rel=1e-12, abs=1e-15
    )
    assert hypervolume(array * 2 - 7, reference * 2 - 7) == pytest.approx(
        expected * 2.0**objectives, rel=1e-9, abs=1e-9
    )


def test_hypervolumes_known_by_hand() -> None:
    assert hypervolume([[1, 2], [2, 1]], [3, 3]) == 3
    assert hypervolume([[0, 0, 0]], [1, 2, 3]) == 6
    assert hypervolume([[3, 0], [4, 4]], [3, 3]) == 0
    assert hypervolume(np.empty((0, 2)), [1, 1]) == 0
    assert hypervolume([[np.inf, 0.0], [0.0, 0.0]], [1, 1]) == 1


@pytest.mark.parametrize(
    ("points", "reference", "message"),
    [
        ([[1, 2]], [1, 2, 3], "points have shape (1, 2) and the reference point (3,)"),
        ([1, 2], [1, 2], "points have shape (2,)"),
        ([[1]], [2], "a hypervolume takes 2 or 3 objectives, found 1"),
        ([[1] * 4], [2] * 4, "a hypervolume takes 2 or 3 objectives, found 4"),
        ([[1, np.nan]], [2, 2], "objective 1 of point 0 is NaN"),
        ([[1, 1]], [2, np.nan], "objective 1 of the reference point is NaN"),
        ([[1, 1]], [2, np.inf], "objective 1 of the reference point is inf"),
        ([["a", "b"]], [2, 2], "points have dtype <U1; they must be real numbers"),
        (np.ones((1, 2), complex), [2, 2], "points have dtype complex128; they must be real numbers"),
        (np.ma.masked_equal([[1.0, 2.0]], 1), [2, 2], "points are masked in places"),
        ([[1], [1, 2]], [2, 2], "points are no array of numbers"),
        ([[1, 1]], "ab", "the reference point's values have dtype <U2; they must be real numbers"),
        ([[1, 1]], None, "the reference point's values have dtype object; they must be real numbers"),
    ],
)
def test_unusable_points(points: Any, reference: Any, message: str) -> None:
    assert message in error_of(hypervolume, points, reference)


# --- NSGA-II ----------------------------------------------------------------------------------------------


def check_front(found: SearchResult) -> None:
    """Check that the front is that of the record."""
    evaluated = found.evaluated()
    feasible = evaluated.filter(violation=0)
    scores = feasible.select(found.columns).to_numpy()
    keep = non_dominated(scores)
    np.testing.assert_array_equal(sorted_rows(found.found_scores), np.unique(scores[keep], axis=0))
    # Each design of the front bears its own scores.
    front = found.front()
    assert front.columns == [*found.space.names, *found.columns]
    assert front.join(feasible, on=front.columns, how="anti").height == 0


def test_the_front_of_an_exhausted_space_is_that_by_brute_force() -> None:
    found = minimize(SMALL, two_distances, limits={"sum": 10.0}, record=True, **NSGA2)
    assert found.stopped_by == "exhausted"
    assert found.feasible
    check_front(found)
    kept = FEASIBLE[SMALL.metric("sum", FEASIBLE) <= 10]
    scores = two_distances(kept)
    np.testing.assert_array_equal(
        sorted_rows(found.found_scores), np.unique(scores[non_dominated(scores)], axis=0)
    )
    assert len(found.found) > 5
    # The best is that by the first objective.
    assert found.best_score == distance(kept).min() == found.found_scores[:, 0].min()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("objectives", [2, 3])
def test_a_front_holds_what_is_not_dominated(seed: int, objectives: int) -> None:
    def scorer(ranks: Ranks) -> tuple[Floats, Floats]:
        scores = np.column_stack([two_distances(ranks), ranks.sum(axis=1)])[:, :objectives]
        return scores, np.maximum(0.0, ranks[:, 2] - 8.0)

    names = ["near", "far", "sum_of_ranks"][:objectives]
    options: dict[str, Any] = {"method": "nsga2", "objective": names, "seed": seed, "record": True}
    found = minimize(SMALL, scorer, evaluations=1500, batch=100, population=100, **options)
    assert found.columns == names
    assert (found.found[:, 2] <= 8).all()
    assert (found.violations == 0).all()
    check_front(found)


def test_nsga2_comes_near_the_whole_front() -> None:
    scores = two_distances(FEASIBLE)
    reference = (300.0, 300.0)
    whole = hypervolume(scores, reference)
    found = [
        minimize(SMALL, two_distances, evaluations=3000, batch=100, seed=s, population=100, **NSGA2)
        for s in range(3)
    ]
    by_chance = two_distances(
        SMALL.ranks(np.random.default_rng(0).choice(SMALL.size, 3000).astype(np.uint64))
    )
    for result in found:
        share = result.hypervolume(reference) / whole
        assert share > 0.995
        assert share > hypervolume(by_chance, reference) / whole


def test_nothing_feasible_leaves_the_front_empty() -> None:
    found = minimize(
        SMALL, lambda r: (two_distances(r), 1.0 + r.sum(axis=1)), evaluations=300, batch=100, **NSGA2
    )
    assert not found.feasible
    assert found.front().height == 0
    assert found.hypervolume((300, 300)) == 0
    # An objective of infinity is infeasible, whichever it is.
    for position in (0, 1):

        def scorer(ranks: Ranks, position: int = position) -> Floats:
            scores = two_distances(ranks)
            scores[ranks[:, 0] > 3, position] = np.inf
            return scores

        found = minimize(SMALL, scorer, evaluations=2000, batch=200, **NSGA2)
        assert (found.found[:, 0] <= 3).all()
        assert (found.designs[:, 0] <= 3).all()
        assert np.isfinite(found.found_scores).all()


def test_hypervolume_of_a_result() -> None:
    found = minimize(SMALL, two_distances, evaluations=1000, **NSGA2)
    expected = moocore.hypervolume(found.found_scores, ref=[200.0, 150.0])
    assert expected > 0
    for reference in [
        (200.0, 150.0),
        [200, 150],
        np.array([200.0, 150.0]),
        {"near": 200.0, "far": 150.0},
        {"far": 150, "near": 200},
    ]:
        assert found.hypervolume(reference) == pytest.approx(expected, rel=1e-12)  # type: ignore[arg-type]
    assert error_of(found.hypervolume, {"near": 1.0}) == (
        "the reference point names near; it must name near, far"
    )
    assert "it must name near, far" in error_of(found.hypervolume, {"near": 1.0, "far": 1.0, "other": 1.0})
    assert "shape" in error_of(found.hypervolume, (1.0, 2.0, 3.0))
    assert "NaN" in error_of(found.hypervolume, (1.0, np.nan))
    single = minimize(SMALL, distance, evaluations=100)
    assert "2 or 3" in error_of(single.hypervolume, (1.0,))
    for nothing in ("ab", None):
        assert error_of(found.hypervolume, nothing) == (
            f"the reference point is {nothing!r}; it must give a number for each of near, far"
        )
    assert "must be real numbers" in error_of(found.hypervolume, {"near": "a", "far": 1.0})
    # An archive's measures are no objectives.
    archive = minimize(SMALL, distance_and_measures, evaluations=200, **ARCHIVE)
    assert error_of(archive.hypervolume, (1.0, 2.0, 3.0)) == (
        "a hypervolume is of 2 or 3 objectives; left and middle are measures of an archive"
    )


@pytest.mark.parametrize("second", ["area_mm2", "energy_uj"])
def test_a_simulator_gives_several_objectives(second: str) -> None:
    objective = ["latency_us", second]
    options: dict[str, Any] = {"limits": {"area_mm2": 40.0}, "method": "nsga2", "objective": objective}
    found = minimize(PRIME, MOBILENET, evaluations=6000, record=True, **options)
    scores = MOBILENET.score(found.found)
    np.testing.assert_array_equal(found.found_scores[:, 0], scores.latency_us)
    np.testing.assert_array_equal(found.found_scores[:, 1], getattr(scores, second))
    assert scores.feasible.all()
    assert (scores.area_mm2 <= 40).all()
    check_front(found)
    for threads in (1, 8):
        assert same(minimize(PRIME, MOBILENET, evaluations=6000, threads=threads, **options), found)
    limited = minimize(
        PRIME, MOBILENET, evaluations=6000, **options | {"limits": {"area_mm2": 40.0, "peak_power_mw": 900.0}}
    )
    assert (MOBILENET.score(limited.found).peak_power_mw <= 900).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objective": "near"}, "NSGA-II takes 2 or 3 objectives, found 1"),
        ({"objective": ["near"]}, "NSGA-II takes 2 or 3 objectives, found 1"),
        ({"objective": ["a", "b", "c", "d"]}, "NSGA-II takes 2 or 3 objectives, found 4"),
        ({"objective": ["a", "a"]}, "objective and measures a, a: a name stands twice"),
        ({"objective": ["a", "p1"]}, "p1"),
        ({"objective": ["a", "b"], "measures": ARCHIVE["measures"]}, "measures"),
        ({"objective": ["a", "b"], "population": 0}, "population is 0; it must be at least 1"),
    ],
)
def test_unusable_objectives(arguments: dict[str, Any], message: str) -> None:
    assert message in error_of(Optimizer, SMALL, "nsga2", **arguments)


def test_a_target_is_for_one_objective() -> None:
    for stop in ({"target": 3.0}, {"stagnation": 100}):
        for setup, scorer in [(NSGA2, two_distances), (ARCHIVE, distance_and_measures)]:
            message = error_of(minimize, SMALL, scorer, **setup, **stop)
            assert "for a single one" in message


# --- quality and diversity --------------------------------------------------------------------------------


def check_archive(found: SearchResult, measures: dict[str, tuple[float, float, int]]) -> int:
    """Check that the elites are those of the record; return how many cells are filled."""
    evaluated = found.evaluated().filter(violation=0)
    score, *names = found.columns
    cells: dict[tuple[int, ...], tuple[float, int]] = {}
    indices = found.space.indices(found.space.ranks_from_frame(evaluated)).tolist()
    for row, index in zip(evaluated.iter_rows(named=True), indices, strict=True):
        cell = []
        for name in names:
            low, high, bins = measures[name]
            cell.append(min(max(int((row[name] - low) / (high - low) * bins // 1), 0), bins - 1))
        cells[tuple(cell)] = min(cells.get(tuple(cell), (np.inf, 0)), (row[score], index))
    # By cell, in order.
    expected = [cells[cell] for cell in sorted(cells)]
    actual = zip(found.found_scores[:, 0].tolist(), found.space.indices(found.found).tolist(), strict=True)
    assert list(actual) == expected
    return len(cells)


def test_an_archive_keeps_the_best_of_each_cell() -> None:
    measures = ARCHIVE["measures"]
    found = minimize(SMALL, distance_and_measures, evaluations=2000, batch=100, record=True, **ARCHIVE)
    assert found.columns == ["near", "left", "middle"]
    assert check_archive(found, measures) == 12
    np.testing.assert_array_equal(found.found_scores, distance_and_measures(found.found))
    assert found.front().columns == [*SMALL.names, "near", "left", "middle"]
    assert found.best_score == found.found_scores[:, 0].min()
    # All of a small space: the archive by brute force.
    whole = minimize(SMALL, distance_and_measures, evaluations=10**6, record=True, **ARCHIVE)
    assert whole.stopped_by == "exhausted"
    assert whole.evaluations == len(FEASIBLE)
    check_archive(whole, measures)
    assert (whole.found_scores[:, 0] <= found.found_scores[:, 0]).all()


def test_values_outside_their_range_fall_into_the_nearest_cell() -> None:
    measures = {"left": (4.0, 8.0, 4), "middle": (3.0, 9.0, 2)}
    options: dict[str, Any] = {"method": "quality_diversity", "objective": "near", "measures": measures}
    found = minimize(SMALL, distance_and_measures, evaluations=1000, record=True, **options)
    assert check_archive(found, measures) == 8


def test_an_archive_of_the_simulators_designs() -> None:
    measures = {"area_mm2": (0.0, 60.0, 12), "average_power_mw": (0.0, 4000.0, 8)}
    options: dict[str, Any] = {"method": "quality_diversity", "measures": measures, "record": True}
    found = minimize(PRIME, MOBILENET, limits={"area_mm2": 60.0}, evaluations=8000, **options)
    assert found.columns == ["latency_us", "area_mm2", "average_power_mw"]
    assert check_archive(found, measures) > 12
    scores = MOBILENET.score(found.found)
    for position, name in enumerate(found.columns):
        np.testing.assert_array_equal(found.found_scores[:, position], getattr(scores, name))


def test_an_archive_holds_feasible_designs_only() -> None:
    found = minimize(
        SMALL,
        lambda r: (distance_and_measures(r), np.maximum(0.0, r[:, 0] - 2.0)),
        evaluations=1500,
        record=True,
        **ARCHIVE,
    )
    assert (found.found[:, 0] <= 2).all()
    check_archive(found, ARCHIVE["measures"])


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        (None, "measures"),
        ({"left": (0.0, 1.0, 3)}, "measures"),
        (dict.fromkeys("abc", (0.0, 1.0, 3)), "measures"),
        ({"left": (0.0, 1.0, 3), "near": (0.0, 1.0, 3)}, "a name stands twice"),
        ({"left": (0.0, 1.0, 3), "p1": (0.0, 1.0, 3)}, "p1"),
        (
            {"left": (0.0, 1.0), "right": (0.0, 1.0, 3)},
            "measure left is (0.0, 1.0); it must be (low, high, bins)",
        ),
        (
            {"left": (0.0, "x", 3), "right": (0.0, 1.0, 3)},
            "range of measure left is 'x'; it must be a number",
        ),
        ({"left": 3, "right": (0.0, 1.0, 3)}, "it must be (low, high, bins)"),
        ({"left": (1.0, 1.0, 3), "right": (0.0, 1.0, 3)}, "measure left has the range 1 to 1"),
        ({"right": (0.0, 1.0, 3), "left": (2.0, 1.0, 3)}, "measure left has the range 2 to 1"),
        ({"left": (0.0, np.inf, 3), "right": (0.0, 1.0, 3)}, "it must be finite"),
        ({"left": (np.nan, 1.0, 3), "right": (0.0, 1.0, 3)}, "it must be finite"),
        ({"left": (0.0, 1.0, 0), "right": (0.0, 1.0, 3)}, "at least 1"),
        ({"left": (0.0, 1.0, -2), "right": (0.0, 1.0, 3)}, "left"),
        ({"left": (0.0, 1.0, 2.5), "right": (0.0, 1.0, 3)}, "left"),
        ({"left": (0.0, 1.0, 1 << 40), "right": (0.0, 1.0, 1 << 40)}, "cells"),
        ({"left": (0.0, 1.0, 1 << 90), "right": (0.0, 1.0, 3)}, "left"),
        ({"left": (0.0, 10**400, 3), "right": (0.0, 1.0, 3)}, "range of measure left is beyond 1.797"),
        ({"": (0.0, 1.0, 3), "right": (0.0, 1.0, 3)}, "'' is no name"),
        ([("left", 0.0, 1.0, 3)], "measures are [('left', 0.0, 1.0, 3)]; they must be a mapping by name"),
    ],
)
def test_unusable_measures(measures: Any, message: str) -> None:
    found = error_of(Optimizer, SMALL, "quality_diversity", objective="near", measures=measures)
    assert message in found


def test_an_archive_takes_one_objective() -> None:
    for objective in ([], ["near", "far"]):
        error_of(Optimizer, SMALL, "quality_diversity", objective=objective, measures=ARCHIVE["measures"])
    message = error_of(minimize, PRIME, MOBILENET, **ARCHIVE | {"objective": "latency_us"})
    assert "left" in message


@pytest.mark.parametrize("setup", [NSGA2, ARCHIVE])
def test_starts_take_part(setup: dict[str, Any]) -> None:
    scorer = two_distances if setup is NSGA2 else distance_and_measures
    names = Optimizer(SMALL, **setup).columns
    best = FEASIBLE[np.argsort(distance(FEASIBLE), kind="stable")[:50]]
    columns = {name: scorer(best)[:, position] for position, name in enumerate(names)}
    frame = SMALL.frame(best).with_columns(**columns)
    found = minimize(SMALL, scorer, start=frame, evaluations=200, record=True, **setup)
    assert found.evaluations == 200
    assert found.best_score == 0
    assert (found.found_scores[:, 0] == 0).any()
    if setup is NSGA2:
        check_front(found)
    else:
        check_archive(found, setup["measures"])
    # A frame without one of the columns gives designs alone.
    found = minimize(SMALL, scorer, start=frame.drop(names[1]), evaluations=200, record=True, **setup)
    np.testing.assert_array_equal(SMALL.ranks_from_frame(found.evaluated())[:50], best)


def test_violations_lead_where_nothing_is_feasible_yet() -> None:
    # One design in 1,890 is feasible.
    def scorer(ranks: Ranks) -> tuple[Floats, Floats]:
        return two_distances(ranks), np.abs(ranks[:, [0, 1, 2]] - [7.0, 2.0, 10.0]).sum(axis=1)

    found = 0
    for seed in range(5):
        run = minimize(SMALL, scorer, evaluations=3000, batch=100, seed=seed, population=50, **NSGA2)
        found += run.feasible
        assert (run.found[:, :3] == [7, 2, 10]).all()
    assert found == 5


def test_all_objective_orders_give_the_same_front() -> None:
    fronts = []
    for order in itertools.permutations([0, 1]):
        names = [["near", "far"][position] for position in order]

        def scorer(ranks: Ranks, order: tuple[int, ...] = order) -> Floats:
            return two_distances(ranks)[:, list(order)]

        whole = minimize(SMALL, scorer, limits={"sum": 14.0}, method="nsga2", objective=names)
        fronts.append(whole.front().select("near", "far").sort("near", "far").unique(maintain_order=True))
    assert fronts[0].equals(fronts[1])
