"""A space small enough to enumerate and scorers with known optima, for the tests of the search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import prime_fast as pf
from prime_fast.search import METHODS, SearchResult

SMALL = pf.DesignSpace.from_toml(
    'name = "small"\n'
    + "".join(
        f'[[parameter]]\nname = "p{i}"\nvalues = {list(range(n))}\n' for i, n in enumerate([9, 7, 12, 5, 8])
    )
    + '[[metric]]\nname = "sum"\nexpression = "p0 + p1 + p2 + p3 + p4"\n'
    + '[[constraint]]\nname = "some"\nexpression = "p0 + p4 >= 2"\n'
)
TARGET = np.array([7, 2, 10, 0, 3])
OTHER = np.array([1, 5, 4, 4, 6])
EVERYTHING = SMALL.ranks(np.arange(SMALL.size, dtype=np.uint64))
FEASIBLE = EVERYTHING[SMALL.check(EVERYTHING) == -1]
PRIME = pf.DesignSpace.bundled("prime")
MOBILENET = pf.Simulator("MobileNetV2")

# Methods of one score a design, and the two of several numbers.
SINGLE = tuple(method for method in METHODS if method not in ("nsga2", "quality_diversity"))

Ranks = NDArray[Any]
Floats = NDArray[np.float64]


def distance(ranks: Ranks) -> Floats:
    """Score by the squared distance from TARGET: separable, with one optimum, 0."""
    return np.asarray(np.square(ranks.astype(np.float64) - TARGET).sum(axis=1))


def two_distances(ranks: Ranks) -> Floats:
    """Score by the squared distances from TARGET and from OTHER."""
    return np.column_stack([distance(ranks), np.square(ranks.astype(np.float64) - OTHER).sum(axis=1)])


def distance_and_measures(ranks: Ranks) -> Floats:
    """Score by the distance, beside two measures."""
    return np.column_stack([distance(ranks), ranks[:, 0] + ranks[:, 1], ranks[:, 2]])


def problem(method: str) -> tuple[dict[str, Any], Callable[[Ranks], Floats]]:
    """Return the arguments that a method needs and a scorer that suits it."""
    if method == "nsga2":
        return {"method": method, "objective": ["near", "far"]}, two_distances
    if method == "quality_diversity":
        measures = {"left": (0.0, 16.0, 4), "middle": (0.0, 12.0, 3)}
        return {"method": method, "objective": "near", "measures": measures}, distance_and_measures
    return {"method": method, "objective": "near"}, distance


def error_of(
    call: Callable[..., Any],
    *arguments: object,
    kind: type[pf.PrimeFastError] = pf.ConfigurationError,
    **options: object,
) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    assert type(caught.value) is kind
    return str(caught.value)


def same(a: SearchResult, b: SearchResult) -> bool:
    """Whether two runs found and scored the same, time aside."""
    arrays = ("designs", "scores", "violations", "found", "found_scores")
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in arrays) and (
        (a.history, a.evaluations, a.stopped_by) == (b.history, b.evaluations, b.stopped_by)
    )
