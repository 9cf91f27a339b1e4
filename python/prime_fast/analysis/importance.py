r"""Which parameters a function of designs depends on, within limits.

With f the logarithm of what is predicted and X uniform over the designs within limits, for each parameter i

.. math:: S_i = \frac{\mathrm{Var}(E[f \mid X_i])}{\mathrm{Var} f}, \qquad
          T_i = \frac{E[\mathrm{Var}(f \mid X_{-i})]}{\mathrm{Var} f},

the first-order and the total Sobol index: the share of the variance that the parameter explains alone, and
the share that is left when all others are known. Limits make parameters depend on each other, which the
scheme of Saltelli (scipy.stats.sobol_indices) doesn't allow for: both are taken as they are defined instead.
Every value of the parameter that keeps the limits is tried in every design of a uniform sample, so that the
inner variance of T_i is exact and S_i uses all evaluations; of more than 64 values, 64 evenly apart. Under
limits the S_i may add up to more than 1, and T_i may lie below S_i. Without limits both are the usual ones
(I. M. Sobol, 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from prime_fast.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace, Ranks

RESAMPLES = 200
"""Bootstrap samples that the standard errors come from."""
MOST_DRAWS = 1 << 22
"""Designs drawn at most to find a sample within the limits."""
DRAWS = 1 << 16
MOST_VALUES = 64
SCHEMA = {
    "parameter": pl.String,
    "first_order": pl.Float64,
    "first_order_error": pl.Float64,
    "total": pl.Float64,
    "total_error": pl.Float64,
}
LEAST_DESIGNS = 100
"""Fewer designs within the limits than this give no index."""


@dataclass(frozen=True)
class Importance:
    """Sobol indices of each parameter.

    Attributes
    ----------
    table : polars.DataFrame
        One row a parameter, the greatest total index first: ``parameter``, ``first_order``, ``total`` and
        their bootstrap standard errors ``first_order_error`` and ``total_error``. No rows where the function
        is constant: nothing matters to it.
    designs : int
        Size of the sample.
    share_within : float
        Share of the design space that keeps limits and constraints, estimated.
    deviation : float
        Standard deviation of f over the sample; 0 where it is constant.
    evaluations : int
        Designs that f was asked for.
    """

    table: pl.DataFrame
    designs: int
    share_within: float
    deviation: float
    evaluations: int


def importance(
    space: DesignSpace,
    function: Callable[[Ranks], NDArray[np.float64]],
    within: Callable[[Ranks], NDArray[np.bool_]],
    *,
    designs: int = 512,
    seed: int = 0,
) -> Importance | None:
    """Estimate the Sobol indices of a function over the designs within limits.

    Parameters
    ----------
    space : DesignSpace
    function : callable
        From ranks of shape (n, parameters) to values of shape (n,).
    within : callable
        From ranks of shape (n, parameters) to bools of shape (n,).
    designs : int
        Size of the sample; the function is asked for that many times all values of all parameters.
    seed : int

    Returns
    -------
    Importance or None
        None where fewer than 100 designs within the limits were found.

    Raises
    ------
    ConfigurationError
        If the sample is smaller than 100 designs.
    """
    if designs < LEAST_DESIGNS:
        raise ConfigurationError(f"samples is {designs}; it must be at least {LEAST_DESIGNS}")
    sample, share = _uniform(space, within, designs, seed)
    n = len(sample)
    if n < LEAST_DESIGNS:
        return None
    tried = [np.linspace(0, count - 1, min(count, MOST_VALUES)).round() for count in space.cardinalities]
    owner = np.repeat(np.arange(space.dimensions), [len(values) for values in tried])
    values = np.concatenate(tried).astype(space.rank_dtype)
    # (n, all values of all parameters): each design with one value put in the place of its own.
    varied = np.repeat(sample[:, None], len(values), axis=1)
    varied[:, np.arange(len(values)), owner] = values
    kept = within(varied.reshape(-1, space.dimensions)).reshape(n, len(values))
    asked = space.indices(np.concatenate([sample, varied[kept]]))
    distinct, place = np.unique(asked, return_inverse=True)
    answers = function(space.ranks(distinct))[place]
    own, outcome, weight = answers[:n], np.zeros((n, len(values))), kept.astype(np.float64)
    outcome[kept] = answers[n:]
    if not own.std() > 1e-12 * (1.0 + np.abs(own).max()):
        return Importance(pl.DataFrame(schema=SCHEMA), n, share, 0.0, len(distinct))
    # Far from zero, sums of squares would lose what they are to tell.
    outcome = np.where(weight > 0.0, outcome - own.mean(), 0.0)
    own = own - own.mean()

    generator = np.random.default_rng(seed % (1 << 63))
    counts = generator.multinomial(n, np.full(n, 1.0 / n), size=RESAMPLES).astype(np.float64)
    counts = np.concatenate([np.ones((1, n)), counts])
    variance = counts @ own**2 / n - (counts @ own / n) ** 2
    rows = []
    for position, name in enumerate(space.names):
        mine = owner == position
        first, total = _indices(outcome[:, mine], weight[:, mine], counts)
        first, total = first / variance, total / variance
        rows.append(
            {
                "parameter": name,
                "first_order": float(first[0]),
                "first_order_error": float(first[1:].std()),
                "total": float(total[0]),
                "total_error": float(total[1:].std()),
            }
        )
    table = pl.DataFrame(rows, schema=SCHEMA).sort("total", descending=True, maintain_order=True)
    return Importance(table, n, share, float(np.sqrt(variance[0])), len(distinct))


def _indices(
    outcome: NDArray[np.float64], weight: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Var(E[f | X_i]) and E[Var(f | X_-i)], each of shape (samples,).

    Parameters
    ----------
    outcome, weight : ndarray of shape (n, values)
        f with each value, and whether that keeps the limits.
    counts : ndarray of shape (samples, n)
        How often each design counts.
    """
    total = weight.sum(axis=1, keepdims=True)
    # A value drawn afresh, given the others, is again uniform over the designs within the limits.
    share = weight / np.maximum(total, 1.0)
    mean = (share * outcome).sum(axis=1)
    inner = (share * (outcome - mean[:, None]) ** 2).sum(axis=1)
    # A design that keeps the limits with none of the values tried doesn't count.
    n = counts @ (total > 0.0)
    probability = counts @ share / n
    sums = counts @ (share * outcome) / n
    overall = sums.sum(axis=1)
    by_value = np.divide(sums, probability, out=np.zeros_like(sums), where=probability > 0.0)
    between = (probability * (by_value - overall[:, None]) ** 2).sum(axis=1)
    return between, counts @ inner / n[:, 0]


def _uniform(
    space: DesignSpace, within: Callable[[Ranks], NDArray[np.bool_]], designs: int, seed: int
) -> tuple[Ranks, float]:
    """Draw designs within the limits by rejection; also return the share that was within."""
    found: list[Ranks] = []
    drawn = kept = 0
    while kept < designs and drawn < MOST_DRAWS:
        # Keyed by both: seed + k would draw again what the next seed draws first.
        stream = np.random.SeedSequence([seed % (1 << 63), drawn // DRAWS])
        candidates = space.sample(DRAWS, int(stream.generate_state(1, np.uint64)[0]))
        candidates = candidates[within(candidates)]
        found.append(candidates)
        kept += len(candidates)
        drawn += DRAWS
    return np.concatenate(found)[:designs], kept / drawn
