"""Aggregates over runs, after `rliable` (Agarwal et al., NeurIPS 2021), and paired tests.

Runs are grouped in strata, one an application: a run is a seed of data and training. Lower is better. A run
that failed is infinite, and no aggregate drops it: the interquartile mean bears up to a quarter of failures,
which are then what it cuts away, and is infinite beyond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

CONFIDENCE = 0.95
RESAMPLES = 2_000


def interquartile_mean(values: ArrayLike) -> float:
    """Return the mean of the middle half: a quarter of the values, rounded down, is cut off at each end.

    Parameters
    ----------
    values : array_like of shape (n,), float
        At least one; infinity for a failure.
    """
    return float(MEANS["interquartile"](np.asarray(values, np.float64).ravel(), 0))


def geometric_mean(values: ArrayLike) -> float:
    """Return the geometric mean of positive numbers, infinite where one is."""
    return float(MEANS["geometric"](np.asarray(values, np.float64).ravel(), 0))


def _geometric(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    # The ratio of anything to a failed run is 0, and so is the mean of what holds one.
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(np.mean(np.log(values), axis=axis)))


def statistic_of(strata: Sequence[ArrayLike], name: str) -> float:
    """Return one of `STATISTICS` of some strata."""
    return float(STATISTICS[name]([np.asarray(stratum, np.float64) for stratum in strata], -1))


#: Means of values along an axis.
MEANS: dict[str, Callable[[NDArray[np.float64], int], NDArray[np.float64]]] = {
    "interquartile": lambda values, axis: np.asarray(stats.trim_mean(values, 0.25, axis=axis)),
    "geometric": _geometric,
}

Statistic: TypeAlias = Callable[[Sequence[NDArray[np.float64]], int], NDArray[np.float64]]
"""Of strata, whose runs lie along an axis."""
#: Means of all values together; the mean of the strata's means; geometric means of their interquartile means
#: and of their medians, which are infinite where half of one failed.
STATISTICS: dict[str, Statistic] = {
    "interquartile": lambda strata, axis: MEANS["interquartile"](np.concatenate(strata, axis=axis), axis),
    "geometric": lambda strata, axis: MEANS["geometric"](np.concatenate(strata, axis=axis), axis),
    "arithmetic": lambda strata, axis: np.mean([np.mean(stratum, axis=axis) for stratum in strata], axis=0),
    "interquartiles": lambda strata, axis: _geometric(
        np.array([MEANS["interquartile"](stratum, axis) for stratum in strata]), 0
    ),
    "medians": lambda strata, axis: _geometric(
        np.array([np.median(stratum, axis=axis) for stratum in strata]), 0
    ),
}


def interval(
    strata: Sequence[ArrayLike], statistic: str | Statistic = "interquartile", seed: int = 0
) -> tuple[float, float] | None:
    """Return the stratified bootstrap interval of 95% of a statistic of all strata together.

    Each of 2,000 resamples draws every stratum anew from itself, with replacement
    (`scipy.stats.bootstrap`); the interval lies between the 2.5% and the 97.5% quantile, each a value that
    occurred, so that failures are no obstacle.

    Parameters
    ----------
    strata : sequence of array_like of shape (n,), float
    statistic : str or callable
        One of `STATISTICS` or another such function.
    seed : int

    Returns
    -------
    (float, float) or None
        None where a stratum has one value only: runs that were not repeated say nothing about their spread.
    """
    samples = [np.asarray(stratum, np.float64) for stratum in strata]
    if not samples or min(map(len, samples)) < 2:
        return None
    computed = STATISTICS[statistic] if isinstance(statistic, str) else statistic
    with np.errstate(invalid="ignore"):  # SciPy's standard error of what is infinite
        resampled = stats.bootstrap(
            samples,
            lambda *drawn, axis: computed(drawn, axis),
            vectorized=True,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def paired_interval(
    strata: Sequence[ArrayLike], statistic: Statistic, seed: int = 0
) -> tuple[float, float] | None:
    """Return `interval` of runs that belong together, as those of one application and seed do.

    Parameters
    ----------
    strata : sequence of array_like of shape (k, n), float
        n pairs, or k runs each: a resample draws the pairs of each stratum.
    statistic : callable
        Of strata of shape (k, ..., n), with the axis of the pairs.
    seed : int
    """
    values = [np.asarray(stratum, np.float64) for stratum in strata]

    def together(drawn: Sequence[NDArray[np.float64]], axis: int) -> NDArray[np.float64]:
        pairs = zip(values, drawn, strict=True)
        return statistic([runs[:, places.astype(int)] for runs, places in pairs], axis)

    return interval([np.arange(runs.shape[1]) for runs in values], together, seed)


def probability_of_improvement(ours: Sequence[ArrayLike], theirs: Sequence[ArrayLike]) -> float:
    """Return how likely a run of ours is below one of theirs: the mean over strata, ties count half.

    Parameters
    ----------
    ours, theirs : sequence of array_like of shape (n,), float
        The same strata in the same order.
    """
    shares = []
    for a, b in zip(ours, theirs, strict=True):
        left, right = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)[None, :]
        shares.append(np.mean((left < right) + 0.5 * (left == right)))
    return float(np.mean(shares))


def paired_p(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test of the logarithms' differences.

    Parameters
    ----------
    ours, theirs : array_like of shape (n,), float
        Positive, pairs by position. Differences from an infinite value rank above all finite ones; two
        infinite values are equal.

    Returns
    -------
    float
        1 where no pair differs.
    """
    a, b = (np.log(np.asarray(values, np.float64)) for values in (ours, theirs))
    with np.errstate(invalid="ignore"):
        differences = a - b
    differences[a == b] = 0.0
    if not differences.any():
        return 1.0
    finite = np.abs(differences[np.isfinite(differences)])
    largest = 2.0 * float(finite.max(initial=1.0))
    return float(stats.wilcoxon(np.clip(differences, -largest, largest)).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected after Holm: any at most 0.05 leaves a chance of 5% for one false finding.

    With p sorted, the i-th of n (from 0) becomes max over j <= i of min(1, (n - j) p_j).
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    raised = np.minimum(1.0, (len(p) - np.arange(len(p))) * p[order])
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(raised)
    return [float(value) for value in corrected]
