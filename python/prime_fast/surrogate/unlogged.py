"""What the limits of logged applications tell of those of an application that has no log.

A bound b is known of each logged application whose log shows it. An application without a log is taken for
another draw from them: with m the mean of log b, and d its standard deviation, the bound

    log b = m + d  (a lower one),  m - d  (an upper one),  and no stricter than the strictest logged

is kept by most. That serves where applications hardly differ, or where to be strict costs little. It does not
for the limit by which applications differ and that decides most of what is feasible: a memory that suffices
for each logged application is too small for a larger one, and one that suffices for all is dear. This limit
is no constraint; proposals are spread over it instead (`hedging`). The features of applications don't tell it
well enough: bounds regressed on them erred more than their mean, for applications left out in turn.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prime_fast.surrogate.constraints import LearnedConstraint

SHARE = 0.5
"""Least share of the logged applications that have a limit on a quantity; less is a matter of each."""
ALIKE = 1.1
"""Ratio of the highest to the lowest bound up to which applications don't differ."""


class Expected(NamedTuple):
    """What is expected of an application without a log; ``infeasible`` is 0, as no log shows it."""

    constraints: tuple[LearnedConstraint, ...]
    varying: LearnedConstraint | None
    """The limit by which applications differ most, with the geometric mean of their bounds."""


def expected_constraints(learned: Sequence[Sequence[LearnedConstraint]]) -> Expected:
    """Return what is expected of an application that has no log.

    Parameters
    ----------
    learned : sequence of sequence of LearnedConstraint
        Those of each logged application, each on a quantity and side of its own.

    Returns
    -------
    Expected
        Nothing with fewer than two logged applications.
    """
    of: dict[tuple[str, tuple[int, ...], bool], list[LearnedConstraint]] = {}
    for constraints in learned:
        for one in constraints:
            of.setdefault((one.quantity, one.exponents, one.at_least), []).append(one)
    shared = [several for several in of.values() if len(several) >= max(2.0, SHARE * len(learned))]
    differing = [several for several in shared if _ratio(several) > ALIKE]
    varying = max(differing, key=lambda several: sum(one.infeasible for one in several), default=None)
    return Expected(
        tuple(_bounded(several, 1.0) for several in shared if several is not varying),
        None if varying is None else _bounded(varying, 0.0),
    )


def _ratio(several: Sequence[LearnedConstraint]) -> float:
    bounds = [one.bound for one in several]
    return max(bounds) / min(bounds)


def _bounded(several: Sequence[LearnedConstraint], deviations: float) -> LearnedConstraint:
    """Return the bound so many deviations to the strict side of the mean, within the logged ones."""
    logarithms = np.log([one.bound for one in several])
    away = deviations * float(logarithms.std(ddof=1))
    strict = float(logarithms.mean()) + (away if several[0].at_least else -away)
    bound = math.exp(min(max(strict, float(logarithms.min())), float(logarithms.max())))
    return replace(several[0], bound=float(f"{bound:.12g}"), infeasible=0)
