"""Proposals for an application without a log: spread over the limit that is not known of it.

Logged applications differ in a limit, such as the memory that is sufficient (see `surrogate.unlogged`). What
it is for an application without a log, nothing tells: a surrogate takes the least memory that any logged
application could do with, and all its proposals fail together if that is too little. So most proposals come
from searches that are bounded ever more strictly, from the surrogate's favourite to the farthest that the
limits of a task leave: the front of what is predicted against the quantity. Where the favourite is right, its
neighbours along the front cost a little; where it fails, the first of them that doesn't is close to the best.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from prime_fast.space import DesignSpace, Ranks
    from prime_fast.surrogate.constraints import LearnedConstraint

    Score = Callable[[Ranks], tuple[NDArray[np.float64], NDArray[np.float64]]]

RUNGS = 12
"""Searches along the front."""
SHARE = 0.75
"""Share of the proposals that they give."""
TOLERANCE = 1e-9
"""Of logarithms: equal values may differ in their last bits."""
FARTHEST = 1e3
"""Logarithm by which a value without one is less strict than any bound."""


class Ranked(NamedTuple):
    """What a search found, the best first."""

    designs: Ranks
    violations: NDArray[np.float64]
    interrupted: bool
    seconds: float
    """The search's own time."""


def front(
    space: DesignSpace,
    limit: LearnedConstraint,
    score: Score,
    search: Callable[[Score], Ranked],
    favourite: Ranks,
) -> list[Ranked]:
    """Return what searches find that are bounded ever more strictly.

    With q the logarithm of the limit's quantity, positive on its strict side, each of the n searches left has

        q >= q0 + (q1 - q0) / (n + 1/2)

    where q0 is that of the design found before, at first the favourite, and q1 the farthest within reach.

    Parameters
    ----------
    space : DesignSpace
    limit : LearnedConstraint
        Its quantity and its strict side; the bound does not matter.
    score : callable of ranks, giving scores and violations
    search : callable of such a score
        Returns the designs of least violation and score.
    favourite : ndarray of shape (parameters,), integer

    Returns
    -------
    list of Ranked
        Without designs that break their bound. Its seconds are told where it ended early too.
    """
    side = 1.0 if limit.at_least else -1.0

    def strictness(ranks: Ranks) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = side * np.log(limit.values(space, ranks))
        return np.where(np.isfinite(values), values, -np.inf)

    far = search(lambda ranks: (-_finite(strictness(ranks)), np.zeros(len(ranks))))
    steps = [far._replace(designs=far.designs[:0], violations=far.violations[:0])]
    if not len(far.designs):
        return steps
    now, last = float(strictness(favourite[None])[0]), float(strictness(far.designs[:1])[0])
    for left in range(RUNGS, 0, -1):
        if steps[-1].interrupted or not (math.isfinite(now) and now < last - TOLERANCE):
            break
        least = now + (last - now) / (left + 0.5)

        def bounded(ranks: Ranks, least: float = least) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            scores, violations = score(ranks)
            beyond = np.maximum(0.0, least - _finite(strictness(ranks)))
            return scores, violations + np.where(beyond > TOLERANCE, 1.0 + beyond, 0.0)

        found = search(bounded)
        kept = strictness(found.designs) >= least - TOLERANCE
        steps.append(found._replace(designs=found.designs[kept], violations=found.violations[kept]))
        now = float(strictness(steps[-1].designs[:1])[0]) if kept.any() else least
    return steps


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values a search can compare: one without a logarithm is far from any bound."""
    return np.maximum(values, -FARTHEST)


def interleaved(favourites: Ranks, rungs: list[Ranks], proposals: int) -> Ranks:
    """Return distinct proposals: the favourite, then in turn from the front and from the other favourites.

    Parameters
    ----------
    favourites : ndarray of shape (n, parameters), integer
        The best first; they fill what the front leaves.
    rungs : list of ndarray of shape (n, parameters), integer
        Designs of each search along the front, the best first.
    proposals : int
    """
    each = math.ceil(SHARE * proposals / RUNGS)
    # All rungs' best first, then their second ones.
    spread = [rung[place] for place in range(each) for rung in rungs if place < len(rung)]
    spread = spread[: math.floor(SHARE * proposals)]
    every = max(2, round(1.0 / (1.0 - SHARE)))
    ordered: list[NDArray[np.integer]] = []
    rest = list(favourites)
    while rest or spread:
        source = rest if rest and (len(ordered) % every == 0 or not spread) else spread
        ordered.append(source.pop(0))
    distinct = {row.tobytes(): row for row in ordered}
    return np.stack(list(distinct.values())[:proposals])
