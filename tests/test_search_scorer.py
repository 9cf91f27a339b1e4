"""What a scorer may return and raise, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from search_problems import (
    MOBILENET,
    PRIME,
    SMALL,
    Floats,
    Ranks,
    distance,
    error_of,
    problem,
    same,
    two_distances,
)

import prime_fast as pf
from prime_fast.search import METHODS, Optimizer, minimize

RUN: dict[str, Any] = {"evaluations": 2000, "batch": 200}

# --- scores -----------------------------------------------------------------------------------------------


def test_a_scorer_may_give_violations() -> None:
    def scorer(ranks: Ranks) -> tuple[Floats, Floats]:
        scores, excess = distance(ranks), np.maximum(0.0, 6.0 - ranks[:, 3] - ranks[:, 1])
        # What is infeasible needs no score.
        return np.where(excess > 0, np.nan, scores), excess

    found = minimize(SMALL, scorer, evaluations=4000, batch=250)
    assert found.feasible
    assert found.best_score == 8  # 2 more of p1 and of p3 than in TARGET: 2^2 + 2^2
    assert found.designs[0].tolist() == [7, 4, 10, 2, 3]


def test_violations_below_0_are_met() -> None:
    expected = minimize(SMALL, distance, **RUN)
    found = minimize(SMALL, lambda r: (distance(r), np.full(len(r), -3.0)), **RUN, record=True)
    assert same(found, expected)
    assert (found.evaluated()["violation"] == 0).all()
    assert same(minimize(SMALL, lambda r: (distance(r), np.zeros(len(r), bool)), **RUN), expected)


def test_infinite_scores_mean_infeasible() -> None:
    found = minimize(SMALL, lambda r: np.where(r[:, 0] == 7, np.inf, distance(r)), batch=200)
    assert found.best_score == 1
    found = minimize(SMALL, lambda ranks: np.full(len(ranks), np.inf), evaluations=100)
    assert not found.feasible
    # Minus infinity is as good as it gets.
    found = minimize(SMALL, lambda r: np.where(r[:, 0] == 7, -np.inf, distance(r)), batch=200)
    assert (found.feasible, found.best_score, found.best["p0"]) == (True, -np.inf, 7)


@pytest.mark.parametrize("dtype", ["f4", "f2", "f8", ">f8", "i4", "u1", "bool", "bfloat16", "float8_e4m3fn"])
def test_scores_of_any_numeric_dtype(dtype: str) -> None:
    pytest.importorskip("ml_dtypes")  # registers the short floats
    found = minimize(SMALL, lambda ranks: distance(ranks).clip(0, 1).astype(dtype), batch=2000)
    assert found.stopped_by == "exhausted"
    assert found.scores.dtype == np.float64
    assert found.scores.tolist() == [0] + [1] * 15


def _read_only(scores: Floats) -> Floats:
    scores.setflags(write=False)
    return scores


@pytest.mark.parametrize(
    "form",
    [
        lambda scores: scores.tolist(),
        lambda scores: np.repeat(scores, 3)[::3],
        lambda scores: scores[::-1].copy()[::-1],
        lambda scores: np.column_stack([scores, scores, scores])[:, 1],
        lambda scores: np.asfortranarray(np.column_stack([scores, -scores]))[:, 0],
        _read_only,
        pl.Series,
        memoryview,
    ],
)
def test_scores_of_any_layout(form: Callable[[Floats], Any]) -> None:
    expected = minimize(SMALL, distance, **RUN)
    assert same(minimize(SMALL, lambda ranks: form(distance(ranks)), **RUN), expected)


def test_a_view_of_a_buffer_that_the_scorer_reuses() -> None:
    buffer = np.empty((1000, 2))

    def scorer(ranks: Ranks) -> Floats:
        buffer[:] = np.nan
        view = buffer[: len(ranks), 1]
        view[:] = distance(ranks)
        return view

    for overlap in (False, True):
        expected = minimize(SMALL, distance, overlap=overlap, **RUN)
        assert same(minimize(SMALL, scorer, overlap=overlap, **RUN), expected)


@pytest.mark.parametrize(
    "form", [np.asfortranarray, lambda s: s.tolist(), lambda s: np.repeat(s, 2, 1)[:, ::2], np.float32]
)
def test_rows_of_scores_of_any_layout(form: Callable[[Floats], Any]) -> None:
    options, scorer = problem("nsga2")
    expected = minimize(SMALL, scorer, **RUN, **options)
    assert same(minimize(SMALL, lambda ranks: form(two_distances(ranks)), **RUN, **options), expected)


def test_a_scorer_may_write_on_its_ranks() -> None:
    def scorer(ranks: Ranks) -> Floats:
        scores = distance(ranks)
        ranks[:] = 255
        return scores

    assert same(minimize(SMALL, scorer, **RUN), minimize(SMALL, distance, **RUN))


NOT_NUMBERS = "the scorer's scores are no array of numbers"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.zeros(9), "the scorer's scores have shape [9]; they must have shape (10,), one a design"),
        (
            np.zeros((10, 1)),
            "the scorer's scores have shape [10, 1]; they must have shape (10,), one a design",
        ),
        (3.0, "the scorer's scores have shape []; they must have shape (10,), one a design"),
        (None, "the scorer's scores have dtype object; they must be real numbers"),
        (["a"] * 10, "the scorer's scores have dtype <U1; they must be real numbers"),
        (["1.5"] * 10, "the scorer's scores have dtype <U3; they must be real numbers"),
        (np.zeros(10, object), "the scorer's scores have dtype object; they must be real numbers"),
        (np.zeros(10, complex), "the scorer's scores have dtype complex128; they must be real numbers"),
        (np.zeros(10, "m8[s]"), "the scorer's scores have dtype timedelta64[s]; they must be real numbers"),
        (
            np.zeros(10, [("latency_us", "f8")]),
            "the scorer's scores have dtype [('latency_us', '<f8')]; they must be real numbers",
        ),
        (
            np.ma.masked_equal(np.arange(10.0), 3),
            "the scorer's scores are masked in places; fill those, with NaN or a violation above 0 where",
        ),
        (
            (np.zeros(10), np.ma.masked_equal(np.arange(10.0), 3)),
            "the scorer's violations are masked in places",
        ),
        ([[1], [1, 2]] * 5, NOT_NUMBERS),
        (
            (np.zeros(10), np.zeros(9)),
            "the scorer's violations have shape [9]; they must have shape (10,), one a",
        ),
        (
            (np.zeros(10), ["no"] * 10),
            "the scorer's violations have dtype <U2; they must be real numbers",
        ),
        (
            (np.zeros(10),) * 3,
            "the scorer returned 3 arrays; it must return scores, or scores and violations",
        ),
        ((), "the scorer returned 0 arrays; it must return scores, or scores and violations"),
    ],
)
def test_scores_of_the_wrong_form(returned: Any, message: str) -> None:
    found = error_of(minimize, SMALL, lambda _: returned, evaluations=10, kind=pf.DataError)
    assert found.startswith(message)


@pytest.mark.parametrize("method", ["nsga2", "quality_diversity"])
def test_rows_of_scores_of_the_wrong_form(method: str) -> None:
    options, _ = problem(method)
    columns = len(Optimizer(SMALL, **options).columns)
    for shape in [(10,), (10, columns + 1), (columns, 10), (10, columns, 1)]:
        message = error_of(
            minimize,
            SMALL,
            lambda _, shape=shape: np.zeros(shape),
            evaluations=10,
            kind=pf.DataError,
            **options,
        )
        assert message == (
            f"the scorer's scores have shape {list(shape)}; they must have shape (10, {columns}), "
            "one row a design"
        )


def test_nan_names_the_design() -> None:
    def of_scores(ranks: Ranks) -> Floats:
        return np.where(np.arange(len(ranks)) == 4, np.nan, 1.0)

    batches: list[Ranks] = []

    def scorer(ranks: Ranks) -> Any:
        batches.append(ranks)
        return of_scores(ranks)

    message = error_of(minimize, SMALL, scorer, evaluations=10, kind=pf.DataError)
    design = " ".join(f"p{position}={rank}" for position, rank in enumerate(batches[0][4]))
    index = SMALL.indices(batches[0][4:5])[0]
    assert message.startswith(
        f"design 4 of the batch (index {index}, {design}) has a score of NaN; it must be"
    )
    for nan in ("error", "infeasible"):
        message = error_of(
            minimize,
            SMALL,
            lambda r: (np.zeros(len(r)), of_scores(r)),
            evaluations=10,
            nan=nan,
            kind=pf.DataError,
        )
        assert message.startswith("design 4 of the batch (index ")
        assert "a violation of NaN; it must be 0, or positive" in message


@pytest.mark.parametrize("method", METHODS)
def test_nan_may_mean_infeasible(method: str) -> None:
    options, score = problem(method)

    def scorer(ranks: Ranks) -> Floats:
        scores = score(ranks)
        scores[ranks[:, 0] > 4] = np.nan
        return scores

    assert "has a score of NaN" in error_of(minimize, SMALL, scorer, kind=pf.DataError, **options)
    found = minimize(SMALL, scorer, nan="infeasible", record=True, **options, **RUN)
    assert found.feasible
    assert (found.designs[:, 0] <= 4).all()
    told = found.evaluated()
    assert ((told["p0"] > 4) == (told["violation"] == np.inf)).all()
    # A violation of its own stands, however bad the score.
    pair = minimize(
        SMALL, lambda r: (scorer(r), r[:, 0] > 3), nan="infeasible", record=True, **options, **RUN
    )
    assert (pair.evaluated().filter(pl.col("p0") > 3)["violation"] == 1).all()


# --- exceptions -------------------------------------------------------------------------------------------


class Unrelated(BaseException):
    """An exception that no handler of Exception catches."""


@dataclass(frozen=True)
class Frozen(Exception):  # noqa: N818 (as a user may name it)
    """An exception that takes no new attributes by assignment."""

    why: str


@pytest.mark.parametrize(
    "make",
    [
        lambda: ZeroDivisionError("mine"),
        lambda: Unrelated("mine"),
        lambda: SystemExit(7),
        StopIteration,
        lambda: Frozen("mine"),
    ],
)
@pytest.mark.parametrize("where", ["scorer", "callback"])
@pytest.mark.parametrize("overlap", [False, True])
def test_exceptions_come_back_as_they_are(
    make: Callable[[], BaseException], where: str, overlap: bool
) -> None:
    error = make()
    calls = 0

    def scorer(ranks: Ranks) -> Floats:
        nonlocal calls
        calls += 1
        if where == "scorer" and calls == 3:
            raise error
        return distance(ranks)

    def callback(evaluations: int, *_: object) -> None:
        if where == "callback" and evaluations == 200:
            raise error

    with pytest.raises(type(error)) as caught:
        minimize(SMALL, scorer, batch=100, callback=callback, overlap=overlap, record=True)
    assert caught.value is error
    # Where it was raised can be seen, and what was found by then is at hand.
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames[-1] == where
    result = error.search_result  # type: ignore[attr-defined]
    assert (result.evaluations, result.stopped_by) == (200, "error")
    assert result.best_score == result.history[-1][1] == result.evaluated()["latency_us"].min()


def test_an_exception_before_anything_was_scored_has_no_result() -> None:
    def scorer(_: Ranks) -> Floats:
        raise RuntimeError("at once")

    with pytest.raises(RuntimeError, match="at once") as caught:
        minimize(SMALL, scorer)
    assert not hasattr(caught.value, "search_result")
    # What was known from the start is something found.
    start = SMALL.frame(SMALL.sample(300, 0)).with_columns(latency_us=1.0)
    with pytest.raises(RuntimeError, match="at once") as caught:
        minimize(SMALL, scorer, start=start, batch=100)
    assert caught.value.search_result.best_score == 1.0  # type: ignore[attr-defined]


def test_wrong_scores_later_on_carry_the_result_too() -> None:
    calls = 0

    def scorer(ranks: Ranks) -> Floats:
        nonlocal calls
        calls += 1
        return distance(ranks) if calls < 3 else np.zeros(3)

    with pytest.raises(pf.DataError, match="have shape") as caught:
        minimize(SMALL, scorer, batch=100)
    assert caught.value.search_result.evaluations == 200  # type: ignore[attr-defined]


def test_exceptions_in_threads() -> None:
    def scorer(ranks: Ranks) -> Floats:
        if len(ranks) < 100:
            raise ArithmeticError(threading.current_thread().name)
        return distance(ranks)

    with ThreadPoolExecutor(3, thread_name_prefix="pool") as pool:
        runs = [pool.submit(minimize, SMALL, scorer, evaluations=250, batch=100) for _ in range(6)]
        for run in runs:
            error = run.exception()
            assert isinstance(error, ArithmeticError)
            assert str(error).startswith("pool")
            assert error.search_result.evaluations == 200  # type: ignore[attr-defined]
    # A scorer's own threads raise through it.
    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
        minimize(SMALL, lambda ranks: list(pool.map(lambda row: 1 // (int(row[0]) * 0), ranks)))


def test_a_result_and_an_exception_with_one_can_be_pickled() -> None:
    def scorer(ranks: Ranks) -> Floats:
        if len(ranks) < 100:
            raise ValueError("mine")
        return distance(ranks)

    with pytest.raises(ValueError, match="mine") as caught:
        minimize(SMALL, scorer, evaluations=150, batch=100)
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert same(copy.search_result, caught.value.search_result)  # type: ignore[attr-defined]
    assert copy.search_result.best == caught.value.search_result.best  # type: ignore[attr-defined]


# --- Ctrl-C -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["raised in the scorer", "signal in the scorer", "signal in the callback"])
@pytest.mark.parametrize("overlap", [False, True])
def test_ctrl_c_returns_the_best_so_far(where: str, overlap: bool) -> None:
    calls = 0

    def scorer(ranks: Ranks) -> Floats:
        nonlocal calls
        calls += 1
        if calls == 3 and where == "raised in the scorer":
            raise KeyboardInterrupt
        if calls == 3 and where == "signal in the scorer":
            signal.raise_signal(signal.SIGINT)
        return distance(ranks)

    def callback(evaluations: int, *_: object) -> None:
        if evaluations == 200 and where == "signal in the callback":
            signal.raise_signal(signal.SIGINT)

    found = minimize(SMALL, scorer, batch=100, callback=callback, overlap=overlap)
    assert (found.stopped_by, found.evaluations) == ("interrupt", 200)
    assert len(found.scores) == 16
    assert found.best_score == found.history[-1][1]


def test_ctrl_c_before_anything_is_scored_is_an_exception() -> None:
    def scorer(_: Ranks) -> Floats:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimize(SMALL, scorer)


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_during_a_long_run_in_rust(method: str) -> None:
    sent: list[float] = []

    def send() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    options: dict[str, Any] = {"method": method}
    if method == "nsga2":
        options["objective"] = ["latency_us", "area_mm2"]
    if method == "quality_diversity":
        options["measures"] = {"area_mm2": (0.0, 100.0, 20), "energy_uj": (0.0, 1e5, 20)}
    timer = threading.Timer(0.3, send)
    timer.start()
    try:
        found = minimize(PRIME, MOBILENET, evaluations=10**8, **options)
        waited = time.perf_counter() - sent[0]
    finally:
        timer.join()
    assert found.stopped_by == "interrupt"
    assert found.feasible
    assert waited < 1


def interrupted(seconds: float, call: Callable[[], object]) -> float:
    """Return how long a call goes on after Ctrl-C, which comes after a time."""
    sent: list[float] = []

    def send() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(seconds, send)
    timer.start()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            call()
            timer.join()
        return time.perf_counter() - sent[0]
    finally:
        timer.join()


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_while_no_design_meets_the_limits(method: str) -> None:
    options, scorer = problem(method)
    limits = {"area_mm2": 0.1}
    assert interrupted(0.1, lambda: minimize(PRIME, scorer, limits=limits, **options)) < 1


def test_ctrl_c_during_a_batch_of_millions() -> None:
    for seconds in (0.1, 0.8, 1.5):
        assert interrupted(seconds, lambda: minimize(PRIME, MOBILENET, evaluations=10**8, batch=1 << 23)) < 1


def test_a_search_goes_on_from_before_a_batch_that_ctrl_c_ended() -> None:
    optimizer = Optimizer(PRIME, limits={"area_mm2": 29.0})
    expected = Optimizer(PRIME, limits={"area_mm2": 29.0})
    for search in (optimizer, expected):
        search.tell(search.ask(100).sum(axis=1))
    interrupted(0.1, lambda: optimizer.ask(1 << 24))
    assert len(optimizer.due) == 0
    np.testing.assert_array_equal(optimizer.ask(100), expected.ask(100))


@pytest.mark.parametrize("overlap", [False, True])
def test_a_run_that_ctrl_c_ended_goes_on_as_it_would_have(overlap: bool) -> None:
    options: dict[str, Any] = {"batch": 100, "overlap": overlap}
    calls = 0

    def scorer(ranks: Ranks) -> Floats:
        nonlocal calls
        calls += 1
        if calls == 3:
            signal.raise_signal(signal.SIGINT)
        return distance(ranks)

    optimizer = Optimizer(SMALL)
    assert optimizer.minimize(scorer, **options).stopped_by == "interrupt"
    found = optimizer.minimize(scorer, evaluations=1000, **options)
    assert same(found, minimize(SMALL, distance, evaluations=1000, **options))


def test_ctrl_c_in_a_process_of_its_own() -> None:
    program = """
        import prime_fast as pf
        from prime_fast.search import minimize

        simulator = pf.Simulator("M6")
        step = lambda evaluations, best, seconds: evaluations == 512 and print("running", flush=True)
        found = minimize(simulator.space, simulator, evaluations=10**8, callback=step)
        print(found.stopped_by, len(found.scores), found.feasible)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("interrupt 16 True\n", "", 0)
