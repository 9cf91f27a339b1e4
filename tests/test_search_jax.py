"""JAX functions as scorers: one compilation, device arrays, buffers that nobody reuses, a batch ahead."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
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
from prime_fast.search import METHODS, Optimizer, minimize

RUN: dict[str, Any] = {"evaluations": 1700, "batch": 500}


class Traced:
    """A function under jax.jit that counts how often it was compiled, and for what shapes."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.shapes: list[tuple[int, ...]] = []

        def traced(ranks: Any) -> Any:
            self.shapes.append(ranks.shape)
            return function(ranks)

        self.jitted = jax.jit(traced)


def jax_distance(ranks: Any) -> Any:
    return jnp.square(ranks.astype(jnp.float32) - TARGET).sum(axis=1)


def jax_score(method: str) -> Callable[[Any], Any]:
    """Return `problem`'s scorer of a method in JAX."""
    if method == "nsga2":
        other = jnp.asarray([1, 5, 4, 4, 6], jnp.float32)
        return lambda r: jnp.stack([jax_distance(r), jnp.square(r - other).sum(axis=1)], axis=1)
    if method == "quality_diversity":
        return lambda r: jnp.stack([jax_distance(r), r[:, 0] + r[:, 1], r[:, 2]], axis=1)
    return jax_distance


# --- compilation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("overlap", [False, True])
def test_a_jitted_function_compiles_once(method: str, overlap: bool) -> None:
    options, score = problem(method)
    traced = Traced(jax_score(method))
    found = minimize(SMALL, traced.jitted, overlap=overlap, record=True, **RUN, **options)
    # Though the last batch is of 200.
    assert traced.shapes == [(500, 5)]
    expected = minimize(SMALL, score, overlap=overlap, record=True, **RUN, **options)
    assert same(found, expected)
    assert found.evaluated().equals(expected.evaluated())


def test_known_designs_do_not_change_the_shape() -> None:
    traced = Traced(jax_distance)
    start = SMALL.frame(FEASIBLE[:730]).with_columns(latency_us=1000.0)
    found = minimize(SMALL, traced.jitted, start=start, **RUN)
    assert traced.shapes == [(500, 5)]
    assert same(found, minimize(SMALL, distance, start=start, **RUN))


def test_a_space_that_runs_dry_does_not_change_the_shape() -> None:
    traced = Traced(jax_distance)
    found = minimize(SMALL, traced.jitted, batch=4000, limits={"sum": 12.0})
    assert found.stopped_by == "exhausted"
    assert traced.shapes == [(4000, 5)]


def test_runs_smaller_than_a_batch_have_one_shape_of_their_own() -> None:
    traced = Traced(jax_distance)
    found = minimize(SMALL, traced.jitted, evaluations=70, batch=1 << 40)
    assert (found.evaluations, traced.shapes) == (70, [(70, 5)])


