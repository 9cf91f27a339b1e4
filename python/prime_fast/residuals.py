"""A Gaussian process on what a surrogate's predictions lack, so that a handful of answers tells something.

An ensemble trained on thousands of logged designs hardly moves by a few answers, and where it moves it says
no more how sure it is. The process of its residuals does both. Two designs are near each other if the
surrogate tells them apart by little: each parameter is scaled by how much it matters to the surrogate. The
kernel is Matern's with 3/2; its length, and how much a parameter matters at least, are the likeliest of a
few, the mean and variance follow in closed form.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace, Ranks

LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Of the kernel; 1 is the way from end to end of the parameter that matters most."""
NOISE = 1e-3
"""Variance of an answer by itself, over that of the process."""
SPREAD = 0.05
"""Deviation expected before there is an answer, of the logarithm of an objective."""
LEASTS = (0.01, 0.03)
"""How much any parameter may be taken to matter, over the one that matters most. With more, designs that
differ in nothing that matters look worth asking one after the other."""
MOST = 512
"""Answers that a process is fitted to, at most: those given first."""


class Distances:
    """Coordinates of designs, so that near ones are alike to a function.

    Parameters
    ----------
    space : DesignSpace
    function : callable
        From ranks of shape (n, parameters) to shape (n,), float64.
    around : ndarray of shape (n, parameters), integer
        A parameter matters as much as the function varies when it alone is changed in these designs.
    """

    def __init__(
        self, space: DesignSpace, function: Callable[[Ranks], NDArray[np.float64]], around: Ranks
    ) -> None:
        matters = np.zeros(space.dimensions)
        for place, cardinality in enumerate(space.cardinalities):
            # A few of thousands of values do.
            values = np.unique(np.linspace(0, cardinality - 1, min(cardinality, 16)).round())
            changed = np.repeat(around, len(values), axis=0)
            changed[:, place] = np.tile(values, len(around)).astype(around.dtype)
            matters[place] = function(changed).reshape(len(around), -1).std(axis=1).mean()
        self._matters = matters / max(matters.max(), 1e-12)
        self._columns = [_column(space, place) for place in range(space.dimensions)]

    def __call__(self, ranks: Ranks, least: float) -> NDArray[np.float64]:
        """Return the coordinates of designs, every parameter mattering that much: shape (n, coordinates)."""
        weights = np.maximum(self._matters, least)
        parts = zip(self._columns, weights, ranks.T, strict=True)
        return np.concatenate([column[values] * weight for column, weight, values in parts], axis=1)


def _column(space: DesignSpace, place: int) -> NDArray[np.float64]:
    """Return the coordinates of a parameter's values, from end to end 1: shape (values, coordinates)."""
    values = space.values[place]
    if space.kinds[place] == "categorical":
        return np.eye(len(values)) / math.sqrt(2.0)
    positions = np.arange(len(values), dtype=np.float64)
    if not any(isinstance(value, str | bool) for value in values):
        numbers = np.asarray(values, np.float64)
        positions = np.log(numbers) if (numbers > 0.0).all() else positions
    return np.asarray((positions - positions[0]) / max(np.ptp(positions), 1e-12))[:, None]


@dataclass(frozen=True, eq=False)
class Residuals:
    """A fitted process.

    Attributes
    ----------
    distances : Distances
    least, length : float
        See `LEASTS` and `LENGTHS`.
    places : ndarray of shape (n, coordinates), float64
        Of the answers, over the length.
    factor : ndarray of shape (n, n), float64
        Lower Cholesky factor of their correlation.
    weights : ndarray of shape (n,), float64
    mean, deviation : float
        Before any answer.
    """

    distances: Distances
    least: float
    length: float
    places: NDArray[np.float64]
    factor: NDArray[np.float64]
    weights: NDArray[np.float64]
    mean: float
    deviation: float

    @classmethod
    def fitted(
        cls,
        distances: Distances,
        ranks: Ranks,
        residuals: NDArray[np.float64],
        *,
        length: float | None = None,
        mean: float | None = None,
        noise: float = NOISE,
    ) -> Residuals:
        """Fit a process to residuals of shape (n,), with a given length or mean where there is one."""
        ranks, residuals = ranks[:MOST], residuals[:MOST]
        ones = np.ones((len(residuals), 1))
        best: tuple[float, Residuals] | None = None
        for least, scale in itertools.product(LEASTS, LENGTHS if length is None else (length,)):
            places = distances(ranks, least) / scale
            factor = cholesky(_correlation(places, places) + noise * np.eye(len(ones)), lower=True)
            one, values = solve_triangular(factor, np.column_stack([ones, residuals]), lower=True).T
            precision = float(one @ one)
            middle = mean
            if middle is None:
                middle = float(one @ values) / precision if precision else 0.0
            rest = values - middle * one
            # An inverse gamma prior, worth two answers.
            variance = float(rest @ rest + 2.0 * SPREAD**2) / (len(ones) + 2.0)
            likelihood = -0.5 * len(ones) * math.log(variance) - float(np.log(np.diag(factor)).sum())
            if mean is None and precision:
                likelihood -= 0.5 * math.log(precision)
            if best is None or likelihood > best[0]:
                weights = cho_solve((factor, True), residuals - middle)
                deviation = math.sqrt(variance)
                best = likelihood, cls(distances, least, scale, places, factor, weights, middle, deviation)
        assert best is not None  # noqa: S101 (there is a length)
        return best[1]

    def believing(self, ranks: Ranks, *, noise: float = NOISE) -> Residuals:
        """Return the process as if these designs had been answered as it expects: only surer there."""
        places = np.concatenate([self.places, self._places(ranks)])
        factor = cholesky(_correlation(places, places) + noise * np.eye(len(places)), lower=True)
        weights = np.concatenate([self.weights, np.zeros(len(ranks))])
        return dataclasses.replace(self, places=places, factor=factor, weights=weights)

    def expected(self, ranks: Ranks) -> NDArray[np.float64]:
        """Return the mean residual of designs: shape (n,)."""
        return self.mean + _correlation(self._places(ranks), self.places) @ self.weights

    def deviations(self, ranks: Ranks) -> NDArray[np.float64]:
        """Return the deviation of the residual of designs: shape (n,)."""
        cross = _correlation(self.places, self._places(ranks))
        known = np.square(solve_triangular(self.factor, cross, lower=True)).sum(axis=0)
        return np.asarray(self.deviation * np.sqrt(np.maximum(1.0 - known, 1e-9)))

    def _places(self, ranks: Ranks) -> NDArray[np.float64]:
        return self.distances(ranks, self.least) / self.length


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Matern's correlation with 3/2 between places: shape (n, m)."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None] - 2.0 * one @ other.T
    distances = np.sqrt(3.0 * np.maximum(squares, 0.0))
    return np.asarray((1.0 + distances) * np.exp(-distances))
