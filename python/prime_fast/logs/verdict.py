"""Whether a log can be learned from: a plain verdict with its reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from prime_fast.logs.reading import LEAST_FEASIBLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace, Ranks

PER_VALUE = 10
"""Feasible designs that each value to be told apart takes: the rule of ten observations a coefficient."""
MOST_VALUES = 16
"""A longer list is learned as a curve; more of its values take no more designs."""
LEAST_INFEASIBLE = 10
LEAST_SPREAD = 0.01
"""A tenth of the designs should be worse than the best by this share of it at the least."""
MOST_DROPPED = 0.1
MOST_CONTRADICTING = 0.05
"""Share of rows."""


@dataclass(frozen=True)
class Verdict:
    """Whether a log can carry a search.

    Attributes
    ----------
    verdict : {"enough", "weak", "cannot"}
    because : tuple of str
        What speaks against it; empty where it is enough.
    """

    verdict: Literal["enough", "weak", "cannot"]
    because: tuple[str, ...]

    def __str__(self) -> str:
        reasons = "; ".join(self.because)
        return {
            "enough": "enough to learn from",
            "weak": f"weak, because {reasons}",
            "cannot": f"cannot be learned from: {reasons}",
        }[self.verdict]


def judge(space: DesignSpace, ranks: Ranks, values: NDArray[np.float64]) -> Verdict:
    """Judge the designs of one application.

    Parameters
    ----------
    space : DesignSpace
    ranks : ndarray of shape (n_designs, n_parameters)
    values : ndarray of shape (n_designs,), float64
        The objective, NaN where infeasible.

    Returns
    -------
    Verdict
    """
    feasible = ~np.isnan(values)
    good, known = ranks[feasible], values[feasible]
    if len(good) < LEAST_FEASIBLE:
        found = f"{len(good)} feasible design{'' if len(good) == 1 else 's'}"
        return Verdict("cannot", (f"{found}, at least {LEAST_FEASIBLE} are needed",))
    if known.min() == known.max():
        return Verdict("cannot", (f"all feasible designs have the objective {known[0]:g}",))
    because = []
    values_to_tell = sum(min(n, MOST_VALUES) - 1 for n in space.cardinalities) + 1
    if len(good) < PER_VALUE * values_to_tell:
        because.append(
            f"{len(good):,} feasible designs are few for the space: {PER_VALUE * values_to_tell:,} would do"
        )
    infeasible = len(ranks) - len(good)
    if infeasible < LEAST_INFEASIBLE:
        because.append(
            f"{infeasible or 'no'} infeasible design{'' if infeasible == 1 else 's'} to learn from what fails"
        )
    tenth = float(np.quantile(known, 0.1))
    if tenth - known.min() < LEAST_SPREAD * known.min():
        because.append("a tenth of the feasible designs is within 1% of the best: little is left to find")
    one, half = [], []
    for name, cardinality, column in zip(space.names, space.cardinalities, good.T, strict=True):
        seen = len(np.unique(column))
        if cardinality > 1 and seen == 1:
            one.append(name)
        elif 2 * seen < min(cardinality, MOST_VALUES):
            half.append(name)
    if one:
        because.append(f"feasible designs have one value only of {', '.join(one)}")
    if half:
        because.append(f"feasible designs have under half of the values of {', '.join(half)}")
    return Verdict("weak" if because else "enough", tuple(because))


def overall(judged: Mapping[str, Verdict], rows: int, dropped: int, contradicting: int) -> Verdict:
    """Judge a log by its applications and its rows.

    Parameters
    ----------
    judged : mapping of str to Verdict
        By application.
    rows, dropped, contradicting : int
        Rows that were read, that can't be used, and that say something else of a design than others.

    Returns
    -------
    Verdict
    """
    verdicts = {one.verdict for one in judged.values()}
    if len(judged) == 1:
        because = list(next(iter(judged.values())).because)
    else:
        because = [
            f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {text}"
            for verdict, text in (("cannot", "no use"), ("weak", "weak"))
            if (names := [name for name, one in judged.items() if one.verdict == verdict])
        ]
    if dropped > MOST_DROPPED * rows:
        because.append(f"{dropped / rows:.0%} of the rows can't be used: see what was dropped")
    if contradicting > MOST_CONTRADICTING * rows:
        because.append(f"{contradicting / rows:.0%} of the rows contradict others of the same design")
    if verdicts == {"cannot"}:
        return Verdict("cannot", tuple(because))
    return Verdict("weak" if because else "enough", tuple(because))