@pytest.mark.parametrize("pad", [None, False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_batches_are_filled_where_asked(pad: bool | None, compiled: bool) -> None:
    shapes: list[int] = []
    batches: list[Ranks] = []

    def observed(ranks: Ranks) -> Floats:
        shapes.append(len(ranks))
        batches.append(np.asarray(ranks))
        return distance(batches[-1]).astype(np.float32)

    def in_jax(ranks: Any) -> Any:
        return jax.pure_callback(observed, jnp.zeros(ranks.shape[:1], jnp.float32), ranks)

    found = minimize(SMALL, jax.jit(in_jax) if compiled else observed, pad=pad, **RUN)
    assert same(found, minimize(SMALL, distance, **RUN))
    padded = compiled if pad is None else pad
    assert shapes == [500, 500, 500, 500 if padded else 200]
    # By their first design.
    last = batches[-1]
    assert (last[200:] == last[0]).all()


def test_scores_of_the_filling_are_not_looked_at() -> None:
    def scorer(ranks: Ranks) -> tuple[Floats, Floats]:
        repeated = (ranks == ranks[0]).all(axis=1)
        repeated[0] = False
        return np.where(repeated, np.nan, distance(ranks)), np.where(repeated, np.nan, 0.0)

    assert same(minimize(SMALL, scorer, pad=True, **RUN), minimize(SMALL, distance, **RUN))
    message = error_of(
        minimize, SMALL, lambda r: distance(r)[: min(len(r), 499)], pad=True, kind=pf.DataError, **RUN
    )
    assert message.endswith("have shape [499]; they must have shape (500,), one a design")


# --- arrays -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int32", "bool", "uint8"])
def test_device_arrays_of_any_dtype(dtype: str) -> None:
    scorer = jax.jit(lambda ranks: jnp.clip(jax_distance(ranks), 0, 1).astype(dtype))
    found = minimize(SMALL, scorer, batch=3000)
    assert found.scores.tolist() == [0] + [1] * 15


def test_a_pair_of_device_arrays() -> None:
    scorer = jax.jit(lambda ranks: (jax_distance(ranks), ranks[:, 0] > 5))
    found = minimize(SMALL, scorer, **RUN)
    assert same(found, minimize(SMALL, lambda r: (distance(r), r[:, 0] > 5), **RUN))
    assert error_of(minimize, SMALL, jax.jit(lambda r: r), kind=pf.DataError, **RUN).endswith("one a design")
    complex_ = jax.jit(lambda ranks: jax_distance(ranks) + 1j)
    assert "have dtype complex64" in error_of(minimize, SMALL, complex_, kind=pf.DataError)


def test_errors_of_jax_come_back() -> None:
    with pytest.raises(TypeError, match="dot_general"):
        minimize(SMALL, jax.jit(lambda ranks: ranks @ jnp.zeros((7, 1))))
    optimizer = Optimizer(SMALL)
    nan = jax.jit(lambda ranks: jnp.log(-1 - jax_distance(ranks)))
    assert "has a score of NaN" in error_of(optimizer.minimize, nan, kind=pf.DataError, **RUN)
    assert same(optimizer.minimize(distance, **RUN), minimize(SMALL, distance, **RUN))


# --- buffers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("pad", [False, True])
def test_a_matrix_that_was_handed_out_is_never_written_again(method: str, overlap: bool, pad: bool) -> None:
    options, score = problem(method)
    kept: list[tuple[Ranks, Any, bytes]] = []

    def scorer(ranks: Ranks) -> Floats:
        # JAX takes an aligned array of NumPy as it lies.
        kept.append((ranks, jnp.asarray(ranks), ranks.tobytes()))
        return score(ranks)

    optimizer = Optimizer(SMALL, **options)
    optimizer.minimize(scorer, evaluations=3300, batch=150, overlap=overlap, pad=pad)
    asked = optimizer.ask(500)
    kept.append((asked, jnp.asarray(asked), asked.tobytes()))
    optimizer.tell(score(asked))
    optimizer.ask(500)
    assert len(kept) == 23
    for ranks, device, content in kept:
        assert ranks.tobytes() == content
        assert np.asarray(device).tobytes() == content
    addresses = [ranks.__array_interface__["data"][0] for ranks, _, _ in kept]
    assert len(set(addresses)) == len(kept)


def test_what_jax_still_reads_is_not_overwritten() -> None:
    def slow(ranks: Any) -> Any:
        hash_ = jnp.repeat(ranks.astype(jnp.uint32), 20, axis=1)
        for step in range(30):
            hash_ = (hash_ ^ (hash_ >> 7)) * jnp.uint32(2654435761 + 2 * step)
        return hash_.sum(axis=1)

    def slow_in_numpy(ranks: Ranks) -> NDArray[np.uint32]:
        hash_ = np.repeat(ranks.astype(np.uint32), 20, axis=1)
        for step in range(30):
            hash_ = (hash_ ^ (hash_ >> np.uint32(7))) * np.uint32((2654435761 + 2 * step) % (1 << 32))
        return np.asarray(hash_.sum(axis=1, dtype=np.uint32))

    later = jax.jit(slow)
    for overlap in (False, True):
        pending: list[Any] = []
        seen: list[Ranks] = []

        def scorer(ranks: Ranks, pending: list[Any] = pending, seen: list[Ranks] = seen) -> Any:
            # Started and not waited for: it is at work while the search goes on.
            pending.append(later(ranks))
            seen.append(ranks.copy())
            return jax_distance(ranks)

        minimize(SMALL, scorer, evaluations=12_000, batch=1000, overlap=overlap)
        assert len(pending) == 12
        for result, ranks in zip(pending, seen, strict=True):
            np.testing.assert_array_equal(np.asarray(result), slow_in_numpy(ranks))


# --- a batch ahead ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SINGLE)
def test_a_batch_ahead_is_the_same_at_any_number_of_threads(method: str) -> None:
    options: dict[str, Any] = {"limits": {"area_mm2": 29.0}, "evaluations": 9000, "batch": 1500}
    runs = [
        minimize(PRIME, MOBILENET, method=method, overlap=True, threads=threads, record=True, **options)
        for threads in (1, 2, 8)
    ]
    for run in runs:
        assert same(run, runs[0])
        assert run.evaluated().equals(runs[0].evaluated())
    indices = PRIME.indices(PRIME.ranks_from_frame(runs[0].evaluated()))
    assert len(set(indices.tolist())) == 9000
    scores = MOBILENET.score(runs[0].designs)
    np.testing.assert_array_equal(runs[0].scores, scores.latency_us)
    assert (scores.area_mm2 <= 29).all()


def test_a_callable_with_a_batch_ahead_is_the_same_at_any_number_of_threads() -> None:
    program = """
        import hashlib
        from prime_fast.search import METHODS, minimize
        from search_problems import SMALL, problem

        for method in METHODS:
            options, score = problem(method)
            found = minimize(SMALL, score, evaluations=6000, batch=1000, overlap=True, record=True, **options)
            print(method, hashlib.sha256(found.told[0].tobytes() + found.told[1].tobytes()).hexdigest())
    """
    path = os.pathsep.join(sys.path)
    outputs = [
        subprocess.run(  # noqa: S603
            [sys.executable, "-c", textwrap.dedent(program)],
            env=os.environ | {"RAYON_NUM_THREADS": str(threads), "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in (1, 2, 8)
    ]
    assert len(outputs[0].splitlines()) == len(METHODS)
    assert outputs[1:] == outputs[:1] * 2


def test_a_batch_ahead_follows_from_the_batch_before() -> None:
    def with_second(value: float) -> list[Ranks]:
        batches: list[Ranks] = []

        def scorer(ranks: Ranks) -> Floats:
            batches.append(ranks)
            return distance(ranks) * (value if len(batches) == 5 else 1.0)

        minimize(SMALL, scorer, evaluations=1000, batch=100, overlap=True, population=100)
        return batches

    plain, changed = with_second(1.0), with_second(-1.0)
    # The sixth batch was made while the fifth was scored; the seventh knows of it.
    for batch in range(6):
        np.testing.assert_array_equal(plain[batch], changed[batch])
    assert (plain[6] != changed[6]).any()


@pytest.mark.parametrize("method", METHODS)
def test_known_designs_and_violations_with_a_batch_ahead(method: str) -> None:
    options, score = problem(method)
    start = FEASIBLE[::97][:130]
    names = Optimizer(SMALL, **options).columns
    scores = score(start).reshape(len(start), -1)
    frame = SMALL.frame(start).with_columns(**{name: scores[:, i] for i, name in enumerate(names)})
    batches: list[Ranks] = []

    def scorer(ranks: Ranks) -> tuple[Floats, Floats]:
        batches.append(ranks)
        return score(ranks), np.maximum(0.0, ranks[:, 0] - 5.0)

    run: dict[str, Any] = {"evaluations": 1100, "batch": 200, "overlap": True, "start": frame} | options
    found = minimize(SMALL, scorer, **run)
    assert (found.evaluations, found.stopped_by) == (1100, "evaluations")
    indices = SMALL.indices(np.concatenate(batches)).tolist()
    assert len(set(indices)) == len(indices) == 1100
    assert not set(indices) & set(SMALL.indices(start).tolist())
    assert same(found, minimize(SMALL, scorer, **run))
