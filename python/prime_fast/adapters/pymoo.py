"""pymoo: a problem of integer variables, the ranks of a design, that is scored in batches.

Needs pymoo: ``pip install 'prime-fast[pymoo]'``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pymoo.core.problem import Problem

from prime_fast.errors import ConfigurationError, DataError
from prime_fast.search.arguments import upper_limits

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from prime_fast.space import DesignSpace, Ranks

INFEASIBLE = 1e30
"""Objective of a design without one: pymoo compares numbers alone, and its constraint tells the rest."""


class DesignProblem(Problem):  # type: ignore[misc]
    """The designs of a space, by rank.

    Parameters
    ----------
    space : DesignSpace
    score : callable
        Takes ranks of shape (n, parameters); returns shape (n,) or (n, objectives), lower is better, NaN
        where infeasible. Called once a generation.
    limits : mapping of str to float, optional
        Upper limits on metrics that the space computes; each is a constraint, metric / limit - 1 <= 0.
    objectives : int
        Columns of the scores.

    Notes
    -----
    Constraints, in their order: limits, then that the space allows the design, then that it has a score.
    """

    def __init__(
        self,
        space: DesignSpace,
        score: Callable[[Ranks], ArrayLike],
        limits: Mapping[str, float] | None = None,
        objectives: int = 1,
    ) -> None:
        self.space, self.score, self.limits = space, score, upper_limits(limits)
        for name in self.limits:
            if name not in space.metric_names:
                raise ConfigurationError(
                    f"unknown limit `{name}`; the space computes {', '.join(space.metric_names) or 'nothing'}"
                )
        super().__init__(
            n_var=space.dimensions,
            n_obj=objectives,
            n_ieq_constr=len(self.limits) + 2,
            xl=np.zeros(space.dimensions),
            xu=np.array(space.cardinalities) - 1.0,
            vtype=int,
        )

    def ranks(self, x: NDArray[Any]) -> Ranks:
        """Return variables as ranks: rounded, so that operators for real numbers do too."""
        whole = np.clip(np.rint(np.atleast_2d(x).astype(np.float64)), self.xl, self.xu)
        return np.ascontiguousarray(whole, self.space.rank_dtype)

    def frame(self, x: NDArray[Any]) -> pl.DataFrame:
        """Return variables, such as ``result.X``, as a frame of values."""
        return self.space.frame(self.ranks(x))

    def _evaluate(self, x: NDArray[Any], out: dict[str, Any], *_: Any, **__: Any) -> None:
        ranks = self.ranks(x)
        allowed = self.space.check(ranks) < 0
        scores = np.full((len(ranks), self.n_obj), np.nan)
        if allowed.any():
            found = np.asarray(self.score(ranks[allowed]), np.float64)
            wanted = (int(allowed.sum()), self.n_obj)
            if found.shape != wanted and not (self.n_obj == 1 and found.shape == wanted[:1]):
                raise DataError(f"the score has shape {found.shape}; it must be {wanted}")
            scores[allowed] = found.reshape(wanted)
        bad = ~np.isfinite(scores).all(axis=1)
        columns: Sequence[NDArray[np.float64]] = [
            *(self.space.metric(name, ranks) / limit - 1.0 for name, limit in self.limits.items()),
            (~allowed).astype(np.float64),
            (bad & allowed).astype(np.float64),
        ]
        out["F"] = np.where(bad[:, None], INFEASIBLE, scores)
        out["G"] = np.stack(columns, axis=1)


__all__ = ["DesignProblem"]
