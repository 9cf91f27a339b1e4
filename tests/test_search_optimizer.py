"""Ask and tell: what is proposed and taken, misuse, and use from within a run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_problems import (
    FEASIBLE,
    MOBILENET,
    PRIME,
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
from prime_fast.search import METHODS, Optimizer, minimize


@settings(deadline=None, max_examples=15)
@given(
    method=st.sampled_from(METHODS),
    limit=st.sampled_from([0.95, 1.2, 5.0, 29.0, 100.0]),
    seed=st.integers(-10, 10),
    sizes=st.lists(st.integers(1, 400), min_size=3, max_size=8),
)
def test_asked_designs_are_new_and_within_the_limits(
    method: str, limit: float, seed: int, sizes: list[int]
) -> None:
    options, _ = problem(method)
    optimizer = Optimizer(PRIME, seed=seed, limits={"area_mm2": limit}, **options)
    seen: set[int] = set()
    for size in sizes:
        ranks = optimizer.ask(size)
        assert 0 < len(ranks) <= size
        assert ranks.dtype == PRIME.rank_dtype
        assert (PRIME.check(ranks) == -1).all()
        assert (PRIME.metric("area_mm2", ranks) <= limit).all()
        indices = set(PRIME.indices(ranks).tolist())
        assert len(indices) == len(ranks)
        assert not indices & seen
        seen |= indices
        scores = np.column_stack([ranks.sum(axis=1)] * len(optimizer.columns))
        optimizer.tell(scores if len(optimizer.columns) > 1 else scores[:, 0])


@pytest.mark.parametrize("method", METHODS)
def test_ask_and_tell_find_what_minimize_finds(method: str) -> None:
    options, scorer = problem(method)
    run: dict[str, Any] = {"evaluations": 1000, "batch": 200}
    by_hand = Optimizer(SMALL, seed=2, **options)
    for _ in range(5):
        by_hand.tell(scorer(by_hand.ask(200)))
    found = minimize(SMALL, scorer, seed=2, **run, **options)
    assert same(by_hand.minimize(scorer, **run), found)
    assert by_hand.evaluations == 1000
    best = by_hand.best
    assert best is not None
    assert (best[0].tolist(), best[1]) == (found.designs[0].tolist(), found.best_score)


def test_best_is_of_feasible_designs() -> None:
    genetic = Optimizer(SMALL)
    best = [genetic.best]
    for scores, violations in [
        ([1, 2, 3, 4], [1, 1, 1, 1]),
        ([9, 8, 7, 6], [1, 0, 0, 1]),
        ([8] * 4, [0] * 4),
    ]:
        ranks = genetic.ask(4)
        genetic.tell(scores, violations)
        best.append(genetic.best)
        if violations == [1, 0, 0, 1]:
            expected = ranks[2]
    assert best[:2] == [None, None]
    for found in best[2:]:
        assert found is not None
        assert (found[0].tolist(), found[1]) == (expected.tolist(), 7)


@pytest.mark.parametrize("method", METHODS)
def test_misuse_of_ask_and_tell(method: str) -> None:
    options, scorer = problem(method)
    optimizer = Optimizer(SMALL, **options)
    width = len(optimizer.columns)

    def scores(rows: int, value: float = 0.0) -> Floats:
        return np.full(rows if width == 1 else (rows, width), value)

    no_designs = "tell was called with no designs due; call ask first"
    assert error_of(optimizer.tell, scores(0)) == no_designs
    assert error_of(optimizer.tell, scores(3)) == no_designs
    assert optimizer.due.shape == (0, 5)
    for size, wanted in [
        (0, "at least 1"),
        (-3, "at least 1"),
        (2.0, "a whole number"),
        (1 << 70, "at most"),
    ]:
        assert error_of(optimizer.ask, size).startswith(f"designs is {size}; it must be {wanted}")
    assert error_of(optimizer.ask, 1 << 40).endswith("ask for 1 to 16777216 at a time")
    asked = optimizer.ask(10)
    np.testing.assert_array_equal(optimizer.due, asked)
    message = error_of(optimizer.ask, 10)
    assert message == "ask was called while the scores of 10 designs are due; call tell first"
    each = "one of both" if width == 1 else f"{width} scores and a violation"
    assert error_of(optimizer.tell, scores(9)) == (
        f"{9 * width} scores and 9 violations were told for 10 designs; each needs {each}"
    )
    assert error_of(optimizer.tell, scores(10), np.zeros(11)) == (
        f"{10 * width} scores and 11 violations were told for 10 designs; each needs {each}"
    )
    message = error_of(optimizer.tell, scores(10, np.nan), kind=pf.DataError)
    assert message.startswith("design 0 of the batch (index ")
    message = error_of(optimizer.tell, scores(10), np.full(10, np.nan), kind=pf.DataError)
    assert "has a violation of NaN" in message
    unusable: Any
    for unusable in (np.zeros((10, width + 1)), np.zeros((10, 1, 1)), 3.0):
        assert "shape (n_designs," in error_of(optimizer.tell, unusable, kind=pf.DataError)
    masked = np.ma.masked_equal(scores(10), 0.0)
    assert error_of(optimizer.tell, masked, kind=pf.DataError).startswith(
        "scores are masked in places; fill "
    )
    message = error_of(optimizer.tell, scores(10), np.ma.masked_equal(np.arange(10), 3), kind=pf.DataError)
    assert message.startswith("violations are masked in places")
    for unusable in (["1"] * 10, np.zeros(10, complex), [object()] * 10, None, np.zeros(10, [("a", "f8")])):
        message = error_of(optimizer.tell, unusable, kind=pf.DataError)
        assert message.endswith("; they must be real numbers")
    assert "no array of numbers" in error_of(optimizer.tell, [[1], [1, 2]], kind=pf.DataError)
    assert "violations" in error_of(optimizer.tell, scores(10), ["no"] * 10, kind=pf.DataError)
    # None of these took anything: the right call still goes through, once.
    np.testing.assert_array_equal(optimizer.due, asked)
    assert optimizer.evaluations == 0
    optimizer.tell(scorer(asked))
    assert error_of(optimizer.tell, scorer(asked)) == no_designs
    assert optimizer.evaluations == 10


@pytest.mark.parametrize("method", METHODS)
def test_an_exhausted_space_gives_no_more_designs(method: str) -> None:
    options, scorer = problem(method)
    optimizer = Optimizer(SMALL, limits={"sum": 4}, **options)
    seen: list[int] = []
    while len(ranks := optimizer.ask(50)) > 0:
        seen += SMALL.indices(ranks).tolist()
        optimizer.tell(scorer(ranks))
    kept = FEASIBLE[SMALL.metric("sum", FEASIBLE) <= 4]
    assert sorted(seen) == sorted(SMALL.indices(kept).tolist())
    assert optimizer.ask(50).shape == (0, 5)
    assert optimizer.due.shape == (0, 5)
    nothing = np.empty(0 if len(optimizer.columns) == 1 else (0, len(optimizer.columns)))
    assert error_of(optimizer.tell, nothing) == "tell was called with no designs due; call ask first"


@pytest.mark.parametrize("method", METHODS)
def test_limits_that_nothing_meets(method: str) -> None:
    options, _ = problem(method)
    optimizer = Optimizer(SMALL, limits={"sum": 1.0}, **options)
    for _ in range(2):
        message = error_of(optimizer.ask, 10, kind=pf.NoFeasibleDesignError)
        assert message.startswith("no design meets the constraints and limits: of ")


def test_start_designs() -> None:
    # Designs that break a constraint or a limit are left out.
    broken = np.array([[0, 0, 0, 0, 0], [1, 0, 0, 0, 1]], np.uint8)
    assert Optimizer(SMALL).start_with(broken) == 1
    assert Optimizer(SMALL, limits={"sum": 1.5}).start_with(broken) == 0
    found = minimize(SMALL, distance, evaluations=1, start=TARGET[None].astype(np.uint8))
    assert (found.best_score, found.evaluations) == (0, 1)
    # Designs told already are not proposed again; known ones are proposed, but not scored nor counted.
    optimizer = Optimizer(SMALL)
    first = optimizer.ask(20)
    optimizer.tell(distance(first))
    assert optimizer.start_with(first) == 0
    rest = FEASIBLE[~np.isin(SMALL.indices(FEASIBLE), SMALL.indices(first))][:30]
    assert optimizer.start_with(rest, np.arange(30.0)) == 30
    asked = optimizer.ask(40)
    np.testing.assert_array_equal(asked[:30], rest)
    optimizer.tell(distance(asked))
    assert optimizer.evaluations == 30


def test_unusable_start_designs() -> None:
    optimizer = Optimizer(SMALL)
    start = FEASIBLE[:4]
    assert error_of(optimizer.start_with, start, np.zeros(3)) == (
        "3 scores and 3 violations were given for 4 start designs; each needs one of both"
    )
    message = error_of(optimizer.start_with, start, [0, 0, np.nan, 0], kind=pf.DataError)
    assert message.startswith("start design 2 has a score or violation of NaN")
    error_of(optimizer.start_with, start, np.zeros(4), np.full(4, np.nan), kind=pf.DataError)
    error_of(optimizer.start_with, start + 9, kind=pf.DataError)
    error_of(optimizer.start_with, start[:, :4], kind=pf.DataError)
    # Nothing was taken of any of them.
    assert not np.isin(SMALL.indices(optimizer.ask(5)), SMALL.indices(start)).any()
    assert same(
        Optimizer(SMALL).minimize(distance, evaluations=100), minimize(SMALL, distance, evaluations=100)
    )


@pytest.mark.parametrize("call", ["ask", "tell", "save", "best", "minimize", "start_with"])
def test_a_scorer_can_not_use_its_own_search(call: str, tmp_path: Path) -> None:
    optimizer = Optimizer(SMALL)

    def scorer(ranks: Ranks) -> Floats:
        if call == "ask":
            optimizer.ask(3)
        elif call == "tell":
            optimizer.tell(distance(ranks))
        elif call == "save":
            optimizer.save(tmp_path / "state")
        elif call == "best":
            assert optimizer.best
        elif call == "minimize":
            optimizer.minimize(distance)
        else:
            optimizer.start_with(ranks)
        return distance(ranks)

    message = error_of(optimizer.minimize, scorer)
    assert message == ("the search is in another call; a scorer or another thread can't use it meanwhile")
    assert list(tmp_path.iterdir()) == []
    # It is whole after that, and goes on.
    expected = minimize(SMALL, distance, evaluations=5000)
    assert same(optimizer.minimize(distance, evaluations=5000), expected)


def test_a_callback_can_look_at_its_search_and_save_it(tmp_path: Path) -> None:
    optimizer = Optimizer(SMALL)
    looks: list[tuple[int, Any]] = []

    def callback(evaluations: int, best: float | None, _: float) -> None:
        assert optimizer.best is not None
        looks.append((optimizer.evaluations - evaluations, optimizer.best[1] == best))
        optimizer.save(tmp_path / f"{evaluations}")

    found = optimizer.minimize(distance, evaluations=600, batch=200, callback=callback)
    assert looks == [(0, True)] * 3
    for state in ("200", "400", "600"):
        loaded = Optimizer.load(tmp_path / state)
        assert loaded.evaluations == int(state)
        assert same(loaded.minimize(distance, evaluations=600, batch=200), found)


def test_another_thread_can_not_use_a_search_meanwhile() -> None:
    optimizer = Optimizer(SMALL)
    inside, done = threading.Event(), threading.Event()

    def scorer(ranks: Ranks) -> Floats:
        inside.set()
        done.wait(30)
        return distance(ranks)

    thread = threading.Thread(target=optimizer.minimize, args=(scorer,), kwargs={"evaluations": 100})
    thread.start()
    try:
        assert inside.wait(30)
        assert "in another call" in error_of(optimizer.ask, 3)
        assert "in another call" in error_of(optimizer.minimize, distance)
    finally:
        done.set()
        thread.join()
    assert optimizer.evaluations == 100


def test_ask_after_a_batch_ahead() -> None:
    # A run with a batch ahead that ends at its target leaves that batch due: it must not be mistaken for
    # another.
    optimizer = Optimizer(SMALL)
    found = optimizer.minimize(distance, batch=100, overlap=True, target=1e9)
    assert (found.stopped_by, found.evaluations) == ("target", 100)
    due = optimizer.due
    assert len(due) == 100
    assert "scores of 100 designs are due" in error_of(optimizer.ask, 100)
    optimizer.tell(distance(due))
    asked = optimizer.ask(100)
    optimizer.tell(distance(asked))
    assert optimizer.evaluations == 300
    assert len({*SMALL.indices(due).tolist(), *SMALL.indices(asked).tolist()}) == 200


def test_runs_add_up() -> None:
    optimizer = Optimizer(SMALL, seed=4)
    for evaluations in (100, 300, 300, 1000):
        found = optimizer.minimize(distance, evaluations=evaluations, batch=100)
        assert (found.evaluations, found.stopped_by) == (evaluations, "evaluations")
    assert same(found, minimize(SMALL, distance, evaluations=1000, batch=100, seed=4))


def test_one_search_with_two_scorers() -> None:
    def scorer(ranks: Ranks) -> tuple[Floats, Floats]:
        scores = MOBILENET.score(ranks)
        return scores.latency_us, MOBILENET.violation(ranks)

    options: dict[str, Any] = {"limits": {"area_mm2": 29.0}, "seed": 1}
    optimizer = Optimizer(PRIME, **options)
    optimizer.minimize(scorer, evaluations=1000, batch=500)
    found = optimizer.minimize(MOBILENET, evaluations=2000, batch=500)
    assert same(found, minimize(PRIME, MOBILENET, evaluations=2000, batch=500, **options))
