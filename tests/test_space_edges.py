"""Spaces at the limits: 2^64 designs, one parameter, 64 parameters, 65,535 values."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prime_fast as pf
from prime_fast.search import minimize
from prime_fast.surrogate import TrainingData, TrainingSettings, train

LARGEST = 65_535
TINY = TrainingSettings(
    width=32, members=2, steps=400, selection_steps=50,
    batch=128, alphas=(0.0,), betas=(0.0,), checkpoints=1, adversarial_population=16,
)  # fmt: skip


def space_of(*parameters: tuple[str, list[Any], str]) -> pf.DesignSpace:
    """Return a space of parameters given by name, values and kind."""
    texts = [
        f'[[parameter]]\nname = "{name}"\nkind = "{kind}"\nvalues = {str(values).lower()}\n'
        for name, values, kind in parameters
    ]
    return pf.DesignSpace.from_toml('name = "large"\n' + "".join(texts))


# --- codec --------------------------------------------------------------------------------------------------


@functools.cache
def integers(counts: tuple[int, ...]) -> pf.DesignSpace:
    return space_of(*((f"p{i}", list(range(n)), "ordinal") for i, n in enumerate(counts)))


EDGES = [
    (1,),
    (2,),
    (LARGEST,),
    (LARGEST,) * 4,
    (2,) * 64,
    (2,) * 63 + (1,),
    (1,) * 64,
    (256, 257),
    (16,) * 16,
]


@pytest.mark.parametrize("counts", EDGES)
def test_round_trips_at_the_edges(counts: tuple[int, ...]) -> None:
    space = integers(counts)
    size = math.prod(counts)
    assert (space.size, space.dimensions) == (size, len(counts))
    indices = np.random.default_rng(0).integers(0, size, size=200, dtype=np.uint64)
    indices[:2] = 0, size - 1
    ranks = space.ranks(indices)
    np.testing.assert_array_equal(space.indices(ranks), indices)
    assert ranks[0].sum() == 0
    assert ranks[1].tolist() == [count - 1 for count in counts]
    np.testing.assert_array_equal(space.ranks_from_frame(space.frame(ranks)), ranks)
    if size < 1 << 64:
        with pytest.raises(pf.DataError, match=f"design index {size} is not below the size"):
            space.ranks(np.array([size], dtype=np.uint64))


@settings(deadline=None, max_examples=50)
@given(
    counts=st.lists(
        st.one_of(st.integers(1, 5), st.sampled_from([255, 256, 257, 300])), min_size=1, max_size=64
    ),
    data=st.data(),
)
def test_round_trips_of_any_space(counts: list[int], data: st.DataObject) -> None:
    while math.prod(counts) > 1 << 64:
        counts[counts.index(max(counts))] = 1
    space = integers(tuple(counts))
    index = data.draw(st.integers(0, space.size - 1))
    ranks = space.ranks(np.array([index], dtype=np.uint64))
    assert space.indices(ranks).tolist() == [index]
    expected = []
    for count in reversed(counts):
        index, rank = divmod(index, count)
        expected.append(rank)
    assert ranks[0].tolist() == expected[::-1]


def test_64_booleans() -> None:
    space = space_of(*((f"p{i}", [False, True], "categorical") for i in range(64)))
    assert space.size == 1 << 64
    ranks = space.ranks(np.array([(1 << 64) - 1, 1], dtype=np.uint64))
    frame = space.frame(ranks)
    assert frame.dtypes == [pl.Boolean] * 64
    assert frame.row(0) == (True,) * 64
    assert frame.row(1) == (False,) * 63 + (True,)
    np.testing.assert_array_equal(space.ranks_from_frame(frame), ranks)


# --- learning and searching ---------------------------------------------------------------------------------


def test_64_booleans_are_learned_and_searched() -> None:
    space = space_of(*((f"p{i}", [False, True], "categorical") for i in range(64)))

    def count(ranks: np.ndarray) -> np.ndarray:
        return np.asarray(1.0 + (ranks != np.arange(64) % 2).sum(axis=1))

    ranks = space.sample(1000, seed=0)
    surrogate = train(TrainingData(space, ranks, count(ranks), np.ones(1000, np.bool_)), TINY, seed=0)
    found = minimize(space, surrogate.search_score, evaluations=20_000, seed=0)
    assert count(ranks).min() > 15
    assert count(found.designs[:1])[0] <= 8


def test_a_space_of_one_parameter() -> None:
    space = space_of(("n", list(range(1, 41)), "ordinal"))
    ranks = np.arange(0, 40, 2, dtype=np.uint8)[:, None]
    values = 1.0 + np.square(ranks[:, 0].astype(np.float64) - 25.0)
    surrogate = train(TrainingData(space, ranks, values, np.ones(20, np.bool_)), TINY, seed=0)
    found = minimize(space, surrogate.search_score, evaluations=200, seed=0)
    assert abs(int(found.designs[0, 0]) - 25) <= 5


@pytest.mark.parametrize("method", ["genetic", "firefly", "differential_evolution", "local_search"])
@pytest.mark.parametrize("counts", [(LARGEST,) * 4, (2,) * 64, (LARGEST,), (1, 3)])
def test_every_search_takes_every_space(counts: tuple[int, ...], method: str) -> None:
    space = integers(counts)
    wanted = np.array([n * 2 // 3 for n in counts])

    def score(designs: np.ndarray) -> np.ndarray:
        return np.asarray((np.abs(designs.astype(float) - wanted) / np.asarray(counts)).sum(axis=1))

    found = minimize(space, score, method=method, evaluations=8000, seed=1)
    assert found.scores[0] == score(found.designs[:1])[0]
    assert found.scores[0] <= np.quantile(score(space.sample(8000, 0)), 0.01)
