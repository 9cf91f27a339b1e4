"""Aggregates over runs against cases worked out by hand, and what must hold for any runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from prime_fast.benchmark.statistics import (
    geometric_mean,
    holm,
    interquartile_mean,
    interval,
    paired_interval,
    paired_p,
    probability_of_improvement,
    statistic_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FINITE = st.floats(0.5, 4.0)


def test_interquartile_mean_cuts_a_quarter_off_each_end() -> None:
    assert interquartile_mean([9, 1, 2, 3, 4, 5, 6, 100]) == pytest.approx((3 + 4 + 5 + 6) / 4)
    # int(0.25 x 6) = 1 at each end.
    assert interquartile_mean([1, 2, 3, 4, 5, 60]) == pytest.approx(3.5)
    assert interquartile_mean([1, 2, 6]) == pytest.approx(3)


def test_failures_are_borne_up_to_a_quarter() -> None:
    assert interquartile_mean([1, 1, 2, math.inf]) == pytest.approx(1.5)
    assert interquartile_mean([1, 2, math.inf, math.inf]) == math.inf
    assert geometric_mean([1, math.inf]) == math.inf


def test_geometric_mean() -> None:
    assert geometric_mean([1, 2, 4]) == pytest.approx(2)


def test_statistics_over_strata() -> None:
    strata = [[1.0, 2.0, 9.0], [8.0, 8.0]]
    assert statistic_of(strata, "medians") == pytest.approx(4)
    assert statistic_of(strata, "interquartiles") == pytest.approx((4 * 8) ** 0.5)
    # Each stratum counts the same, however many values it has.
    assert statistic_of(strata, "arithmetic") == pytest.approx((4 + 8) / 2)
    assert statistic_of(strata, "geometric") == pytest.approx((2 * 9 * 64) ** 0.2)
    # Less than half may fail.
    assert statistic_of([[1.0, 1.0, math.inf], [4.0, 4.0]], "medians") == pytest.approx(2)
    assert statistic_of([[1.0, math.inf], [4.0, 4.0]], "medians") == math.inf


def test_interval_of_a_statistic_of_ones_own() -> None:
    found = interval([[1.0, 1.0], [2.0, 3.0]], lambda drawn, axis: np.max(drawn[1] / drawn[0], axis=axis))
    assert found == (2.0, 3.0)


def test_interval_of_pairs() -> None:
    few = np.array([[1.0, 2.0, 9.0, 40.0], [3.0, 3.0, 4.0, 8.0]])
    pairs = [np.stack([runs, 0.9 * runs]) for runs in few]

    def ratio(drawn: Sequence[NDArray[np.float64]], axis: int) -> NDArray[np.float64]:
        return np.asarray(np.median(drawn[0][1], axis=axis) / np.median(drawn[0][0], axis=axis))

    # However seeds differ, the one is 0.9 of the other with each.
    assert paired_interval(pairs, ratio) == pytest.approx((0.9, 0.9))
    assert paired_interval([pairs[0][:, :1]], ratio) is None
    low, high = interval(list(pairs[0]), lambda drawn, axis: ratio([np.stack(drawn)], axis)) or (0.0, 0.0)
    assert low < 0.5 < 2 < high


def test_interval_resamples_within_strata() -> None:
    # Strata without spread have none together either, whatever lies between them.
    assert interval([[1.0, 1.0], [5.0, 5.0]], "geometric") == pytest.approx((5**0.5, 5**0.5))
    # Two values: the mean of a resample is 1, 1.5 or 2 with chances 1/4, 1/2, 1/4.
    assert interval([[1.0, 2.0]]) == (1.0, 2.0)
    assert interval([[1.0, 2.0], [3.0]]) is None
    assert interval([]) is None


def test_interval_knows_failures() -> None:
    assert interval([[1.0, math.inf]], "geometric") == (1.0, math.inf)
    assert interval([[1.0] * 20 + [math.inf]]) == (1.0, 1.0)


def test_interval_of_a_known_distribution() -> None:
    sample = np.random.default_rng(0).normal(10.0, 1.0, 400)
    found = interval([sample])
    assert found is not None
    # The interquartile mean of n normal values has a standard error of about 1.09 / sqrt(n).
    assert found[1] - found[0] == pytest.approx(2 * 1.96 * 1.09 / 20, rel=0.15)
    assert interval([sample]) == found


@given(st.lists(st.lists(FINITE, min_size=2, max_size=6), min_size=1, max_size=3))
def test_interval_lies_within_the_values(strata: list[list[float]]) -> None:
    found = interval(strata, "geometric")
    assert found is not None
    low, high = found
    values = [value for stratum in strata for value in stratum]
    assert min(values) * (1 - 1e-9) <= low <= high <= max(values) * (1 + 1e-9)


def test_probability_of_improvement_by_hand() -> None:
    # Pairs (1,2) (1,2) (3,2) (3,2): half below. Second stratum: ties count half.
    assert probability_of_improvement([[1, 3]], [[2, 2]]) == 0.5
    assert probability_of_improvement([[1, 3], [5]], [[2, 2], [5]]) == 0.5
    assert probability_of_improvement([[1, 3], [4]], [[2, 2], [5]]) == 0.75
    assert probability_of_improvement([[1]], [[math.inf]]) == 1.0
    assert probability_of_improvement([[math.inf]], [[math.inf]]) == 0.5


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=8))
def test_probabilities_add_up(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = ([values] for values in zip(*pairs, strict=True))
    assert probability_of_improvement(ours, theirs) + probability_of_improvement(
        theirs, ours
    ) == pytest.approx(1)


def test_paired_test_is_wilcoxons_of_logarithms() -> None:
    generator = np.random.default_rng(1)
    ours, theirs = np.exp(generator.normal(size=(2, 12)))
    assert paired_p(ours, theirs) == pytest.approx(stats.wilcoxon(np.log(ours), np.log(theirs)).pvalue)
    # All of 6 pairs on one side: 2 / 2^6.
    assert paired_p([1, 1, 1, 1, 1, 1], [2, 3, 4, 5, 6, 7]) == pytest.approx(2 / 2**6)
    assert paired_p([1, 2], [1, 2]) == 1.0


def test_a_failure_is_the_largest_difference() -> None:
    finite = paired_p([1, 1, 1, 1, 1, 9], [2, 3, 4, 5, 6, 1])
    assert paired_p([1, 1, 1, 1, 1, math.inf], [2, 3, 4, 5, 6, 1]) == pytest.approx(finite)
    assert paired_p([math.inf], [math.inf]) == 1.0


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, none below the one before.
    assert holm([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_holm_lies_between_the_value_and_bonferroni(p_values: list[float]) -> None:
    corrected = holm(p_values)
    for p, found in zip(p_values, corrected, strict=True):
        assert p <= found <= min(1.0, len(p_values) * p) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()
